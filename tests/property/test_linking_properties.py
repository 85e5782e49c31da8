"""Linking answers any text, the same each time, and never prefers a near name to the name itself."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from agents.extract.linking.build import build
from agents.extract.linking.linker import Context, Linker
from agents.extract.linking.names import folded, normal

NAMES = [
    "hypertension",
    "hypotension",
    "pulmonary hypertension",
    "type 1 diabetes",
    "type 2 diabetes",
    "anemia",
    "asthma",
    "lung cancer",
]


def _linker(threshold: float = 0) -> Linker:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "names.txt"
        path.write_text("".join(f"1\t0\t1\t{name}\tDisease\tD{at + 100}\n" for at, name in enumerate(NAMES)), encoding="utf-8")
        return Linker(build([("pubtator", path)]), "1", threshold)


LINKER = _linker()
KINDS = st.sampled_from(["problem", "finding", "medication", "test", "procedure", "dosage", "anatomy"])


@given(st.text(max_size=300), KINDS, st.text(max_size=40))
def test_any_text_has_the_same_answer_each_time(text: str, kind: str, expansion: str) -> None:
    assert LINKER.link(text, kind, expansion) == _AGAIN.link(text, kind, expansion)


@given(st.sampled_from(NAMES), st.sampled_from([str.upper, str.title, str.lower, lambda text: f" {text}. "]))
def test_a_name_itself_is_preferred_to_a_near_one(name: str, write: object) -> None:
    link = LINKER.link(write(name), "problem")  # type: ignore[operator]
    assert link is not None
    assert (link.match, link.concept.codes[0][2]) == ("exact", name)


@given(st.text(max_size=80))
def test_normal_form_is_reached_in_one_step_whatever_the_order_of_words(text: str) -> None:
    key = folded(text)
    assert folded(key) == key
    assert normal(" ".join(reversed(key.split()))) == normal(key)


@given(st.text(max_size=200), st.text(max_size=40), KINDS)
def test_what_the_note_says_has_the_same_answer_each_time_and_no_link_is_below_the_threshold(
    note: str, text: str, kind: str
) -> None:
    context = Context.of(note)
    assert context == Context.of(note)
    link = LINKER.link(text, kind, context=context)
    assert link == _AGAIN.link(text, kind, context=context)
    sure = STRICT.link(text, kind, context=context)
    assert sure is None or (sure == link and sure.score >= 0.9)


STRICT = _linker(0.9)
_AGAIN = _linker()
