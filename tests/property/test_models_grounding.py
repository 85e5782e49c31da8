"""Generated text that says more than its evidence is caught."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.grounding import unsupported

PLAIN = frozenset(
    [
        "the",
        "level",
        "of",
        "is",
        "above",
        "limit",
        "a",
        "patient",
        "takes",
        "was",
        "and",
        "in",
        "your",
        "blood",
        "it",
        "rose",
        "from",
        "to",
        "which",
        "means",
        "that",
        "may",
        "be",
        "high",
        "too",
    ]
)
EVIDENCE = ("Potassium", "6.8 mmol/L", "6.5", "lisinopril", "spironolactone")
GOOD = "Potassium is 6.80 mmol/L, above the limit of 6.5. The patient takes lisinopril and spironolactone."


def test_what_the_evidence_holds_passes() -> None:
    """Evidence words, plain words, and a number written a little differently."""
    assert unsupported(GOOD, EVIDENCE, PLAIN) == ()


@settings(deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.sampled_from("0123456789"))
def test_a_changed_digit_is_caught(at: int, digit: str) -> None:
    """Any digit that turns a number into another one."""
    assume(GOOD[at].isdigit() and GOOD[at] != digit)
    changed = GOOD[:at] + digit + GOOD[at + 1 :]
    assume(not any(number in changed for number in ("is 6.50 ", "of 6.8.")))  # another number of the evidence is not made up
    assert unsupported(changed, EVIDENCE, PLAIN)


@settings(deadline=None)
@given(
    st.sampled_from(["warfarin", "ramipril", "digoxin", "Lasix", "metoprolol"]), st.sampled_from(["lisinopril", "spironolactone"])
)
def test_a_swapped_drug_is_caught(other: str, drug: str) -> None:
    """A name that the evidence does not hold."""
    assert other in unsupported(GOOD.replace(drug, other), EVIDENCE, PLAIN)


@settings(deadline=None)
@given(st.sampled_from(["no", "not", "without", "never"]), st.integers(0, 14))
def test_an_added_negation_is_caught(word: str, place: int) -> None:
    """Turning a statement around needs a negation in the evidence, even where the word is plain language."""
    words = GOOD.split()
    words.insert(place, word)
    assert word in unsupported(" ".join(words), EVIDENCE, PLAIN | {word})


def test_a_negation_of_the_evidence_may_be_said() -> None:
    """Where the evidence denies something, so may the text."""
    assert unsupported("The patient takes no lisinopril.", ("no lisinopril",), PLAIN) == ()


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_judged_without_an_error(text: str) -> None:
    """Whatever was generated; and a text is always supported by itself."""
    unsupported(text, EVIDENCE, PLAIN)
    assert unsupported(text, (text,), frozenset()) == ()
