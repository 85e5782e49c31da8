"""Linking of gold mentions: ``python -m benchmarks.linking [--data DIR] [--terms DIR] [--encoder BUNDLE [--trusted-keys DIR]] [--record]``.

NCBI development part and BC5CDR sample (which overlaps the training split that the entity model saw; the linker is not trained). A mention
is right when a code of its concept is one of its gold ids; of a name that joins two diseases, when it is one of either. Mentions whose gold
id is none or -1 are left out. Indexes: ``free``, of the data folder's files; ``open``, with MeSH and MONDO in full (``--terms``: a folder of
``mesh.bin`` and ``mondo.obo``, ``benchmarks.vocabularies``); ``shipped``, the one that ships, which has the names of NCBI's training part too.
``stages`` switches the ways of linking on one after the other, on the shipped index.
No file of MeSH's chemicals is at hand: for chemicals the table says how many are linked to an ingredient, and how many mentions of one gold
id go to the ingredient that most of them go to.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from agents.extract.expansions import definitions, expand
from agents.extract.linking.abbreviations import abbreviated
from agents.extract.linking.build import build
from agents.extract.linking.index import SHIPPED, Index, encode, read
from agents.extract.linking.linker import Context, Linker, Match
from agents.extract.linking.nearest import vectors_of
from agents.extract.linking.sources import MESH, OMIM
from models.embedder import Embedder
from models.signature import KEYS

RESULTS = Path(__file__).with_name("results") / "linking.json"


@dataclass(frozen=True, slots=True)
class Gold:
    text: str
    kind: str
    expansion: str
    ids: frozenset[str]
    context: Context


#: The ways of linking in the order in which the ablation switches them on.
STAGES: dict[str, tuple[Match, ...]] = {
    "exact": ("exact",), "normal": ("normal", "completed", "derived", "unqualified"), "joined": ("joined",), "fuzzy": ("fuzzy",), "wider": ("wider",),
}  # fmt: skip


def sources(data: Path, terms: Path | None = None) -> list[tuple[str, Path]]:
    """The free vocabularies at hand, in the order in which they own codes; ``terms``: the folder of MeSH and MONDO in full."""
    mondo, doid = data / "term_mondo_mappings/src/ontology/mappings", data / "term_doid"
    return [
        *([("mesh", terms / "mesh.bin")] if terms else []),
        *(("mondo", mondo / f"mondo_exactmatch_{name}.sssom.tsv") for name in ("doid", "mesh", "ncit", "icd10cm")),
        *([("obo", terms / "mondo.obo")] if terms else []),
        ("doid", doid / "DOreports/HumanDO.tsv"),
        ("doid", doid / "DOreports/allXREFinDO.tsv"),
        *(("obo", path) for path in sorted((doid / "src/ontology/subsets").glob("*.obo"))),
        ("icd10cm", data / "term_icd10cm/icd10cm-order-Jan-2021.txt"),
        ("icd10cm-tabular", data / "term_icd10cm/icd10cm_tabular_2021.xml"),
        ("labeledin", data / "term_labeledin_drug_indications/indications.tsv"),
        ("drugbank", data / "term_drugbank_vocabulary_cc0/drugbank_vocabulary.csv"),
        ("rxnorm-medlist", data / "term_rxnorm_medlist_cdshooks/src/assets/medication-list.js"),
    ]


def gold(path: Path) -> list[Gold]:
    """Mentions of a PubTator file with what their abstract says that they abbreviate."""
    texts: dict[str, list[str]] = defaultdict(list)
    rows: list[list[str]] = []
    for line in path.read_text("utf-8").splitlines():
        head = line.split("|", 2)
        if len(head) == 3 and head[1] in ("t", "a"):
            texts[head[0]].append(head[2])
        elif len(cells := line.split("\t")) >= 6:
            rows.append(cells)
    found = []
    spans: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for cells in rows:
        # The linker sees problems and medications, not the corpus' finer types.
        spans[cells[0]].append((int(cells[1]), int(cells[2]), "medication" if cells[4] == "Chemical" else "problem"))
    known = {key: abbreviated(" ".join(parts), spans[key]) for key, parts in texts.items()}
    around = {key: Context.of(" ".join(parts), spans[key]) for key, parts in texts.items()}
    for cells in rows:
        text, start, end = " ".join(texts[cells[0]]), int(cells[1]), int(cells[2])
        ids = frozenset(i.split(":")[-1] for i in re.split(r"[|+]", cells[5].strip()) if i and i != "-1")
        if ids:
            kind = "medication" if cells[4] == "Chemical" else "problem"
            meaning = known[cells[0]].get(cells[3]) or expand(text, start, end, "", definitions(text))
            found.append(Gold(cells[3], kind, meaning, ids, around[cells[0]]))
    return found


def score(linker: Linker, mentions: list[Gold], ids: frozenset[str]) -> dict[str, object]:
    right, said, kinds = 0, 0, defaultdict(lambda: [0, 0, 0])
    begin = time.perf_counter()
    links = [linker.link(m.text, m.kind, m.expansion, m.context) for m in mentions]
    spent = time.perf_counter() - begin
    for mention, link in zip(mentions, links, strict=True):
        if link is None:
            continue
        offered = {coding.code for coding in linker.codings(link) if coding.system in (MESH, OMIM)}
        hit = bool(offered & mention.ids)
        said, right = said + 1, right + hit
        kinds[link.match][0] += hit
        kinds[link.match][1] += 1
        kinds[link.match][2] += bool(offered)
    return {
        "mentions": len(mentions), "accuracy": round(right / len(mentions), 4), "linked": round(said / len(mentions), 4),
        "precision": round(right / max(said, 1), 4), "precision_where_mesh_or_omim": round(right / max(sum(row[2] for row in kinds.values()), 1), 4),
        "gold_id_in_index": round(sum(bool(m.ids & ids) for m in mentions) / len(mentions), 4),
        "accuracy_where_gold_id_in_index": round(right / max(sum(bool(m.ids & ids) for m in mentions), 1), 4),
        "ms_per_mention": round(spent / len(mentions) * 1000, 3),
        "by_match": {kind: {"linked": n, "right": round(hit / n, 4), "right_where_mesh_or_omim": round(hit / max(comparable, 1), 4)}
            for kind, (hit, n, comparable) in sorted(kinds.items())},
    }  # fmt: skip


def ingredients(linker: Linker, mentions: list[Gold]) -> dict[str, object]:
    groups: dict[frozenset[str], list[str]] = defaultdict(list)
    linked = 0
    for mention in mentions:
        link = linker.link(mention.text, mention.kind, mention.expansion, mention.context)
        linked += link is not None
        if link is not None:
            groups[mention.ids].append(link.concept.codes[0][1])
    agreed = sum(Counter(codes).most_common(1)[0][1] for codes in groups.values())
    return {"mentions": len(mentions), "linked": round(linked / len(mentions), 4), "agreeing": round(agreed / max(linked, 1), 4)}


def speed(linker: Linker, names: list[str]) -> int:
    """Exact look-ups a second, none of them seen before by this linker."""
    begin = time.perf_counter()
    for name in names:
        linker.link(name, "problem")
    return round(len(names) / (time.perf_counter() - begin))


def known(index: Index) -> frozenset[str]:
    """The MeSH and OMIM ids that an index has."""
    return frozenset(code for c in index.concepts for system, code, _ in (*c.codes, *c.further) if system in (MESH, OMIM))


def plain(mentions: list[Gold]) -> list[Gold]:
    """The mentions without what their note says."""
    return [replace(mention, expansion="", context=Context()) for mention in mentions]


def stages(index: Index, parts: dict[str, list[Gold]], embedder: Embedder | None) -> dict[str, object]:
    """Accuracy, share linked and precision as each way of linking comes to those before it; the note's own words last but one."""
    on: frozenset[Match] = frozenset()
    ids = known(index)
    told: dict[str, dict[str, object]] = {part: {} for part in parts}

    def measure(name: str, linker: Linker, *, alone: bool = False) -> None:
        for part, mentions in parts.items():
            row = score(linker, plain(mentions) if alone else mentions, ids)
            told[part][name] = {key: row[key] for key in ("accuracy", "linked", "precision", "ms_per_mention")}

    for name, matches in STAGES.items():
        on |= set(matches)
        linker = Linker(index, "x", 0, stages=on, context=False)
        measure(f"+{name}", linker, alone=True)
    measure("+definitions", linker)
    measure("+context", Linker(index, "x", 0, stages=on))
    if embedder is not None:
        measure("+nearest", Linker(index, "x", 0, embedder))
    return dict(told)


