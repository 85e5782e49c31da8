"""Generated text that says more than its evidence is caught."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.grounding import unsupported

PLAIN = frozenset(
    """the level of is above limit a patient takes was and in your blood it rose from to which means that may be high too within hours
    no not without never has taken""".split()  # noqa: SIM905
)
EVIDENCE = ("Potassium", "6.8 mmol/L", "6.5", "12 hours", "lisinopril", "spironolactone")
GOOD = "Potassium rose to 6.80 mmol/L within 12 hours, above the limit of 6.5. The patient takes lisinopril and spironolactone."
DIGITS = [k for k, c in enumerate(GOOD) if c.isdigit()]


def test_what_the_evidence_holds_passes() -> None:
    """Evidence words, plain words, and a number written a little differently."""
    assert unsupported(GOOD, EVIDENCE, PLAIN) == ()


@settings(deadline=None)
@given(st.sampled_from(DIGITS), st.sampled_from("0123456789"))
def test_a_changed_digit_is_caught(at: int, digit: str) -> None:
    """Any digit that turns a number into one that the evidence does not hold."""
    changed = GOOD[:at] + digit + GOOD[at + 1 :]
    assume(GOOD[at] != digit and "of 6.8." not in changed)  # 6.8 is of the evidence, and the limit has no unit
    assert unsupported(changed, EVIDENCE, PLAIN)


@settings(deadline=None)
@given(
    st.sampled_from(["warfarin", "ramipril", "digoxin", "Lasix", "metoprolol", "T4", "lisinopril-like"]),
    st.sampled_from(["lisinopril", "spironolactone", "Potassium"]),
)
def test_a_swapped_name_is_caught(other: str, name: str) -> None:
    """A drug or a test that the evidence does not hold."""
    assert unsupported(GOOD.replace(name, other), EVIDENCE, PLAIN) == (other,)


@settings(deadline=None)
@given(st.sampled_from(["no", "not", "without", "never", "isn't", "non-"]), st.data())
def test_an_added_negation_is_caught(word: str, data: st.DataObject) -> None:
    """Turning a statement around needs a negation in the evidence, even where the word is plain language."""
    words = GOOD.split()
    place = data.draw(st.integers(0, len(words) - 1))
    words[place] = f"{word}{words[place]}" if word == "non-" else f"{word} {words[place]}"
    found = unsupported(" ".join(words), EVIDENCE, PLAIN | {word})
    # Before a number "non-" is a word of its own that nothing holds.
    assert any(claim.startswith(word.rstrip("-")) for claim in found)


@pytest.mark.parametrize(
    ("text", "supported"),
    [
        ("The patient takes no lisinopril.", True),
        ("The patient has not taken lisinopril.", True),
        ("The patient takes no spironolactone.", False),
        ("No spironolactone. Lisinopril.", False),
        ("It is not high.", False),
    ],
)
def test_only_what_the_evidence_denies_may_be_denied(text: str, supported: bool) -> None:
    """A negation somewhere in the evidence is no licence to deny something else."""
    assert (unsupported(text, ("no lisinopril", "spironolactone"), PLAIN) == ()) is supported


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Potassium was 6.8 mg/dL.", ("6.8 mg/dl", "mg", "dL")),
        ("Potassium was 6.5 mmol/L.", ("6.5 mmol/l",)),
        ("It rose within 12 days.", ("12 days", "days")),
        ("It rose within 12 hours.", ()),
        ("It was 6.8 and rose to 6.5.", ()),
        ("Potassium was -6.8 mmol/L.", ("-6.8",)),
        ("Potassium was > 6.5.", (">",)),
        ("Potassium was 6,8.", ("6,8",)),
        ("Potassium was 6.8%.", ("6.8 %", "%")),
    ],
)
def test_a_number_stands_with_its_unit_and_sign(text: str, found: tuple[str, ...]) -> None:
    """A value of the evidence under another unit or sign is another value."""
    assert unsupported(text, EVIDENCE, PLAIN) == found


def test_digits_of_names_are_no_numbers() -> None:
    """HbA1c in the evidence does not make 1 a value, and B12 is no 12."""
    assert unsupported("HbA1c and B12", ("HbA1c", "B12"), PLAIN) == ()
    assert unsupported("It was 1.", ("HbA1c",), PLAIN) == ("1",)
    assert unsupported("B6", ("B12",), PLAIN) == ("B6",)


@settings(deadline=None)
@given(st.text(max_size=60), st.text("ab no.-,%/ 123µ", max_size=40))
def test_any_text_is_judged_and_supports_itself(text: str, dense: str) -> None:
    """Whatever was generated is judged without an error; and a text is always supported by itself."""
    for one in (text, dense):
        unsupported(one, EVIDENCE, PLAIN)
        assert unsupported(one, (one,), frozenset()) == ()
