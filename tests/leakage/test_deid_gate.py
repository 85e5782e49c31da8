"""The gate over a finished record: every kind of identifier in every place stops it, and its error tells no value."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from agents.deidentify.leak import LeakCheck
from agents.deidentify.policy import load_policy
from agents.deidentify.step import Deidentifier
from agents.vault.memory import MemoryVault
from schemas.envelope import HL7_V2
from schemas.errors import LeakDetected, Reason
from schemas.identity_reader import read_identity
from schemas.message import parse
from tests.support import deid

GATE = LeakCheck(read_identity(parse(HL7_V2, deid.ORU)))
PLANTED = {
    "seen: QUILLFEATHER": "name",
    "wife\u200b Wendel\u00adgard called": "name",
    "MRN 100200300": "number",
    "MRN 100-200-300": "number",
    "call (555) 010.1234": "number",
    "born 19500102": "number",
    "born 01/02/1950": "phrase",
    "lives 12 ELM row": "phrase",
    "to jonas@example.org": "name",
}


@pytest.mark.parametrize("leaf", PLANTED)
def test_a_planted_identifier_stops_the_record(leaf: str) -> None:
    """Verbatim, in other letters, with other separators, with invisible characters; between clean leaves."""
    with pytest.raises(LeakDetected) as caught:
        GATE.check(["Potassium 5.9", leaf, "metformin 500 mg"])
    assert caught.value.reason is Reason.LEAK_DETECTED
    assert caught.value.path == PLANTED[leaf]
    assert not any(value in str(caught.value) + repr(caught.value) for value in deid.IDENTIFIERS)


def test_two_leaves_form_no_identifier() -> None:
    """Digits at the end of one leaf and the beginning of the next are not one number; clinical words pass."""
    GATE.check(["dose 100", "200", "300 mg", "Long QT; BP 120/80 at 03:04", "1002003", "born in 1950"])


@pytest.mark.parametrize("place", ["subject", "path of a time", "path of a note"])
def test_key_and_headers_of_the_record_are_searched(place: str) -> None:
    """The subject becomes the key, the map a header."""
    step = deid.deidentifier()
    prepared = step.prepare(HL7_V2, deid.ORU)
    (pseudonyms,) = asyncio.run(MemoryVault(seed=1).resolve([prepared.request]))
    if place == "subject":
        pseudonyms = msgspec.structs.replace(pseudonyms, subject="Quillfeather")
    elif place == "path of a time":
        prepared.times["Quillfeather"] = 1
    else:
        prepared.notes["OBX[1]-5 Quillfeather"] = ()
    with pytest.raises(LeakDetected):
        step.apply(prepared, pseudonyms)


@pytest.mark.parametrize("profile", ["safe_harbor", "expert", "limited", "internal"])
def test_what_the_vault_answers_is_searched_in_every_profile(profile: str) -> None:
    """A profile that searches while days are still marks searches what took their place afterwards."""
    step = Deidentifier(load_policy(profile))
    prepared = step.prepare(HL7_V2, deid.ORU)
    (pseudonyms,) = asyncio.run(MemoryVault(seed=1).resolve([prepared.request]))
    leaking = msgspec.structs.replace(pseudonyms, tokens=dict.fromkeys(pseudonyms.tokens, "100200300"))
    with pytest.raises(LeakDetected) as caught:
        step.apply(prepared, leaking)
    assert caught.value.path == "number"
