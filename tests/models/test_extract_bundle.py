"""Extraction with the shipped entity model."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from agents.extract.step import Extractor, make_extractor
from streams.settings import Models, Settings
from tests.unit.test_extract_step import LABS, NOTE, request

NOTES = (
    "CHIEF COMPLAINT\n\nBack pain.\n\nPLAN\n\nStart metformin 500 mg twice daily. No fever or chills.",
    "Patient denies chest pain. History of myocardial infarction. Mother had breast cancer. Return if fever.",
    "Aspirin 81 mg PO daily.",
    "",
    "x" * 4000,
    "She was given ceftriaxone 2 g IV for pneumonia. " * 60,
)


@pytest.fixture(scope="module")
def extractor() -> Iterator[Extractor]:
    shipped = make_extractor(Settings(models=Models(execution="cpu", threads=2)))
    yield shipped
    shipped.close()


def test_it_finds_what_any_clinical_model_must(extractor: Extractor) -> None:
    """Plain problems and drugs are found, with their assertion and dose."""
    found = {m.text.lower(): m for text in NOTES[:3] for m in extractor.mentions("n", text)}
    assert found["metformin"].type == "medication"
    assert found["500 mg"].type == "dosage"
    assert found["chest pain"].assertion.negated
    assert found["myocardial infarction"].assertion.historical
    assert found["breast cancer"].assertion.family
    assert found["metformin"].source.startswith("wardstream-entities@")


@pytest.mark.parametrize("number", range(len(NOTES)))
def test_a_note_alone_and_in_company_gives_the_same_bytes(extractor: Extractor, number: int) -> None:
    """What else is in the batch changes nothing, down to the scores."""

    def message(note: str) -> str:
        return NOTE.replace("FAMILY HISTORY: No asthma.", note.replace("\n", "\\.br\\"))

    alone = extractor.extract_many([request(message(NOTES[number]))])
    batch = [request(message(note), origin=f"o{i}") for i, note in enumerate(NOTES)]
    batch[number] = request(message(NOTES[number]))
    company = extractor.extract_many([request(LABS), *batch])
    assert msgspec.json.encode(company[number + 1]) == msgspec.json.encode(alone[0])
