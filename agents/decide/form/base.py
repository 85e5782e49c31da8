"""What the parts of the rule form share: names, hours, codes."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

Identifier = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$", max_length=64)]


Hours = Annotated[int, msgspec.Meta(gt=0, le=24 * 366)]


Severity = Literal["info", "warning", "critical"]


class Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class Code(Form, frozen=True, kw_only=True):
    """``code`` with ``*``, ``?`` or ``[...]`` is a pattern as in ``fnmatch`` (ICD-10-CM: ``T14.91*`` for every 7th character, ``T4[0-9].??2*``
    for the character that says the intent). An empty system is any system."""

    code: str
    system: str = ""

    @property
    def pattern(self) -> bool:
        return any(sign in self.code for sign in "*?[")


class Plausible(Form, frozen=True, kw_only=True):
    """Values outside are taken for errors of the instrument or the unit: missing data."""

    low: Decimal
    high: Decimal
