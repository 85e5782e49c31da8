"""The tasks of the other families: labels that are true, sides that do not meet, explanations that cannot turn around."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.grounding import unsupported
from models.reasons import Evidence, accepted
from schemas.labels import FlagVerdict, ReviewedLabel
from schemas.samples import FlagEvidence
from tests.support.labels import label, text_note
from tests.training.tiny_data import write
from training.data.document import LabelledText
from training.tasks import explanations, flags, messages, vitals
from training.tasks.metrics import area, class_scores

MODULES = {"flags": flags, "messages": messages, "vitals": vitals}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("name", sorted(MODULES))
def test_generators_repeat_themselves_and_label_within_their_set(name: str, data: Path) -> None:
    """The same seed gives the same texts, another seed others; every label is one of the task's, every text says something."""
    module = MODULES[name]
    one, again = (module.training(data, count=80, seed=4) for _ in range(2))
    assert one == again
    assert one != module.training(data, count=80, seed=5)
    for rows in (*one.values(), *module.development(data, seed=4).values()):
        assert all(row.text.strip() and row.labels <= set(module.LABELS) for row in rows)
        assert all(len(row.numbers) == len(getattr(module, "NUMBERS", ())) for row in rows)


@pytest.mark.parametrize("name", ["flags", "messages"])
def test_no_phrasing_stands_on_both_sides(name: str) -> None:
    """Templates for development are never trained on, not even through another label that has the same one."""
    if name == "flags":
        sides = [{t for part in flags._templates(side) for ts in part.values() for t in ts} for side in (False, True)]
    else:
        sides = [
            {
                t
                for axis in ("urgency", "ask")
                for ts in messages._parted(messages._LISTS[axis], development=side).values()
                for t in ts
            }
            for side in (False, True)
        ]
    assert sides[0]
    assert sides[1]
    assert not sides[0] & sides[1]


def test_questions_to_a_library_are_routine_and_stand_on_one_side(data: Path) -> None:
    """Read from the workbook without its head; none lost, none on both sides."""
    sides = [messages.training(data, count=1, seed=1)["meqsum"], messages.development(data, seed=1)["meqsum"]]
    texts = [{row.text for row in rows} for rows in sides]
    assert texts[0] | texts[1] == {f"I read about topic {k}, where can I learn more?" for k in range(12)}
    assert not texts[0] & texts[1]
    assert {row.labels for rows in sides for row in rows} == {frozenset({"urgency:routine"})}


def test_every_label_has_phrasings_on_both_sides() -> None:
    """No flag is learned without being measured, or measured without having been taught."""
    for side in (False, True):
        for part in flags._templates(side):
            assert all(part[name] for name in flags.LABELS)


NAN = math.nan
WELL = [80.0, 16.0, 98.0, 37.0, 120.0, 15.0, 8.0, 1.0, 1.0, 1.0, 4.0]


@pytest.mark.parametrize(
    ("changes", "label", "holds"),
    [
        ({3: 38.1, 0: 91.0}, "suspected-sepsis", True),
        ({3: 38.0, 0: 91.0}, "suspected-sepsis", False),
        ({3: 38.1, 0: 90.0}, "suspected-sepsis", False),
        ({1: 22.0, 4: 100.0}, "suspected-sepsis", True),
        ({1: 21.0, 4: 101.0}, "suspected-sepsis", False),
        ({7: 2.1}, "suspected-sepsis", True),
        ({7: 2.0}, "suspected-sepsis", False),
        ({10: 6.0}, "hyperkalemia-with-signs", True),
        ({10: 5.9}, "hyperkalemia-with-signs", False),
        ({8: 1.5}, "kidney-injury-on-nephrotoxin", True),
        ({8: 1.2}, "kidney-injury-on-nephrotoxin", False),
        ({8: NAN}, "kidney-injury-on-nephrotoxin", False),
        (dict.fromkeys(range(11), NAN), "suspected-sepsis", False),
    ],
)
def test_thresholds_hold_at_their_edges(changes: dict[int, float], label: str, holds: bool) -> None:
    """Just at, just beside, and missing."""
    values = [changes.get(k, value) for k, value in enumerate(WELL)]
    assert (label in vitals.by_numbers(values)) is holds


def test_vitals_need_both_the_text_and_the_numbers(data: Path) -> None:
    """The rule that sees the numbers alone is right far less often than a perfect answer; missing values are common."""
    rows = vitals.development(data, seed=1)["templates"]
    perfect = [{name: float(name in row.labels) for name in vitals.LABELS} for row in rows]
    found = vitals.scores("t", rows, perfect, [row.labels for row in rows])
    assert found["t-all"]["f1"] == 1
    assert found["t-numbers-rule"]["f1"] < 0.75
    missing = sum(math.isnan(v) for row in rows for v in row.numbers) / sum(len(row.numbers) for row in rows)
    assert 0.15 < missing < 0.4


def test_every_phrasing_is_grounded_and_slots_come_back() -> None:
    """What the templates say passes the check with any evidence, on both sides."""
    random = Random(5)
    for k in range(400):
        evidence = explanations.drawn(random)
        pair = explanations._pair(f"{k}", evidence, random, development=k % 2 == 0)
        shown = accepted(pair.target, evidence)
        assert shown is not None, (evidence.kind, pair.target)
        assert all(value in shown for value in evidence.values.values())


