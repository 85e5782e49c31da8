"""Encrypted values: the site reads them again, nobody else does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.deidentify.cipher import PREFIX, ValueCipher
from agents.deidentify.form import read_file
from agents.deidentify.policy import load_policy_file
from agents.deidentify.promise import broken
from agents.deidentify.step import Deidentifier
from schemas.errors import ConfigurationError, UnsupportedContent
from schemas.fhir.validate import validate
from schemas.hl7.er7 import parse
from streams.keyring import Keyring
from tests.support.deid import ORU, bundle, clean, clean_fhir, patient_resource
from tests.support.keyring import RING

CIPHER = ValueCipher(RING, "t1")
RULES = """
apiVersion: deid/v1
extends: expert
profile: expert
version: "1"
hl7: {datatypes: {XPN: {1: encrypt, 2: mask}}}
fhir: {types: {HumanName: {family: encrypt, given: mask}}}
"""


@given(st.text())
def test_what_goes_in_comes_out_and_is_safe_in_any_message(value: str) -> None:
    """Any text, the same ciphertext twice, no separator of HL7 and no markup in it."""
    sealed = CIPHER.encrypt(value)
    assert CIPHER.decrypt(sealed) == value
    assert CIPHER.encrypt(value) == sealed
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", sealed)


@pytest.mark.parametrize("text", ["", "enc1.", "enc1.AAAA", "Quillfeather", "enc1.ééé"])
def test_what_the_key_did_not_write_is_refused(text: str) -> None:
    """Damaged or foreign values get a code, not a traceback."""
    with pytest.raises(UnsupportedContent):
        CIPHER.decrypt(text)


def test_tenants_and_keys_do_not_read_each_other() -> None:
    """Keys are apart by tenant and by master key."""
    sealed = CIPHER.encrypt("Quillfeather")
    for other in (ValueCipher(RING, "t2"), ValueCipher(Keyring.of(bytes(32)), "t1")):
        with pytest.raises(UnsupportedContent):
            other.decrypt(sealed)
        assert other.encrypt("Quillfeather") != sealed
    with pytest.raises(UnsupportedContent):
        CIPHER.decrypt(sealed[:-2] + ("AA" if sealed[-2:] != "AA" else "BB"))


def test_fields_and_elements_are_encrypted_and_masked(tmp_path: Path) -> None:
    """The same family name is the same ciphertext in both formats; a masked name keeps its shape alone."""
    path = tmp_path / "site.yaml"
    path.write_text(RULES)
    step = Deidentifier(load_policy_file(path), cipher=CIPHER)
    pid = parse(clean(ORU, using=step).payload).first("PID")
    resource = json.loads(clean_fhir(bundle(patient_resource()), using=step).payload)
    validate(resource)
    assert pid is not None
    name = resource["entry"][0]["resource"]["name"][0]
    assert pid.get(5) == name["family"]
    assert name["family"].startswith(PREFIX)
    assert CIPHER.decrypt(name["family"]) == "Quillfeather"
    assert (pid.get(5, component=2), name["given"]) == ("AAAAA", ["AAAAA", "AAAAAAAAA"])


def test_rules_that_encrypt_need_the_key_and_another_profile_than_safe_harbor(tmp_path: Path) -> None:
    """Without a key nothing starts; Safe Harbor forbids what is derived from the value."""
    path = tmp_path / "site.yaml"
    path.write_text(RULES)
    with pytest.raises(ConfigurationError):
        Deidentifier(load_policy_file(path))
    path.write_text(RULES.replace("expert", "safe_harbor"))
    assert "hl7.datatypes.XPN.1" in {one.rule for one in broken(read_file(path).form)}
