"""Which groups a note belongs to, for the gate: nobody may be served worse by a new model. Read from the note and what is known of its sender."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from schemas.findings import FindingsNote

_FEMALE: Final = re.compile(r"\b(?:woman|female|girl|she|her|hers|herself|mother of|lady)\b", re.IGNORECASE)
_MALE: Final = re.compile(r"\b(?:man|male|boy|he|him|his|himself|gentleman)\b", re.IGNORECASE)
_AGE: Final = re.compile(r"\b(\d{1,3})[- ]?(?:(?:year|yr)s?[- ]?old|y/?o|yo)\b", re.IGNORECASE)
#: Upper ends of the bands, as paediatrics, adult medicine and geriatrics divide people.
_BANDS: Final = ((18, "age under 18"), (65, "age 18 to 64"), (1000, "age 65 and over"))


def groups_of(text: str, note: FindingsNote | None = None, sender: str = "") -> tuple[str, ...]:
    """Names of the groups, sorted; none where the note does not say.

    Sex by the words for the patient, where only one sex is spoken of; age by the first "NN-year-old"; the kind of note by its first code;
    who wrote it, where that was no professional; the sender's pseudonym.
    """
    return tuple(sorted({*_of_text(text), *_of_note(note), *((f"sender {sender}",) if sender else ())}))


def _of_text(text: str) -> Iterator[str]:
    female, male = bool(_FEMALE.search(text)), bool(_MALE.search(text))
    if female != male:
        yield "sex female" if female else "sex male"
    age = _AGE.search(text)
    if age:
        yield next(name for end, name in _BANDS if int(age[1]) < end)


def _of_note(note: FindingsNote | None) -> Iterator[str]:
    if note is None:
        return
    code = next((coding.code for coding in note.codes if coding.code), "")
    if code:
        yield f"note {code}"
    if note.author:
        yield f"author {note.author}"
