"""Writes ``tables.json`` from hl7apy's definitions of v2.1 to v2.8.2; a build-time tool, never imported at run time.

    python -m venv /path/to/venv && /path/to/venv/bin/pip install hl7apy==1.3.5
    /path/to/venv/bin/python schemas/hl7/generate_tables.py

One table serves all versions, because senders rarely keep to the version that MSH-12 names. Where versions disagree about a
field, the type that can identify somebody wins, so that a table lookup can only err on the side of redaction.
"""

from __future__ import annotations

import importlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

VERSIONS = ("2_1", "2_2", "2_3", "2_3_1", "2_4", "2_5", "2_5_1", "2_6", "2_7", "2_8", "2_8_1", "2_8_2")

#: Withdrawn or missing: says nothing about what older senders put there.
ABSENT = {None, "WD", "wd"}

#: First match wins; the later form of a type stands before the earlier one, whose components it extends.
IDENTIFYING = (
    "NDL", "XCN", "CN", "XPN", "PN", "PPN", "CX", "CK", "XAD", "AD", "SAD", "XTN", "TN", "XON", "EIP", "EI", "PL", "DLN", "PLN",
    "PI", "DR", "TS", "DTM", "DT", "FT", "TX",
)  # fmt: skip

#: In v2.1 and v2.2 nearly every coded field was still ``ST``; only from v2.3 on does ``ST`` mean free text.
FREE_TEXT_SINCE = "2_3"


def choose(types: dict[str, str], *, free_text_wins: bool) -> str | None:
    """The one type for a field or component from its types by version."""
    present = {version: name for version, name in types.items() if name not in ABSENT}
    if not present:
        return None
    for name in IDENTIFYING:
        if name in present.values():
            return "TS" if name == "DTM" and "TS" in present.values() else name
    if free_text_wins and any(name == "ST" and version >= FREE_TEXT_SINCE for version, name in present.items()):
        return "ST"
    exact = [name for name in present.values() if not name.startswith("CM")]
    return (exact or list(present.values()))[-1]


def collect(module: str, attribute: str, *, free_text_wins: bool) -> dict[str, list[str | None]]:
    """``{"PID": ["SI", "CX", ...]}`` over all versions; a gap is ``None``."""
    found: dict[str, dict[int, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    for version in VERSIONS:
        definitions: dict[str, Any] = getattr(importlib.import_module(f"hl7apy.v{version}.{module}"), attribute)
        for key, definition in definitions.items():
            owner, _, position = key.rpartition("_")
            if owner and position.isdigit():
                found[owner][int(position)][version] = definition[2]
    merged = {
        owner: [choose(rows.get(n, {}), free_text_wins=free_text_wins) for n in range(1, max(rows) + 1)]
        for owner, rows in found.items()
    }
    return {owner: kinds for owner, kinds in merged.items() if any(kinds)}


def main() -> None:
    fields = collect("fields", "FIELDS", free_text_wins=True)
    components = collect("datatypes", "DATATYPES", free_text_wins=False)
    tables = {
        "fields": {owner: " ".join(kind or "-" for kind in kinds) for owner, kinds in fields.items()},
        "components": {owner: " ".join(kind or "-" for kind in kinds) for owner, kinds in components.items()},
    }
    target = Path(__file__).with_name("tables.json")
    target.write_text(json.dumps(tables, indent=0, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
