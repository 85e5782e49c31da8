"""Facilities and employers by name; a hospital's name tells a place smaller than a state."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agents.deidentify.text.signs import Near
from agents.deidentify.text.spans import ORGANIZATION, Found

RULE = "organization"

_KIND = (
    r"(?:Hospitals?|Medical (?:Center|Centre|Group|Associates|Clinic)|Clinics?|Health(?:care)? (?:System|Center|Centre|Services|Partners|Network|Plan)|"
    r"Healthcare|Nursing (?:Home|Center|Facility)|Rehab(?:ilitation)? (?:Center|Hospital|Facility)|Hospice|University|College|High School|Elementary School|"
    r"Pharmacy|Laborator(?:y|ies)|Infirmary|Surgery Center|Cancer Center|Heart (?:Center|Institute)|Children'?s|Memorial|Sanatorium|"
    r"Assisted Living|Senior Living|Care Center|Institute|Inc\.?|LLC|Corp(?:oration|\.)?|Ltd\.?)"
)
_WORD = r"[A-Z][\w'’&-]{0,30}"
_NAMED = Near(
    re.compile(
        rf"\b((?:(?:St\.?|Mt\.?|Saint)[ \t])?{_WORD}(?:[ \t](?:of|the|and|for|de)(?=[ \t][A-Z])|[ \t]{_WORD}){{0,5}}?)[ \t]({_KIND})(?!\w)"
    ),
    "hospital hospitals medical clinic clinics health healthcare nursing rehab rehabilitation hospice university college high elementary pharmacy "
    "laboratory laboratories infirmary surgery cancer heart children childrens children's memorial sanatorium assisted senior care institute inc llc "
    "corp corporation ltd",
    before=240,
    after=60,
)
#: Kinds of facilities, not names of one.
_GENERIC = frozenset(
    [
        "the",
        "a",
        "an",
        "this",
        "our",
        "your",
        "my",
        "local",
        "primary",
        "pain",
        "sleep",
        "eye",
        "wound",
        "urgent",
        "outpatient",
        "inpatient",
        "coumadin",
        "anticoagulation",
        "cardiology",
        "oncology",
        "neurology",
        "urology",
        "radiology",
        "pathology",
        "surgery",
        "dermatology",
        "psychiatry",
        "orthopedic",
        "orthopedics",
        "pediatric",
        "pediatrics",
        "emergency",
        "community",
        "general",
        "family",
        "internal",
        "specialty",
        "diabetes",
        "fertility",
        "memory",
        "dental",
        "va",
        "veterans",
        "state",
        "county",
        "city",
        "private",
        "public",
        "regional",
        "rehab",
        "rehabilitation",
        "skilled",
        "clinical",
        "medical",
        "mental",
        "behavioral",
        "women's",
        "men's",
        "children's",
        "day",
        "walk-in",
        "infusion",
        "travel",
        "vaccine",
        "allergy",
        "asthma",
        "lipid",
        "thyroid",
        "headache",
        "transplant",
        "dialysis",
        "home",
        "health",
        "care",
        "from",
        "at",
        "in",
        "to",
        "and",
        "with",
        "he",
        "she",
        "they",
        "patient",
        "pt",
        "referred",
        "admitted",
        "transferred",
        "seen",
        "outside",
        "another",
        "area",
        "nearby",
        "nearest",
        "retail",
        "hospital",
        "clinic",
        "lab",
        "laboratory",
        "reference",
        "microbiology",
        "core",
        "central",
        "research",
        "academic",
        "tertiary",
        "acute",
        "long-term",
        "insurance",
    ]
)


def find(text: str) -> Iterator[Found]:
    for match in _NAMED.finditer(text):
        start = match.start(1)
        words = match[1].split()
        while words and words[0].strip(".,").casefold() in _GENERIC:
            start += len(words.pop(0))
            while start < match.end(1) and text[start].isspace():
                start += 1
        if words:
            yield Found(start, match.end(), ORGANIZATION, "pattern", RULE, 0.8)
