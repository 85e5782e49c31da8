"""Names and places to draw surrogates from: public lists in the data folder, split so that development names are unseen."""

from __future__ import annotations

import csv
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

Part = Literal["train", "dev"]


@dataclass(frozen=True, slots=True)
class Gazetteer:
    """Lists of one part. ``rare_*`` come from a long list of unusual spellings, all in small letters at the source."""

    first: tuple[str, ...]
    last: tuple[str, ...]
    rare_first: tuple[str, ...]
    rare_last: tuple[str, ...]
    places: tuple[tuple[str, str, str, str], ...]  # city, state, abbreviation, ZIP
    hospitals: tuple[str, ...]
    lists: dict[str, Any]  # templates.toml: own short lists, patterns, templates


def _belongs(name: str, part: Part) -> bool:
    return (crc32(name.lower().encode()) % 5 == 0) == (part == "dev")


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
    with (data / "gazetteer_us_geo_reportstream/prime-router/metadata/tables/local/zip-code-data.csv").open(
        encoding="utf-8"
    ) as file:
        places = [(r["city"].title(), r["state"].title(), r["state_abbr"], r["zipcode"].zfill(5)) for r in csv.DictReader(file)]
    with (data / "gazetteer_cms_hospitals/Hospital_General_Information.csv").open(encoding="utf-8", errors="replace") as file:
        hospitals = {r["Hospital Name"].title().replace("'S", "'s") for r in csv.DictReader(file)}

    def of(names: set[str] | list[str]) -> tuple[str, ...]:
        return tuple(sorted(name for name in names if _belongs(name, part)))

    return Gazetteer(
        first=of(first),
        last=of(surnames),
        rare_first=of(rare_first),
        rare_last=of(rare_last),
        places=tuple(sorted({p for p in places if _belongs(p[0], part)})),
        hospitals=of(hospitals),
        lists=tomllib.loads((Path(__file__).parent / "templates.toml").read_text(encoding="utf-8")),
    )
