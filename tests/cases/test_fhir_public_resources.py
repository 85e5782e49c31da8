"""Public resources, where ``WARDSTREAM_DATA`` (default ``../shared/data``) holds them: each is read whole or refused by code."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.errors import Poison
from schemas.fhir.references import split_by_patient
from schemas.fhir.validate import validate
from schemas.fhir.walk import read_leaf
from schemas.identity_reader import read_identity
from schemas.message import encode, fact_time_paths, parse, read_clinical, replace_part

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("WARDSTREAM_DATA", ROOT.parent / "shared" / "data"))
FILES = sorted(path for path in DATA.glob("fhir_*/**/*") if path.suffix in {".json", ".ndjson"})

pytestmark = pytest.mark.skipif(not FILES, reason="no public resources under WARDSTREAM_DATA")

NUMBER = re.compile(rb'("(?:[^"\\]|\\.)*")|-?[0-9][0-9.eE+-]*')


def payloads() -> Iterator[tuple[Path, bytes]]:
    for path in FILES:
        raw = path.read_bytes()
        for payload in raw.splitlines() if path.suffix == ".ndjson" else [raw]:
            yield path, payload


def numbers(payload: bytes) -> list[bytes]:
    return [match.group() for match in NUMBER.finditer(payload) if match.group(1) is None]


def scrubbed(path: str) -> str:
    return f"What stood here, at {path}, has been replaced."


def test_every_resource_is_read_whole_or_refused_by_code() -> None:
    """Numbers written as they came; notes, facts and identities without a stray error; a scrubbed part reads back."""
    counts: Counter[str] = Counter()
    for _, payload in payloads():
        try:
            resource = parse("application/fhir+json", payload)
        except Poison as error:
            counts[f"refused {error.reason}"] += 1
            continue
        assert isinstance(resource, dict)
        counts["read"] += 1
        written = encode(resource)
        assert numbers(written) == numbers(payload)
        assert parse("application/fhir+json", written) == resource
        for part in split_by_patient(resource):
            identity, clinical = read_identity(part), read_clinical(part)
            counts["patients"] += identity.patient is not None
            counts["notes"] += len(clinical.notes)
            counts["facts"] += len(clinical.facts)
            assert all(read_leaf(part, path) for path in fact_time_paths(part).values() if path)
            for note in clinical.notes:
                replace_part(part, note.path, scrubbed(note.path))
            assert [note.text for note in read_clinical(part).notes] == [scrubbed(note.path) for note in clinical.notes]
    # BOM files, configuration files, primitives and R4-only or STU3 resources are refused; everything else is read
    assert counts["read"] > 600
    assert counts["notes"] > 1000
    assert counts["facts"] > 3000
    assert counts["patients"] > 400


def test_the_standards_own_examples_pass_validation() -> None:
    """R4 and US Core examples are valid; one carries a linkId that fhir.resources does not accept."""
    faults = []
    for path, payload in payloads():
        if path.parent.name not in {"fhir_r4_examples", "fhir_us_core_examples"} or len(payload) > 60_000:
            continue
        try:
            resource = parse("application/fhir+json", payload)
        except Poison:
            continue
        assert isinstance(resource, dict)
        try:
            validate(resource)
        except Poison as error:
            faults.append((path.name, error.path))
    assert faults == [("Questionnaire-qs1.json", "Questionnaire.item[0].item[0].linkId")]