EVIDENCE = Evidence("lab-high", {"test": "Potassium", "value": "6.8 mmol/L", "limit": "6.5"})


@pytest.mark.parametrize(
    "text",
    [
        "The [1] result is [2], which is below the limit of [3].",
        "The [1] result is [2], above the limit of [3]. This is normal.",
        "The [1] result is [2], above the limit of 7.",
        "The [1] result is [2], above the limit of [4].",
        "The [1] result is [2].",
        "The sodium result is [2], above the limit of [3]. [1]",
        "The [1] result of [2] is not above the limit of [3].",
    ],
    ids=["turned", "calmed", "made up", "no such slot", "left out", "another test", "negated"],
)
def test_what_the_evidence_does_not_hold_is_refused(text: str) -> None:
    """Turned around, calmed, invented, left out or denied: nothing of it is shown."""
    assert accepted("The [1] result is [2], which is above the limit of [3].", EVIDENCE)
    assert accepted(text, EVIDENCE) is None


def test_the_tokenizer_keeps_slots_whole() -> None:
    """A slot is one piece, and text survives the way there and back."""
    tokenizer = explanations.train_tokenizer(3)
    text = "The [1] result is [2], above [3]."
    encoded = tokenizer.encode(text)
    assert {"[1]", "[2]", "[3]"} <= set(encoded.tokens)
    assert tokenizer.decode(encoded.ids) == text
    assert tokenizer.get_vocab() == explanations.train_tokenizer(3).get_vocab()


def test_figures_count_by_hand() -> None:
    """Two texts, one right, one half right; a ranking that is right in three of four pairs."""
    rows = [LabelledText("a", "x", frozenset({"p"})), LabelledText("b", "y", frozenset({"p", "q"}))]
    answers = [{"p": 0.9, "q": 0.1}, {"p": 0.8, "q": 0.2}]
    found = class_scores("s", rows, answers, [frozenset({"p"}), frozenset({"p"})], ("p", "q"))
    assert found["s-p"]["f1"] == 1
    assert found["s-q"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "auroc": 1.0, "support": 1.0}
    assert found["s-all"]["f1"] == pytest.approx(0.8)
    assert area([0.1, 0.4, 0.35, 0.8], [False, False, True, True]) == 0.75
    assert area([0.5, 0.5], [True, False]) == 0.5


def test_a_text_counts_for_the_classes_that_its_labels_speak_of() -> None:
    """What a reviewer did not judge is neither right nor wrong."""
    rows = [
        LabelledText("a", "x", frozenset({"p"}), judged=frozenset({"p"})),
        LabelledText("b", "y", frozenset(), judged=frozenset({"q"})),
    ]
    answers = [{"p": 0.9, "q": 0.9}, {"p": 0.9, "q": 0.9}]
    found = class_scores("s", rows, answers, [frozenset("pq"), frozenset("pq")], ("p", "q"))
    assert (found["s-p"]["f1"], found["s-q"]["precision"], found["s-q"]["support"]) == (1, 0, 0)
    assert found["s-all"]["f1"] == pytest.approx(2 / 3, abs=1e-4)


def verdict(text: str, flags: dict[str, FlagVerdict], **evidence: FlagEvidence) -> ReviewedLabel:
    made = label("k", "s", note=text_note(text), spans=()).record
    assert isinstance(made, ReviewedLabel)
    return msgspec.structs.replace(made, flags=flags, evidence=evidence)


def test_verdicts_on_flags_become_texts_of_their_class() -> None:
    """Right holds, wrong does not; unsure, a type without a class, and a flag without evidence in the note say nothing."""
    fall = FlagEvidence(type="fall.risk", spans=((0, 4),))
    verdicts: dict[str, FlagVerdict] = {"a": "right", "b": "wrong", "c": "unsure", "d": "right", "e": "right", "f": "right"}
    told = {
        "a": fall,
        "b": fall,
        "c": fall,
        "d": FlagEvidence(type="drug.dose", spans=((0, 4),)),
        "e": FlagEvidence(type="fall.risk"),
    }
    right, wrong = flags.reviewed([verdict("Fell twice.", verdicts, **told)])
    assert (right.text, right.labels, right.judged) == ("Fell twice.", {"fall-risk"}, {"fall-risk"})
    assert (wrong.text, wrong.labels, wrong.judged) == ("Fell twice.", frozenset(), {"fall-risk"})


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_of_a_long_note_the_words_around_the_evidence_are_learned(one: int, other: int) -> None:
    """They hold the evidence, are cut between words, and are no longer than what a window reads; what lies between two places is left out."""
    words = " ".join(f"w{k}" for k in range(1000))
    starts = [words.index(f"w{k * 999 // 3000}") for k in (one, other)]
    spans = tuple(sorted((start, start + 2) for start in starts))
    (row,) = flags.reviewed([verdict(words, {"a": "right"}, a=FlagEvidence(type="fall.risk", spans=spans))])
    assert len(row.text) < 900
    assert set(row.text.split()) <= set(words.split())
    assert all(f"w{k * 999 // 3000}" in row.text.split() for k in (one, other))


def test_chrf_is_one_for_the_same_and_small_for_another_text() -> None:
    """Identity and difference."""
    assert explanations.chrf("Potassium is high.", "Potassium is high.") == pytest.approx(1)
    assert explanations.chrf("Potassium is high.", "qqq") < 0.05
    assert unsupported("", (), frozenset()) == ()
