"""Names and places to draw surrogates from: public lists in the data folder and own lists beside this module, split so that
development names are unseen in training."""

from __future__ import annotations

import csv
import json
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

Part = Literal["train", "dev"]
Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """Given and family names of one origin."""

    first: Names
    last: Names


@dataclass(frozen=True, slots=True)
class Gazetteer:
    """Lists of one part.

    Args:
        first, last: British and US names. ``rare_*`` come from a long list of unusual spellings, in small letters.
        places: (city, state, abbreviation, ZIP code, county).
        origins: own lists of names by origin, with the marks of their script.
        lists: own word lists of ``lists.toml`` and ``names.toml``.
        patterns: shapes and weights of numbers by kind, from ``patterns.toml``.
    """

    first: Names
    last: Names
    rare_first: Names
    rare_last: Names
    places: tuple[tuple[str, str, str, str, str], ...]
    hospitals: Names
    origins: dict[str, Origin]
    lists: dict[str, list[str]]
    patterns: dict[str, tuple[list[str], list[int]]]


def _belongs(name: str, part: Part) -> bool:
    return (crc32(name.lower().encode()) % 5 == 0) == (part == "dev")


@cache
def toml_of(name: str) -> dict[str, Any]:
    """One of the TOML files of this package."""
    return tomllib.loads(resources.files("training.phi").joinpath(name).read_text("utf-8"))


def _words(text: str) -> list[str]:
    return [word.replace("_", " ") for word in text.split()]


def own_lists() -> dict[str, list[str]]:
    """Word lists of ``lists.toml`` and the single lists of ``names.toml``."""
    rows = toml_of("lists.toml") | {k: v for k, v in toml_of("names.toml").items() if k != "origins"}
    return {name: _words(row) if isinstance(row, str) else row for name, row in rows.items()}


def own_patterns() -> dict[str, tuple[list[str], list[int]]]:
    """Shapes and their weights by kind."""
    found = {}
    for kind, rows in toml_of("patterns.toml").items():
        pairs = [row.partition(" ") for row in rows]
        found[kind] = ([shape for _, _, shape in pairs], [int(weight) for weight, _, _ in pairs])
    return found


def own_origins(part: Part) -> dict[str, Origin]:
    """Names by origin; an origin of which a part has no name is left out there."""
    found = {}
    for name, row in toml_of("names.toml")["origins"].items():
        first, last = (tuple(n for n in _words(row[k]) if _belongs(n, part)) for k in ("first", "last"))
        if first and last:
            found[name] = Origin(first, last)
    return found


def load_gazetteer(data: Path, part: Part) -> Gazetteer:
    """Read the lists; four fifths of all names and places are for training, one fifth for development."""
    simhospital = data / "gazetteer_simhospital/configs/hl7_messages/third_party"
    first: set[str] = set()
    for sex in ("boys", "girls"):
        with (simhospital / f"historicname_tcm77-254032-{sex}.csv").open(encoding="utf-8") as file:
            cells = (cell.strip() for row in csv.reader(file) if row and row[0].isdigit() for cell in row[1:])
            first |= {cell.title() for cell in cells if cell.isalpha()}
    surnames = {line.strip() for line in (simhospital / "surnames.txt").read_text(encoding="utf-8").splitlines()}
    surnames = {name for name in surnames if name and not name.startswith("#") and len(name) > 1}
    philter = data / "gazetteer_philter_names/filters/blacklists"
    rare_first = [n for n in json.loads((philter / "firstnames_minus_fps.json").read_text()) if 2 < len(n) < 12]
    rare_last = [n for n in json.loads((philter / "lastnames_minus_fps.json").read_text()) if 2 < len(n) < 14]
    zips = data / "gazetteer_us_geo_reportstream/prime-router/metadata/tables/local/zip-code-data.csv"
    with zips.open(encoding="utf-8") as file:
        places = [
            (r["city"].title(), r["state"].title(), r["state_abbr"], r["zipcode"].zfill(5), r["county"].title())
            for r in csv.DictReader(file)
        ]
    with (data / "gazetteer_cms_hospitals/Hospital_General_Information.csv").open(encoding="utf-8", errors="replace") as file:
        hospitals = {r["Hospital Name"].title().replace("'S", "'s") for r in csv.DictReader(file)}

    def of(names: set[str] | list[str]) -> Names:
        return tuple(sorted(name for name in names if _belongs(name, part)))

    return Gazetteer(
        first=of(first),
        last=of(surnames),
        rare_first=of(rare_first),
        rare_last=of(rare_last),
        places=tuple(sorted({p for p in places if _belongs(p[0], part)})),
        hospitals=of(hospitals),
        origins=own_origins(part),
        lists=own_lists(),
        patterns=own_patterns(),
    )