def errors(linker: Linker, mentions: list[Gold]) -> str:
    """The most frequent wrong mentions of the training part, by what went wrong."""
    wrong: Counter[str] = Counter()
    ids = known(linker.index)
    for m in mentions:
        link = linker.link(m.text, m.kind, m.expansion, m.context)
        offered = {coding.code for coding in linker.codings(link) if coding.system in (MESH, OMIM)} if link else set()
        if not offered & m.ids:
            what = "unlinked" if link is None else "no MeSH or OMIM code" if not offered else f"wrong by {link.match}"
            absent = "" if m.ids & ids else ", gold id not in the index"
            wrong[
                f"{what}{absent} | {m.text} | {m.expansion} | {'/'.join(sorted(m.ids))} | {link and link.concept.codes[:3]}"
            ] += 1
    return "\n".join(f"{n} {row}" for row, n in wrong.most_common(150))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("WARDSTREAM_DATA", "../shared/data")))
    parser.add_argument("--terms", type=Path, help="folder of mesh.bin and mondo.obo")
    parser.add_argument("--encoder", type=Path, help="bundle of an encoder of names, for the last stage")
    parser.add_argument("--trusted-keys", type=Path, default=KEYS, help="folder of public keys that its signature may be of")
    parser.add_argument(
        "--only", choices=["free", "shipped", "open"], help="this index alone; what is recorded of the others stays"
    )
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument(
        "--errors", action="store_true", help="print wrong mentions of the NCBI training part, which nothing is scored on"
    )
    args = parser.parse_args()
    ncbi = args.data / "ner_ncbi_disease"
    train = gold(ncbi / "NCBItrainset_corpus.txt")
    sample = gold(args.data / "ner_bc5cdr_pubtator_sample/CDR_sample.txt")
    parts = {"ncbi_dev": gold(ncbi / "NCBIdevelopset_corpus.txt"), "bc5cdr_disease": [m for m in sample if m.kind == "problem"]}
    indexes = {"free": lambda: encode(build(sources(args.data))), "shipped": SHIPPED.read_bytes}
    if args.terms:
        indexes["open"] = lambda: encode(build(sources(args.data, args.terms)))
    table: dict[str, object] = json.loads(RESULTS.read_text()) if args.only else {}
    for name, content_of in indexes.items():
        if args.only not in (None, name):
            continue
        content = content_of()
        with tempfile.NamedTemporaryFile(suffix=".index") as file:
            Path(file.name).write_bytes(content)
            begin = time.perf_counter()
            linker = Linker.load(Path(file.name), 0)
            spent = time.perf_counter() - begin
            index = read(Path(file.name))[0]
        ids = known(index)
        rows: dict[str, object] = {
            "MiB": round(len(content) / 2**20, 2), "concepts": len(index.concepts), "names": index.names,
            "load_s": round(spent, 2), "exact_per_second": speed(linker, list(index.exact)[::20]),
            **{part: score(linker, mentions, ids) for part, mentions in parts.items()},
            **{f"{part}_at_default_threshold": score(Linker(index, "default"), mentions, ids) for part, mentions in parts.items()},
            "bc5cdr_chemical": ingredients(linker, [m for m in sample if m.kind == "medication"]),
        }  # fmt: skip
        if name == "shipped":
            embedder = None if args.encoder is None else Embedder.load(args.encoder, trusted_keys=args.trusted_keys)
            rich = index if embedder is None else msgspec.structs.replace(index, vectors=vectors_of(index, embedder))
            rows["stages"] = stages(rich, parts, embedder)
        elif name == ("open" if args.terms else "free"):
            rows["ncbi_train_for_scores"] = score(linker, train, ids)
            if args.errors:
                print(errors(linker, train))
        table[name] = rows
        print(name, json.dumps(rows, indent=1), flush=True)
        if args.record:
            RESULTS.write_text(json.dumps(table, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
