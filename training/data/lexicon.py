"""Words for the generated lines: drug names of RxNorm and DrugBank (CC0), disease names of DOID (CC0), own short lists in ``words.toml``."""

from __future__ import annotations

import csv
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_DRUG_ROW = re.compile(r"^\s*\d+: '(.+)',\s*$", re.MULTILINE)
_STRENGTH = re.compile(r"\s\d.*$|\s(?:Pill|Oral|Topical|Injectable|Product).*$")


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Names to draw from: the own short lists of ``words.toml`` and the longer tails of the terminologies."""

    drugs: tuple[str, ...]
    diseases: tuple[str, ...]
    words: dict[str, Any]


def load_lexicon(data: Path) -> Lexicon:
    """Read the tails: RxNorm ingredient names (up to 3 words), DrugBank common names, DOID labels (up to 4 words)."""
    rows = (data / "term_rxnorm_medlist_cdshooks/src/assets/medication-list.js").read_text(encoding="utf-8")
    drugs = {_STRENGTH.sub("", row.split(" / ")[0]) for row in _DRUG_ROW.findall(rows)}
    drugs = {name for name in drugs if len(name.split()) <= 3 and len(name) > 3 and "[" not in name and name[0].isalpha()}
    with (data / "term_drugbank_vocabulary_cc0/drugbank_vocabulary.csv").open(encoding="utf-8") as file:
        bank = {row["Common name"] for row in csv.DictReader(file)}
    drugs |= {name for name in bank if name.isalpha() and 4 <= len(name) <= 14}
    with (data / "term_doid/DOreports/HumanDO.tsv").open(encoding="utf-8") as file:
        labels = {row["label"].strip('"') for row in csv.DictReader(file, delimiter="\t")}
    diseases = {name for name in labels if 1 <= len(name.split()) <= 4 and len(name) > 4 and not any(c.isdigit() for c in name)}
    words = tomllib.loads((Path(__file__).parent / "words.toml").read_text(encoding="utf-8"))
    return Lexicon(tuple(sorted(drugs)), tuple(sorted(diseases)), words)
