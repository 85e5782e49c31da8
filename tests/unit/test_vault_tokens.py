"""Tokens, keys and sealed records."""

from __future__ import annotations

import base64
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.vault.contract import PatientRecord
from agents.vault.keys import Keys
from agents.vault.records import seal, unseal
from agents.vault.tokens import from_bits, is_token, new_token
from schemas.errors import ConfigurationError, SchemaMismatch
from schemas.identity import Person, PersonName, Role
from streams.key_encryption.file import MasterKeyFile
from streams.keyring import Keyring
from tests.support.keyring import RING, SECRET

KEYS = Keys(RING, "t")
RECORD = PatientRecord(person=Person(role=Role.PATIENT, names=(PersonName(family="Quillfeather"),)), epoch=-50_000_000)


@given(st.integers(0, 2**70 - 1))
def test_every_token_fits_hl7_and_fhir(bits: int) -> None:
    """A token is 15 characters of upper-case letters and digits, whatever the random bits."""
    token = from_bits(bits)
    assert len(token) == 15
    assert token.isalnum()
    assert token.isupper()
    assert is_token(token)


def test_tokens_come_from_the_randomness_alone() -> None:
    """Equal randomness gives equal tokens, other randomness others."""
    assert new_token(random.Random(1)) == new_token(random.Random(1)) != new_token(random.Random(2))


@pytest.mark.parametrize("text", ["", "A123", "a" * 15, "AILOU0123456789", "100200300", "B" + "0" * 14])
def test_what_is_no_token_is_told(text: str) -> None:
    """Wrong length, alphabet or key epoch is not a token."""
    assert not is_token(text)


def test_a_record_opens_only_under_its_own_token_and_key() -> None:
    """A sealed record moved to another token, or read with another key, is refused."""
    sealed = seal(RECORD, KEYS, "T1")
    assert b"Quillfeather" in unseal(sealed, KEYS, "T1")
    for keys, token in ((KEYS, "T2"), (Keys(RING, "u"), "T1"), (Keys(Keyring.of(SECRET[::-1]), "t"), "T1")):
        with pytest.raises(SchemaMismatch):
            unseal(sealed, keys, token)


def test_a_sealed_record_shows_nothing_and_never_repeats() -> None:
    """The identity is not readable in the sealed bytes, and sealing twice gives different bytes."""
    one, two = seal(RECORD, KEYS, "T1"), seal(RECORD, KEYS, "T1")
    assert b"Quillfeather" not in one
    assert one != two


def test_any_changed_byte_is_noticed() -> None:
    """A record that was tampered with does not open."""
    sealed = bytearray(seal(RECORD, KEYS, "T1"))
    for position in (0, 5, 20, 70, len(sealed) - 1):  # the generation (1) is another error: it may be one that is not known yet
        broken = bytearray(sealed)
        broken[position] ^= 1
        with pytest.raises(SchemaMismatch):
            unseal(bytes(broken), KEYS, "T1")


def test_tenants_have_different_indexes() -> None:
    """The same identifier is indexed differently for every tenant and master key."""
    rings = (Keys(RING, "a"), Keys(RING, "b"), Keys(Keyring.of(SECRET[::-1]), "a"))
    assert len({name for keys in rings for name in keys.index("x")}) == 3


@pytest.mark.parametrize("content", [b"", b"no base64 !", base64.b64encode(b"short")])
def test_a_bad_key_file_refuses_to_start(tmp_path: Path, content: bytes) -> None:
    """A master key that is not 32 bytes in base64 is a configuration error that does not repeat the file."""
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as raised:
        MasterKeyFile(file).wrap(bytes(32), b"")
    assert raised.value.path == "secrets.master_key_file"
    assert content.decode() == "" or content.decode() not in str(raised.value)


def test_no_type_of_the_vault_prints_a_value() -> None:
    """Records and keys print blind."""
    assert "Quillfeather" not in f"{RECORD!r} {RECORD} {KEYS!r} {RING!r}"
