"""What a profile makes of the dates and ages that the layers found in a text, beyond Safe Harbor's year."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import msgspec

from agents.deidentify.policy import Policy
from agents.deidentify.requests import date_mark
from agents.deidentify.surrogates import KINDS, Surrogates
from agents.deidentify.text.recognizers import date
from agents.deidentify.text.spans import AGE, DATE
from schemas.deidentified import Redaction
from schemas.hl7.er7 import Message, Segment

CITY = re.compile(r"[^\W\d_](?:[^\W\d_]|[ .'’-]){0,40}")
ZIP = re.compile(r"\d{5}(?:-?\d{4})?")


def mask(value: str) -> str:
    """Letters as ``A``, digits as ``9``, everything else as it is: shape and length stay, nothing else."""
    return "".join("9" if char.isdigit() else "A" if char.isalpha() else char for char in value)


class Replacements:
    """Made from a policy. A span that is not wholly a date keeps the tag that it has: fails closed."""

    __slots__ = ("_dates", "_surrogates", "caps_ages")

    def __init__(self, policy: Policy) -> None:
        self._dates = policy.dates
        self._surrogates = policy.surrogates
        self.caps_ages = policy.caps_ages

    def __call__(
        self, text: str, redactions: tuple[Redaction, ...], oldest_year: int, surrogates: Surrogates
    ) -> tuple[Redaction, ...]:
        if self._dates == "year" and self.caps_ages and not self._surrogates:
            return redactions
        return tuple(new for old in redactions if (new := self._replaced(text, old, oldest_year, surrogates)) is not None)

    def _replaced(self, text: str, redaction: Redaction, oldest_year: int, surrogates: Surrogates) -> Redaction | None:
        written = text[redaction.start : redaction.end]
        if redaction.type == AGE and not self.caps_ages and redaction.layer == "pattern" and not _has_words(written):
            return None
        if self._surrogates and redaction.type in KINDS:
            return msgspec.structs.replace(redaction, method="surrogate", replacement=surrogates.mark(redaction.type, written))
        if redaction.type != DATE or redaction.rule == "birth_year":
            return redaction
        if self._dates == "keep" and _is_date(written):
            return None
        if self._dates == "shift" and (day := date.day_of(written)) is not None and day.year > oldest_year and _is_date(written):
            return msgspec.structs.replace(redaction, method="shift", replacement=date_mark(day))
        return redaction


def _is_date(written: str) -> bool:
    """Whether the date recognizer alone sees a date in all of it: a span may have been widened by another layer."""
    return any(found.start == 0 and found.end == len(written) for found in date.find(written))


def _has_words(written: str) -> bool:
    return sum(char.isalpha() for char in written) > 24


def marked_fields(message: Message) -> list[tuple[Segment, int]]:
    """Fields that wait for tokens or days, wherever they stand."""
    return [
        (segment, position)
        for segment in message.segments
        if "\ufdd0" in segment.text
        for position in segment.filled()
        if "\ufdd0" in segment.raw(position)
    ]


def fill_marks(value: Any, fill: Callable[[str], str]) -> Any:
    """Every marked string of a resource in place, opened attachments included; the resource itself is returned."""
    if isinstance(value, dict):
        for key, child in value.items():
            if key == "data" and isinstance(child, str) and "\ufdd0" not in child:
                value[key] = _attachment(child, fill)
            else:
                value[key] = fill_marks(child, fill)
        return value
    if isinstance(value, list):
        value[:] = [fill_marks(item, fill) for item in value]
        return value
    return fill(value) if isinstance(value, str) and "\ufdd0" in value else value


def _attachment(data: str, fill: Callable[[str], str]) -> str:
    try:
        text = base64.b64decode(data, validate=True).decode()
    except ValueError:
        return data
    return base64.b64encode(fill(text).encode()).decode() if "\ufdd0" in text else data


def put_in(redactions: tuple[Redaction, ...], fill: Callable[[str], str]) -> tuple[Redaction, ...]:
    """What replaced each span, marks filled."""
    return tuple(msgspec.structs.replace(one, replacement=fill(one.replacement)) for one in redactions)
