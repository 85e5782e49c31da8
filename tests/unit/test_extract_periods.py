"""Durations in words as ISO 8601."""

from __future__ import annotations

import pytest

from agents.extract.periods import iso_duration


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("for 3 weeks", "P3W"),
        ("x 10 days", "P10D"),
        ("for the next two months", "P2M"),
        ("14-day", "P14D"),
        ("over 30 minutes", "PT30M"),
        ("for 24 hrs", "PT24H"),
        ("6 Years", "P6Y"),
        ("for 2 mos", "P2M"),
        ("for 5 to 7 days", ""),
        ("for 5-7 days", ""),
        ("for a few days", ""),
        ("for 0 days", ""),
        ("for 1.5 years", ""),
        ("3 weeks and 2 days", ""),
        ("long-term", ""),
    ],
)
def test_iso_duration(words: str, expected: str) -> None:
    """One number and one unit; a range or an open number has no one length."""
    assert iso_duration(words) == expected
