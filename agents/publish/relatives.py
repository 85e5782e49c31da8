"""Whose history a family mention is: the relative that its sentence names before it, where it names one kind only.

Codes of v3-RoleCode (http://terminology.hl7.org/CodeSystem/v3-RoleCode); ``FAMMEMB`` where the words leave it open.
"""

from __future__ import annotations

import re

UNKNOWN = "FAMMEMB"
_CODES: dict[str, str] = {
    "mother": "MTH", "mom": "MTH", "father": "FTH", "dad": "FTH", "sister": "SIS", "brother": "BRO", "daughter": "DAU", "son": "SON",
    "aunt": "AUNT", "uncle": "UNCLE", "cousin": "COUSN", "nephew": "NEPHEW", "niece": "NIECE",
    "grandmother": "GRMTH", "grandfather": "GRFTH", "maternal grandmother": "MGRMTH", "maternal grandfather": "MGRFTH",
    "paternal grandmother": "PGRMTH", "paternal grandfather": "PGRFTH", "maternal aunt": "MAUNT", "maternal uncle": "MUNCLE",
    "paternal aunt": "PAUNT", "paternal uncle": "PUNCLE",
}  # fmt: skip
#: Words before a relative that make it another one, and plurals, are kinds of their own without a code here.
_RELATIVE = re.compile(
    r"\b((?:(?:maternal|paternal|step|half|foster|adoptive|great)[ -]?)*"
    r"(?:grandmother|grandfather|mother|father|mom|dad|sister|brother|daughter|son|aunt|uncle|cousin|nephew|niece)(?:s|-in-law)*)\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.;!?](?=\s)|\n")


def relationship(text: str, start: int) -> str:
    """The code for a mention at ``start`` (code points) of the note ``text``."""
    before = text[max(0, start - 300) : start]
    ends = [found.end() for found in _SENTENCE_END.finditer(before)]
    named = {" ".join(word.casefold().split()) for word in _RELATIVE.findall(before[ends[-1] :] if ends else before)}
    codes = {_CODES.get(word, UNKNOWN) for word in named}
    return codes.pop() if len(codes) == 1 else UNKNOWN
