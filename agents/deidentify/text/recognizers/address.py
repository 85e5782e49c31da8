"""Geography below a state (45 CFR 164.514(b)(2)(i)(B)): street lines, post office boxes, ``City, ST``, postal codes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agents.deidentify.text.signs import Near, NearMatch
from agents.deidentify.text.spans import LOCATION, Found
from agents.deidentify.zip_codes import STATES

RULE = "address"

_KINDS = (
    r"(?:Street|St|Avenue|Ave?|Road|Rd|Drive|Dr|Lane|Ln|Boulevard|Blvd|Court|Ct|Circle|Cir|Place|Pl|Terrace|Ter|Way|Parkway|Pkwy|"
    r"Highway|Hwy|Route|Rte|Trail|Trl|Square|Sq|Loop|Alley|Plaza|Row|Crescent|Close|Mews|Gardens|Pike|Turnpike|Expressway|Run|Path)"
)
_UNIT = r"(?:,?\s{1,2}(?:Apt|Apartment|Suite|Ste|Unit|Room|Rm|Floor|Fl|Bldg|Building|#)\.?\s?#?\w{1,6}\b)?"
_STREET = NearMatch(
    re.compile(
        rf"(?<![\w.,/-])\d{{1,6}}[A-Za-z]?\s{{1,2}}(?:(?:[NSEW]|[NS][EW]|North|South|East|West)\.?\s)?(?:(?:[A-Z][\w'.-]{{0,30}}|\d{{1,3}}(?:st|nd|rd|th))\s){{1,4}}"
        rf"{_KINDS}\b\.?(?:\s(?:[NSEW]|[NS][EW])\b\.?)?{_UNIT}"
    ),
    r"\d[A-Za-z]?\s{1,2}(?:[A-Z]|\d)",
    before=8,
    after=260,
)
_STREET_CAPITALS = NearMatch(
    re.compile(rf"(?<![\w.,/-])\d{{1,6}}\s(?:[A-Z0-9]{{1,20}}\s){{1,4}}{_KINDS.upper()}\b\.?"),
    r"\d\s[A-Z0-9]",
    before=8,
    after=160,
)
_BOX = Near(re.compile(r"\bP\.?\s?O\.?\s?Box\s?#?\d{1,8}\b", re.IGNORECASE), "box", before=12, after=16, digit=True)
_ROUTE = Near(
    re.compile(
        r"\b(?:Rural Route|RR|County Road|CR|State Route|SR|Highway|Hwy|Interstate|I)[- ]\d{1,4}\b(?=\s?(?:,|in\b|near\b|box\b))",
        re.IGNORECASE,
    ),
    "rural rr county cr state sr highway hwy interstate i",
    after=40,
    digit=True,
)

_STATE = "|".join(sorted(STATES, key=len, reverse=True))
_CITY = r"(?:(?:St|Ft|Mt|Fort|San|Santa|New|Los|Las|El|La|Port|Lake|North|South|East|West|Saint|Mount|Cape|Grand|Palm|Baton|Des|Salt|Kansas|Oklahoma|Winston)\.?[ -])?[A-Z][a-z'-]{2,24}(?:[ -][A-Z][a-z]{2,20}){0,2}"
_CITY_STATE = re.compile(rf"\b({_CITY}),\s{{0,2}}(?:{_STATE})\b(?:,?\s{{1,2}}(\d{{5}}(?:-\d{{4}})?))?")
_STATE_ZIP = NearMatch(re.compile(rf"\b(?:{_STATE})\.?,?\s{{1,3}}(\d{{5}}(?:-\d{{4}})?)(?![\w-])"), r"\d{5}", before=30, after=12)
_NAMED_ZIP = Near(
    re.compile(
        r"\b(?:zip|postal|post)\s?(?:code)?\b\s{0,2}(?::|#|is|of)?\s{0,2}(\d{5}(?:-\d{4})?|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|[A-Z]\d[A-Z] ?\d[A-Z]\d)",
        re.IGNORECASE,
    ),
    "zip zipcode postal post postcode",
    after=40,
    digit=True,
)
_PLUS_FOUR = NearMatch(re.compile(r"(?<![\w-])\d{5}-\d{4}(?![\w-])"), r"\d{5}-", before=2, after=8)
_LIVES = Near(
    re.compile(
        rf"\b(?:lives?|living|resid(?:es?|ing)|located|born|grew up|raised|moved|relocated|travel(?:ed|led)?|transferred|flown|native|resident|from)\s(?:in|to|at|near|from|of)?\s?(?:the\s)?((?:downtown\s)?{_CITY})"
    ),
    "live lives living reside resides residing located born grew raised moved relocated travel traveled travelled transferred flown native "
    "resident from",
    after=140,
)
#: Cities of 300,000 people and more in the 2020 census (and their short forms) that are no other word.
_LARGE = Near(
    re.compile(
        r"\b(?:New York City|NYC|Los Angeles|Chicago|Houston|Philadelphia|San Antonio|San Diego|San Jose|Jacksonville|Fort Worth|San Francisco|"
        r"Indianapolis|Seattle|Denver|Nashville|Oklahoma City|El Paso|Boston|Portland|Las Vegas|Detroit|Memphis|Louisville|Baltimore|Milwaukee|"
        r"Albuquerque|Tucson|Fresno|Sacramento|Kansas City|Mesa(?=,)|Atlanta|Omaha|Colorado Springs|Raleigh|Miami|Long Beach|Virginia Beach|Oakland|"
        r"Minneapolis|Tulsa|Tampa|Arlington|New Orleans|Wichita|Bakersfield|Honolulu|Anaheim|Santa Ana|Corpus Christi|St\. Louis|Saint Louis|"
        r"Pittsburgh|Cincinnati|Anchorage|St\. Paul|Saint Paul|Newark|Stockton|Salt Lake City|Brooklyn|Manhattan|Staten Island|the Bronx)"
        r"(?!(?:'s)? (?:criteria|classification|score|scale|coma|procedure|protocol|keratoprosthesis|naming))\b"
    ),
    "new nyc los chicago houston philadelphia san jacksonville fort indianapolis seattle denver nashville oklahoma el boston portland las "
    "detroit memphis louisville baltimore milwaukee albuquerque tucson fresno sacramento kansas mesa atlanta omaha colorado raleigh miami long "
    "virginia oakland minneapolis tulsa tampa arlington wichita bakersfield honolulu anaheim santa corpus st saint pittsburgh cincinnati anchorage "
    "newark stockton salt brooklyn manhattan staten the",
    after=80,
)
#: Words that begin with a capital after "from" and are no place.
_NO_PLACE = frozenset(
    [
        "The",
        "This",
        "That",
        "These",
        "Those",
        "His",
        "Her",
        "Their",
        "Emergency",
        "Medical",
        "Surgical",
        "Intensive",
        "Care",
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
        "Clinic",
        "Hospital",
        "Room",
        "English",
        "Spanish",
        "Home",
        "Nursing",
        "Cardiology",
        "Oncology",
        "Neurology",
        "Urology",
        "Radiology",
        "Pathology",
        "Surgery",
        "Medicine",
        "Psychiatry",
        "Patient",
        "Type",
        "Stage",
        "Grade",
        "Covid",
        "Epic",
        "Hypertension",
        "Diabetes",
        "Mother",
        "Father",
        "Alzheimer",
        "Parkinson",
        "Dementia",
        "Primary",
        "Internal",
        "Family",
        "Unit",
        "Floor",
        "Ward",
    ]
)


def find(text: str) -> Iterator[Found]:
    for pattern in (_STREET, _STREET_CAPITALS, _BOX, _ROUTE, _PLUS_FOUR, _LARGE):
        for match in pattern.finditer(text):
            yield Found(match.start(), match.end(), LOCATION, "pattern", RULE)
    for match in _CITY_STATE.finditer(text):
        yield Found(match.start(1), match.end(1), LOCATION, "pattern", RULE)
        if match[2]:
            yield Found(match.start(2), match.end(2), LOCATION, "pattern", RULE)
    for pattern in (_STATE_ZIP, _NAMED_ZIP):
        for match in pattern.finditer(text):
            yield Found(match.start(1), match.end(1), LOCATION, "pattern", RULE)
    for match in _LIVES.finditer(text):
        if match[1].split()[0] not in _NO_PLACE and match[1] not in STATES:
            yield Found(match.start(1), match.end(1), LOCATION, "pattern", RULE, 0.7)
