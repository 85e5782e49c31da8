"""What hands and systems do to a text: typing errors, run-on lines, hard wraps, lost blanks, capitals. Spans keep their place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from random import Random

from training.data.document import GoldSpan
from training.data.template import recase

Text = tuple[str, list[GoldSpan]]
Edit = tuple[int, int, str]

_WORD = re.compile(r"[A-Za-z]{5,}")
_AFTER_LABEL = re.compile(r"(?<=[:#,;])[ ](?=\w)")
_STOP = re.compile(r"(?<=[a-z])(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!\bMrs)(?<!\bSt)\. (?=[A-Z])")
_BLANK = re.compile(r" ")


def edited(text: str, spans: list[GoldSpan], edits: Iterable[Edit]) -> Text:
    """Replace ``[start, end)`` by the new text for every edit; an edit that crosses the edge of a span is left out."""
    edges = {edge for s in spans for edge in (s.start, s.end)}
    kept = sorted(e for e in edits if not any(e[0] < edge < e[1] for edge in edges))
    pieces: list[str] = []
    moved = {edge: edge for edge in edges}
    ordered = sorted(edges)
    at = shift = k = 0
    for start, end, new in kept:
        if start < at:
            continue
        while k < len(ordered) and ordered[k] <= start:
            moved[ordered[k]] = ordered[k] + shift
            k += 1
        pieces += (text[at:start], new)
        shift += len(new) - (end - start)
        at = end
    for edge in ordered[k:]:
        moved[edge] = edge + shift
    pieces.append(text[at:])
    return "".join(pieces), [GoldSpan(moved[s.start], moved[s.end], s.types) for s in spans]


def typos(text: str, spans: list[GoldSpan], random: Random, rate: float) -> Text:
    """One wrong letter in a share of the longer words: two swapped, one lost, one doubled."""
    edits: list[Edit] = []
    for match in _WORD.finditer(text):
        if random.random() < rate:
            k = random.randint(match.start() + 1, match.end() - 2)
            draw = random.random()
            if draw < 0.4:
                edits.append((k, k + 2, text[k + 1] + text[k]))
            else:
                edits.append((k, k + 1, "" if draw < 0.75 else text[k] * 2))
    return edited(text, spans, edits)


def run_on(text: str, spans: list[GoldSpan], random: Random) -> Text:
    """Full stops go, or become commas or blanks; line ends become blanks half the time."""
    mark = random.choice(("  ", " ", ", ", "; "))
    edits = [(m.start(), m.end(), mark) for m in _STOP.finditer(text)]
    if random.random() < 0.5:
        edits += [(k, k + 1, " ") for k, c in enumerate(text) if c == "\n"]
    return edited(text, spans, edits)


def wrapped(text: str, spans: list[GoldSpan], width: int) -> Text:
    """Hard line ends before ``width``, inside names too, as interfaces send them."""
    edits: list[Edit] = []
    last = -1
    begin = 0
    for match in _BLANK.finditer(text):
        if "\n" in text[begin : match.start()]:
            begin = text.rfind("\n", begin, match.start()) + 1
        if match.start() - begin > width and last > begin:
            edits.append((last, last + 1, "\n"))
            begin = last + 1
        last = match.start()
    return edited(text, spans, edits)


def joined_labels(text: str, spans: list[GoldSpan], random: Random) -> Text:
    """Blanks after colons and commas get lost: ``MRN:12345``."""
    return edited(text, spans, [(m.start(), m.end(), "") for m in _AFTER_LABEL.finditer(text) if random.random() < 0.5])


def noisy(text: str, spans: list[GoldSpan], random: Random) -> Text:
    """The text as one of many senders would write it; two thirds stay as they are but for the odd typing error."""
    draw = random.random()
    if draw < 0.07:
        text, spans = run_on(text, spans, random)
    elif draw < 0.12:
        text, spans = wrapped(text, spans, random.randint(48, 90))
    elif draw < 0.16:
        text, spans = joined_labels(text, spans, random)
    if random.random() < 0.18:
        text, spans = typos(text, spans, random, random.choice((0.01, 0.03, 0.06)))
    draw = random.random()
    if draw < 0.08:
        return recase(text, spans, str.upper)
    if draw < 0.19:
        return recase(text, spans, str.lower)
    return text, spans
