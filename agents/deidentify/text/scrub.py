"""The union of the layers: find, protect, merge, replace; each replaced span keeps who found it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Protocol

from agents.deidentify.text import recognizers
from agents.deidentify.text.known import Known
from agents.deidentify.text.normalise import Normalised, normalise
from agents.deidentify.text.protect import is_eponym, protected
from agents.deidentify.text.span import Found, PhiType
from schemas.deidentified import Redaction

_YEAR = re.compile(r"(?<!\d)(?:1[89]|20)\d{2}(?!\d)")
_ONLY_YEAR = re.compile(r"(?:(?:in|since|of|year)\s)?(?:1[89]|20)\d{2}s?")
_RELATIVE_TIME = re.compile(
    r"(?:(?:\d{1,3}|a|an|one|two|three|four|five|six|seven|eight|nine|ten|several|few|last|next|past|this|previous|the)\W{1,3}){0,3}"
    r"(?:days?|weeks?|months?|years?|hours?|minutes?|night|morning|evening|today|yesterday|tomorrow|tonight|now|daily|weekly|monthly|bid|tid|qid)"
    r"(?:\s(?:ago|later|earlier|prior|before|after))?",
    re.IGNORECASE,
)
_SMALL_NUMBER = re.compile(r"\d{1,3}(?:\.\d{1,2})?")
_MODEL_TYPES: dict[str, PhiType] = {
    "NAME": "NAME", "DATE": "DATE", "AGE": "AGE", "ID": "ID", "PHONE": "PHONE", "EMAIL": "EMAIL", "URL": "URL",
    "LOCATION": "LOCATION", "ORGANIZATION": "ORGANIZATION",
}  # fmt: skip
_LAYER_RANK = {"known": 0, "pattern": 1, "model": 2}
NOTHING_KNOWN = Known()


class Span(Protocol):
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def label(self) -> str: ...
    @property
    def score(self) -> float: ...


class PhiTagger(Protocol):
    """What the scrubber needs of the PHI model (``models.Tagger`` has it)."""

    @property
    def version(self) -> str: ...
    def tag_many(self, texts: Sequence[str]) -> Sequence[Sequence[Span]]: ...


class Scrubber:
    """Thread-safe as far as the tagger is. ``tagger`` ``None`` leaves two layers (structured feeds, benchmarks)."""

    def __init__(self, tagger: PhiTagger | None) -> None:
        self._tagger = tagger
        self.version = f"{recognizers.VERSION}+{tagger.version if tagger else 'no-model'}"
        self.model_version = tagger.version if tagger else ""

    def notes(self, texts: Sequence[str], known: Known = NOTHING_KNOWN) -> list[tuple[Redaction, ...]]:
        """Redactions of each text in text order, by all layers."""
        folded = [normalise(text) for text in texts]
        tagged: Sequence[Sequence[Span]] = self._tagger.tag_many([n.text for n in folded]) if self._tagger else [()] * len(texts)
        return [
            self._redactions(
                text, normal, [*known.find(normal.text), *recognizers.find_all(normal.text), *self._model(normal.text, spans)]
            )
            for text, normal, spans in zip(texts, folded, tagged, strict=True)
        ]

    def short(self, text: str, known: Known = NOTHING_KNOWN) -> str:
        """A phrase of a coded field or a short value, by the first two layers."""
        normal = normalise(text)
        found = [*known.find(normal.text), *recognizers.find_all(normal.text)]
        return apply(text, self._redactions(text, normal, found)) if found else text

    def _model(self, text: str, spans: Sequence[Span]) -> list[Found]:
        found = []
        for span in spans:
            kind = _MODEL_TYPES.get(span.label)
            if kind is None or _harmless(text[span.start : span.end], kind) or is_eponym(text, span.start, span.end):
                continue
            found.append(Found(span.start, span.end, kind, "model", self.model_version, span.score))
        return found

    def _redactions(self, text: str, normal: Normalised, found: Iterable[Found]) -> tuple[Redaction, ...]:
        keep = protected(normal.text)
        wanted = [f for f in found if f.end > f.start and (f.layer == "known" or not _inside(f, keep))]
        return tuple(_redaction(text, *normal.original(f.start, f.end), f) for f in _merge(wanted, normal.text))


def apply(text: str, redactions: Sequence[Redaction]) -> str:
    """``text`` with every redaction's replacement in place."""
    pieces: list[str] = []
    position = 0
    for redaction in redactions:
        pieces += [text[position : redaction.start], redaction.replacement]
        position = redaction.end
    return "".join([*pieces, text[position:]])


def _merge(found: list[Found], text: str) -> list[Found]:
    """Overlapping spans become one; it takes type and credit of its best layer, then of its longest member."""
    merged: list[Found] = []
    for span in sorted(found, key=lambda f: (f.start, f.end)):
        last = merged[-1] if merged else None
        if last is not None and (span.start < last.end or _one_name(last, span, text)):
            best = min((last, span), key=lambda f: _rank(f, last, span))
            merged[-1] = Found(last.start, max(last.end, span.end), best.type, best.layer, best.rule, best.score)
        else:
            merged.append(span)
    return merged


def _rank(span: Found, left: Found, right: Found) -> tuple[bool, int, bool, int]:
    """A span that holds the other whole says best what it is; then the layer, then a name before a place, then the length."""
    holds = span.start <= min(left.start, right.start) and span.end >= max(left.end, right.end) and span.layer != "model"
    return not holds, _LAYER_RANK[span.layer], span.type != "NAME", span.start - span.end


def _one_name(left: Found, right: Found, text: str) -> bool:
    """Two names with nothing but a blank, a comma or an initial's dot between them are one person."""
    return left.type == right.type == "NAME" and text[left.end : right.start] in {" ", ", ", ". ", "-"}


def _inside(span: Found, keep: Sequence[tuple[int, int]]) -> bool:
    return any(start <= span.start and span.end <= end for start, end in keep)


def _harmless(text: str, kind: PhiType) -> bool:
    """What the model may mark and Safe Harbor lets stand: years, distances in time, ages up to 89."""
    stripped = text.strip()
    if kind == "DATE":
        return bool(_ONLY_YEAR.fullmatch(stripped.casefold()) or _RELATIVE_TIME.fullmatch(stripped))
    if kind == "AGE":
        numbers = [int(number) for number in re.findall(r"\d{1,3}", stripped)]
        return not numbers or max(numbers) <= 89
    return kind == "ID" and bool(_SMALL_NUMBER.fullmatch(stripped))


def _redaction(text: str, start: int, end: int, found: Found) -> Redaction:
    method, replacement = "tag", f"[{found.type}]"
    if found.type == "DATE" and (year := _YEAR.search(text, start, end)):
        method, replacement = "year", f"[DATE {year[0]}]"
    elif found.type == "AGE":
        method, replacement = "generalize", "[AGE 90+]"
    return Redaction(
        start=start,
        end=end,
        type=found.type,
        method=method,
        replacement=replacement,
        layer=found.layer,
        rule=found.rule,
        score=round(found.score, 4),
    )
