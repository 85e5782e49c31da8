"""The search of the sweep finds what it should, and the public data at reduced size comes through clean."""

from __future__ import annotations

import json

import pytest

from benchmarks.deid_sweep import sweep
from benchmarks.own_search import hits, values_of
from benchmarks.public_data import data_folder
from schemas.envelope import FHIR_JSON, HL7_V2
from tests.support import deid


@pytest.mark.parametrize(
    ("leaf", "kind"),
    [
        ("seen: QUILLFEATHER's knee", "name"),
        ("wife Wendelgard called", "name"),
        ("record 100-200-300 closed", "number"),
        ("call 555 010 1234", "number"),
        ("at 12 ELM row today", "phrase"),
        ("to jonas@example.org", "phrase"),
        ("born 1950-01-02", "date"),
        ("TXIuIFF1aWxsZmVhdGhlciBzZWVu", "name"),
    ],
)
def test_the_search_finds_a_planted_identifier(leaf: str, kind: str) -> None:
    """In plain, in other letters and separators, and in base64: a sweep that finds nothing means something."""
    planted = json.dumps({"resourceType": "Basic", "id": leaf}).encode()
    assert kind in {found for found, _, _ in hits(values_of(HL7_V2, deid.ORU), FHIR_JSON, planted)}


def test_the_search_reads_fhir_people() -> None:
    """Names, numbers, phones, lines and the birth date of a Patient anywhere in a Bundle."""
    values = values_of(FHIR_JSON, deid.bundle(deid.patient_resource()))
    assert ("Quillfeather", "Jonas", "Peregrine") in values.names
    assert (values.numbers, values.lines, values.dates) == ({"100200300"}, {"12 Elm Row"}, {"19500102"})


@pytest.mark.skipif(not data_folder().is_dir(), reason="WARDSTREAM_DATA names no folder with the public data")
def test_nothing_survives_in_a_part_of_the_public_data() -> None:
    """Every fortieth message; all of them are ``python -m benchmarks.deid_sweep``."""
    tallies = sweep(deid.deidentifier(), data_folder(), every=40)
    assert tallies["hl7"].passed > 20
    assert tallies["fhir"].passed > 10
    for tally in tallies.values():
        assert not tally.surviving
        assert not tally.unhandled
        assert tally.not_parsed_again == 0
