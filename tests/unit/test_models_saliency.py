"""Saliency over the shipped entity bundle: the word that decides comes first."""

from __future__ import annotations

from models.bundle import shelf_bundle
from models.saliency import leave_one_out
from models.tagger import Tagger

TEXT = "The patient was started on metformin for diabetes in the clinic today."


def test_the_deciding_word_has_the_largest_drop() -> None:
    with Tagger.load(shelf_bundle("wardstream-entities")) as tagger:
        span = next(one for one in tagger.tag(TEXT) if TEXT[one.start : one.end] == "metformin")
        drops = leave_one_out(tagger, TEXT, span)
    assert TEXT[drops[0].start : drops[0].end] == "metformin"
    assert drops[0].drop > drops[1].drop
    assert len(drops) == len(TEXT.split())
