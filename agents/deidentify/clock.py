"""Times of a message in minutes since 1970, and ages; what Safe Harbor takes out of the message travels as minutes on the
patient's own clock (``deid-map``)."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache

_HL7 = re.compile(r"(\d{4})(\d{2})(\d{2})(?:(\d{2})(\d{2})?(\d{2})?(?:\.\d{1,4})?)?([+-]\d{4})?")
_FHIR = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:T(\d{2}):(\d{2})(?::(\d{2})(?:\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?)?")
_YEAR = re.compile(r"(?:1[89]|20)\d\d")

#: Ages over 89 are one group (45 CFR 164.514(b)(2)(i)(C)).
OLDEST_AGE = 89


def year_of(text: str) -> int | None:
    """Year at the beginning of an HL7 or FHIR time."""
    match = _YEAR.match(text)
    return int(match[0]) if match else None


@lru_cache(maxsize=4096)
def minutes_of(text: str) -> int | None:
    """Minutes since 1970 of a time that names at least the day; a time without a zone counts as UTC."""
    moment = _moment(text)
    return None if moment is None else int(moment.timestamp() // 60)


def age_at(birth: str, moment: str) -> int | None:
    """Completed years, at most 90, which stands for older."""
    born, then = _moment(birth), _moment(moment)
    if born is None or then is None:
        first, last = year_of(birth), year_of(moment)
        return None if first is None or last is None or last < first else min(last - first, OLDEST_AGE + 1)
    years = then.year - born.year - ((then.month, then.day) < (born.month, born.day))
    return None if years < 0 else min(years, OLDEST_AGE + 1)


def day_of(text: str) -> tuple[date, str] | None:
    """The day of a whole HL7 or FHIR time, and what stands behind it (clock and zone); ``None`` for less than a day."""
    match = _HL7.fullmatch(text) or _FHIR.fullmatch(text)
    if match is None:
        return None
    try:
        day = date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None
    return day, text[match.end(3) :]


def shift_days(epoch: int, *, max_days: int, multiple_of: int) -> int:
    """The patient's own shift: an odd number of steps of ``multiple_of`` days, at most ``max_days`` either way, so never 0.

    Minutes since the epoch are published beside shifted dates, so their difference, ``epoch + shift``, is known. Epochs are
    therefore taken in tiles of ``2 * half`` steps, and each moves to one of the two middles of its tile: whoever knows
    where an epoch went cannot tell from which of ``half`` places it came, and every shift is as likely as every other.

    Args:
        epoch: minutes, of the vault's record; random per patient and kept for as long as the patient is.
    """
    half = (max_days // multiple_of + 1) // 2 * 2  # even, at most one more than the steps that fit
    place = epoch // (multiple_of * 24 * 60) % (2 * half)
    return (half - 1 + place % 2 - place) * multiple_of


def _moment(text: str) -> datetime | None:
    match = _HL7.fullmatch(text) or _FHIR.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, zone = match.groups()
    try:
        return datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), min(int(second or 0), 59), tzinfo=_zone(zone)
        )
    except ValueError:
        return None


def _zone(text: str | None) -> timezone:
    if not text or text == "Z":
        return UTC
    sign = -1 if text[0] == "-" else 1
    digits = text[1:].replace(":", "")
    return timezone(sign * timedelta(hours=int(digits[:2]), minutes=int(digits[2:])))
