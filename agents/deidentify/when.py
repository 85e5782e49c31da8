"""Times as written, read as minutes since 1970 for the patient's own clock; and years for what may stay."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone

_HL7 = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(?:(\d{2})(?:\.\d{1,4})?)?([+-]\d{4})?")
_ISO = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T(\d{2}):(\d{2})(?::(\d{2})(?:\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?)?)?)?")
_YEAR = re.compile(r"(?:1[89]|20)\d{2}")
#: Oldest age in years that stands (45 CFR 164.514(b)(2)(i)(C)); 90 means older.
OLDEST = 89


def minutes(text: str) -> int | None:
    """Minutes since 1970-01-01T00:00Z of an HL7 TS/DTM or an ISO 8601 date(-time) precise to the day; else ``None``.

    A time without an offset counts as UTC: distances within one sender stay right, which is all that the patient's clock is for.
    """
    match = _HL7.fullmatch(text) or _ISO.fullmatch(text)
    if match is None or match[2] is None or match[3] is None:
        return None
    year, month, day = (int(match[n]) for n in (1, 2, 3))
    hour, minute = (int(match[n] or 0) for n in (4, 5))
    try:
        moment = datetime(year, month, day, hour, minute, tzinfo=_zone(match[7]))
        return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() // 60)
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> timezone:
    if text is None or text == "Z":
        return UTC
    digits = text.replace(":", "")
    offset = timedelta(hours=int(digits[1:3]), minutes=int(digits[3:5]))
    return timezone(-offset if digits[0] == "-" else offset)


def year(text: str) -> str:
    """The year of a date as written, or an empty text."""
    match = _YEAR.match(text.strip())
    return match[0] if match else ""


def age_years(birth: str, at: str) -> int | None:
    """Completed years between two dates as written; month and day count where both have them. ``None`` when one has no year."""
    born, now = _day(birth), _day(at)
    if born is None or now is None or now < born:
        return None
    return now.year - born.year - ((now.month, now.day) < (born.month, born.day))


def _day(text: str) -> date | None:
    match = _HL7.fullmatch(text.strip()) or _ISO.fullmatch(text.strip())
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[2] or 1), int(match[3] or 1))
    except ValueError:
        return None
