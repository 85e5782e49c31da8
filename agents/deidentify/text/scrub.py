"""A text without identifiers: the union of the three layers, replaced by tags, with every span accounted for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from agents.deidentify.text.known import Known
from agents.deidentify.text.normalise import normalise
from agents.deidentify.text.recognizers import find_all
from agents.deidentify.text.recognizers.date import year_of
from agents.deidentify.text.spans import AGE, DATE, Found, merge
from schemas.deidentified import Redaction, SpanMap

NOBODY = Known()


def scrub(
    text: str, known: Known = NOBODY, guesses: Sequence[Found] = (), *, oldest_year: int = 0
) -> tuple[str, tuple[Redaction, ...]]:
    """The text with tags, and what they replaced, in offsets of ``text``.

    Args:
        known: identifiers of the same message.
        guesses: spans of the model, in offsets of ``text``.
        oldest_year: a year up to this one tells an age over 89 and goes with its date.
    """
    redactions = find(text, known, guesses, oldest_year=oldest_year)
    return replace(text, redactions), redactions


def find(text: str, known: Known = NOBODY, guesses: Sequence[Found] = (), *, oldest_year: int = 0) -> tuple[Redaction, ...]:
    if not text:
        return ()
    normal = normalise(text)
    patterns = _short_patterns(normal.text) if len(normal.text) <= _SHORT else tuple(find_all(normal.text))
    found = [*known.find(normal.text), *patterns] if known else list(patterns)
    if normal.starts is not None:
        found = [span._replace(start=s, end=e) for span in found for s, e in (normal.original(span.start, span.end),)]
    return tuple(_redaction(text, span, oldest_year) for span in merge([*found, *guesses], text) if span.end > span.start)


def find_coded(text: str, known: Known) -> tuple[Redaction, ...]:
    """For the display of a code: known identifiers and patterns; words that are also names stay."""
    normal = normalise(text)
    patterns = _display_patterns(normal.text)
    found = [*known.find(normal.text, coded=True), *patterns] if known.may_hold(normal.text) else list(patterns)
    if not found:
        return ()
    if normal.starts is not None:
        found = [span._replace(start=s, end=e) for span in found for s, e in (normal.original(span.start, span.end),)]
    return tuple(_redaction(text, span, 0) for span in merge(found, text) if span.end > span.start)


_SHORT = 80


@lru_cache(maxsize=20_000)
def _short_patterns(text: str) -> tuple[Found, ...]:
    """Feeds repeat short texts all day."""
    return tuple(find_all(text))


#: What may stand in the display of a code by mistake; a display is no place for prose.
_IN_DISPLAYS = frozenset({"ssn", "phone", "email", "url", "date", "person", "record_number"})


@lru_cache(maxsize=20_000)
def _display_patterns(text: str) -> tuple[Found, ...]:
    return tuple(span for span in find_all(text) if span.rule in _IN_DISPLAYS)


def replace(text: str, redactions: Sequence[Redaction]) -> str:
    pieces: list[str] = []
    position = 0
    for redaction in redactions:
        pieces += (text[position : redaction.start], redaction.replacement)
        position = redaction.end
    pieces.append(text[position:])
    return "".join(pieces)


def span_maps(redactions: Sequence[Redaction], *, original: int = 0, clean: int = 0) -> list[SpanMap]:
    """Where each replacement stands; ``original`` and ``clean`` shift both sides."""
    spans: list[SpanMap] = []
    for redaction in redactions:
        start = redaction.start + clean
        end = start + len(redaction.replacement)
        spans.append(SpanMap(redaction.start + original, redaction.end + original, start, end, redaction.type))
        clean += len(redaction.replacement) - (redaction.end - redaction.start)
    return spans


def _redaction(text: str, span: Found, oldest_year: int) -> Redaction:
    method, replacement = "tag", f"[{span.type}]"
    if span.type == DATE:
        year = year_of(text[span.start : span.end])
        if year is not None and year > oldest_year and span.rule != "birth_year":
            method, replacement = "year", f"[DATE {year}]"
    elif span.type == AGE:
        replacement = "[AGE 90+]"
    return Redaction(
        start=span.start,
        end=span.end,
        type=span.type,
        method=method,
        replacement=replacement,
        layer=span.layer,
        rule=span.rule,
        score=span.score,
    )
