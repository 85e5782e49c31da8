"""What Safe Harbor leaves of an address: the state, and the first three digits of a ZIP code of a populous area."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

_FIVE = re.compile(r"\s*(\d{3})\d{2}(?:-?\d{4})?\s*")

#: USPS codes and names; territories and the armed forces included.
STATES = frozenset(
    ["AL", "AK", "AZ", "AR", "CA", "CO", "CT", "DE", "FL", "GA", "HI", "ID", "IL", "IN", "IA", "KS", "KY", "LA", "ME", "MD", "MA", "MI", "MN", "MS", "MO", "MT", "NE", "NV", "NH", "NJ", "NM", "NY", "NC", "ND", "OH", "OK", "OR", "PA", "RI", "SC", "SD", "TN", "TX", "UT", "VT", "VA", "WA", "WV", "WI", "WY", "DC", "PR", "VI", "GU", "AS", "MP", "AA", "AE", "AP"]
) | frozenset((
    "Alabama", "Alaska", "Arizona", "Arkansas", "California", "Colorado", "Connecticut", "Delaware", "Florida", "Georgia", "Hawaii",
    "Idaho", "Illinois", "Indiana", "Iowa", "Kansas", "Kentucky", "Louisiana", "Maine", "Maryland", "Massachusetts", "Michigan",
    "Minnesota", "Mississippi", "Missouri", "Montana", "Nebraska", "Nevada", "New Hampshire", "New Jersey", "New Mexico", "New York",
    "North Carolina", "North Dakota", "Ohio", "Oklahoma", "Oregon", "Pennsylvania", "Rhode Island", "South Carolina", "South Dakota",
    "Tennessee", "Texas", "Utah", "Vermont", "Virginia", "Washington", "West Virginia", "Wisconsin", "Wyoming",
    "District of Columbia", "Puerto Rico",
))  # fmt: skip
_STATE_KEYS = frozenset(state.casefold() for state in STATES)


@cache
def restricted() -> frozenset[str]:
    """Three-digit areas of 20,000 people or fewer, see the head of the file."""
    text = resources.files("agents.deidentify.tables").joinpath("restricted_zip3.txt").read_text("utf-8")
    return frozenset(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def zip3(code: str) -> str:
    """``44123`` -> ``441``, ``03601`` -> ``000``; what is no US ZIP code -> empty."""
    match = _FIVE.fullmatch(code)
    if match is None:
        return ""
    return "000" if match[1] in restricted() else match[1]


def state(text: str) -> str:
    """The state as written, if it is one; empty otherwise (senders put cities there)."""
    return text.strip() if text.strip().casefold() in _STATE_KEYS else ""
