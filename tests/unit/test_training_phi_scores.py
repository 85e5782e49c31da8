"""Measures of PHI recall, on rows written for the tests and a tagger of regular expressions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from models.decoding import ScoredSpan
from training.data.document import Document, GoldSpan
from training.data.labels import PHI_TYPES
from training.phi.evaluation import TagMany, asq_scores, characters_of, presidio_scores


def tagger(pattern: str) -> TagMany:
    def tag_many(texts: list[str]) -> Sequence[Sequence[ScoredSpan]]:
        return [[ScoredSpan(m.start(), m.end(), "NAME", 1.0) for m in re.finditer(pattern, text)] for text in texts]

    return tag_many


def test_a_value_counts_when_every_occurrence_is_covered() -> None:
    """One of two places left open, or one letter, is a miss; titles need no cover; values are counted by type."""
    queries = [("Ann Bell saw Dr. Lee. Ann Bell left.", [("NAME", "Ann Bell"), ("NAME", "Dr. Lee")]), ("No name here.", [])]
    every = asq_scores(tagger("Ann Bell|Lee"), queries)
    assert (every["values"], every["recall_covered"], every["negatives"], every["negatives_touched"]) == (2, 1, 1, 0)
    first = asq_scores(tagger("^Ann Bell|Le|name"), queries)
    assert (first["recall_covered"], first["recall_touched"], first["negatives_touched"]) == (0, 0.5, 1)


def test_curved_quotation_marks_hide_no_value() -> None:
    """A tag with a straight mark is found in a query with a curved one; a value that is not in the query is a miss."""
    queries = [("Seen at Ann’s Clinic.", [("PLACE", "Ann's Clinic"), ("NAME", "Zoe")])]
    assert asq_scores(tagger("Ann.s Clinic"), queries)["recall_covered"] == 0.5


def test_characters_of_identifiers_and_of_the_rest() -> None:
    """Letters of identifiers, without titles and young ages, are the denominator; bare years are told apart."""
    text = "Mr Bell, 44, of Rome since 1999."
    spans = [
        {"entity_type": kind, "start_position": text.index(word), "end_position": text.index(word) + len(word)}
        for kind, word in (("TITLE", "Mr"), ("PERSON", "Bell"), ("AGE", "44"), ("GPE", "Rome"), ("DATE_TIME", "1999"))
    ]
    scores = presidio_scores(tagger("Bell, 44|since"), [{"full_text": text, "spans": spans}])
    assert scores["character_recall"] == round(4 / 12, 4)
    assert scores["character_recall_without_years"] == 0.5
    assert (scores["recall_person"], scores["recall_gpe"], scores["recall_year"]) == (1, 0, 0)
    assert scores["characters_left_alone"] == round(2 / 7, 4)


def test_generated_characters_are_counted_whatever_their_type() -> None:
    """Coverage ignores labels: what is hidden is hidden."""
    document = Document("a", "call Ann", (GoldSpan(5, 8, ("PHONE",)),), frozenset(PHI_TYPES))
    assert characters_of([document], [[ScoredSpan(5, 7, "NAME", 1.0)]]) == {"recall": 0.6667, "left_alone": 1.0}
