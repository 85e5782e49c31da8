"""Evasion: the same identifiers in every disguise, and time on hostile text.

All of them are of the same message, so that the known layer helps; what only the model can know is measured elsewhere.
"""

from __future__ import annotations

import base64
import html
import time
import urllib.parse
from collections.abc import Callable

import pytest

from agents.deidentify.text.known import Known
from agents.deidentify.text.normalise import normalise
from agents.deidentify.text.recognizers import RECOGNIZERS
from agents.deidentify.text.scrub import scrub
from benchmarks.canaries import DISGUISES
from schemas.identity import Identifier, MessageIdentity, Person, PersonName, PostalAddress, Role

IDENTITY = MessageIdentity(
    patient=Person(
        role=Role.PATIENT,
        names=(PersonName(family="Quillfeather", given=("Jonas",)),),
        identifiers=(Identifier(value="100200307"), Identifier(value="987-65-4321", type="SS")),
        phones=("555-010-1234",),
        emails=("jonas@mail.example",),
        addresses=(PostalAddress(lines=("12 Elderflower Row",)),),
        birth_date="19500102",
    )
)
KNOWN = Known(IDENTITY)
VALUES = {"mrn": "100200307", "ssn": "987-65-4321", "phone": "555-010-1234", "email": "jonas@mail.example", "dob": "01/02/1950",
          "name": "Jonas Quillfeather", "street": "12 Elderflower Row"}  # fmt: skip
CONTEXT = {
    "mrn": "MRN {}",
    "ssn": "SSN {}",
    "phone": "Phone {}",
    "email": "mail {}",
    "dob": "DOB {}",
    "name": "Seen: {}",
    "street": "at {}",
}

#: Every disguise of the benchmark, and more that are searched for here.
VARIANTS: dict[str, Callable[[str], str]] = {
    **DISGUISES,
    "every soft hyphen": "\u00ad".join,
    "html tags": lambda v: f"<b>{v}</b>",
    "html named": html.escape,
    "url without slashes": urllib.parse.quote,
    "spaces for hyphens": lambda v: v.replace(" ", "\u00a0").replace("-", "\u00a0"),
    "longer tags inside": lambda v: f"{v[:2]}<b>{v[2:5]}</b>{v[5:]}",
    "caret name": lambda v: "^".join(reversed(v.split(" "))) if v.count(" ") == 1 else v,
}


def leaks(kind: str, clean: str) -> bool:
    """Whether somebody who undoes the disguises can read the value (whole, or any name word)."""
    plain = normalise(html.unescape(urllib.parse.unquote(clean))).text.casefold()
    squeezed = "".join(c for c in plain if c.isalnum())
    parts = VALUES[kind].split() if kind == "name" else [VALUES[kind]]
    found = any("".join(c for c in part.casefold() if c.isalnum()) in squeezed for part in parts)
    return found or base64.b64encode(VALUES[kind].encode()).decode() in clean


@pytest.mark.parametrize("variant", sorted(VARIANTS))
@pytest.mark.parametrize("kind", sorted(VALUES))
def test_known_identifiers_leak_in_no_disguise(kind: str, variant: str) -> None:
    """Name, record number, social security number, phone, mail and birth date are found however they are written."""
    clean, _ = scrub(f"Note. {CONTEXT[kind].format(VARIANTS[variant](VALUES[kind]))} end.", KNOWN)
    assert not leaks(kind, clean)


def test_the_measure_itself_sees_leaks() -> None:
    """Negative control: unscrubbed text leaks in every disguise."""
    missed = [(k, v) for k in VALUES for v in VARIANTS if not leaks(k, f"x {VARIANTS[v](VALUES[k])} y")]
    assert missed == []


HOSTILE = {
    "digits": "1" * 100_000,
    "digit groups": "12-" * 33_000,
    "capitals": "Aa " * 33_000,
    "one word": "a" * 100_000,
    "dots": "a." * 50_000,
    "ats": "a@" * 50_000,
    "colons": "ab:" * 33_000,
    "titles": "Dr. " * 25_000,
    "names": "Mr. Abcdef Ghijkl " * 5_500,
    "labels": "MRN: " * 20_000,
    "slashes": "1/" * 50_000,
    "months": "March 1 " * 12_500,
    "streets": "12 Elm " * 14_000,
    "blanks": " " * 100_000,
    "lines": "\n" * 100_000,
    "entities": "&#65;" * 20_000,
    "percent": "%41" * 33_000,
    "combining": "a" + "\u0301" * 100_000,
    "base64": "QWJj" * 25_000,
    "tags": "<b " * 33_000,
    "rtf": "\\'4a" * 25_000,
    "hl7": "\\X4A" * 25_000,
    "split lines": "1\n2-" * 25_000,
    "numbers of numbers": " id" * 33_000 + " 7",
    "closing": "\nSincerely" + " " * 100_000,
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_text_takes_linear_time(name: str) -> None:
    """100 kB of anything: twenty times the text may take two hundred times as long on a busy machine, squares would take four hundred."""
    text = HOSTILE[name]

    def seconds(sample: str) -> float:
        begun = time.perf_counter()
        for find in RECOGNIZERS.values():
            for _ in find(sample):
                pass
        return time.perf_counter() - begun

    small = min(seconds(text[: len(text) // 20]) for _ in range(3))
    assert seconds(text) < max(200 * small, 3.0)
