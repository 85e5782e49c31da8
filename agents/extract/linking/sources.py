"""Readers of vocabulary files, one a kind: ``READERS[kind]`` yields ``Term``. Files of licensed vocabularies come from the site."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from agents.extract.linking.index import Group

RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
DOID = "http://purl.obolibrary.org/obo/doid.owl"
MONDO = "http://purl.obolibrary.org/obo/mondo.owl"
MESH = "http://id.nlm.nih.gov/mesh"
OMIM = "http://www.omim.org"
NCIT = "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"
DRUGBANK = "http://www.drugbank.ca"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UMLS = "http://www.nlm.nih.gov/research/umls"
ATC = "http://www.whocc.no/atc"
_PREFIX = {
    "MESH": MESH, "MIM": OMIM, "OMIM": OMIM, "ICD10CM": ICD10CM, "DOID": DOID, "MONDO": MONDO, "NCIT": NCIT, "NCI": NCIT,
}  # fmt: skip
#: Systems whose codes are as fine as a disease of an ontology; ICD-10-CM files several under one code.
_FINE = (MESH, OMIM, DOID, MONDO, NCIT)
Ref = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Term:
    """One concept's row. ``same``: references that mean it, ``further``: codes that it is filed under elsewhere, ``parents``: names
    of wider concepts. A term without
    ``code`` adds its names to the concept that carries ``display`` as a name."""

    system: str
    code: str
    display: str
    group: Group
    names: tuple[str, ...] = ()
    same: tuple[Ref, ...] = ()
    further: tuple[Ref, ...] = ()
    parents: tuple[str, ...] = ()


def _icd(code: str) -> str:
    return code if len(code) <= 3 or "." in code else f"{code[:3]}.{code[3:]}"


def _ref(curie: str) -> Ref | None:
    prefix, _, code = curie.partition(":")
    system = _PREFIX.get(prefix.upper())
    if not system or not code:
        return None
    return system, curie if system in (DOID, MONDO) else code


def icd10cm_order(path: Path) -> Iterator[Term]:
    """CMS' order file: fixed columns, headings too."""
    for line in path.read_text("utf-8").splitlines():
        code, long = _icd(line[6:14].strip()), line[77:].strip()
        short = re.sub(r",? unspecified( type)?$", "", long)
        yield Term(ICD10CM, code, long, "problem", (short,) if short != long else ())


def icd10cm_tabular(path: Path) -> Iterator[Term]:
    """CDC's tabular list: inclusion terms are names of their code."""
    for diag in ElementTree.parse(path).iter("diag"):  # noqa: S314 - a file that the operator names
        names = tuple(note.text or "" for note in diag.findall("inclusionTerm/note"))
        if names:
            yield Term(ICD10CM, diag.findtext("name", ""), diag.findtext("desc", ""), "problem", names)


def doid_tsv(path: Path) -> Iterator[Term]:
    """Reports of the Disease Ontology: names (HumanDO.tsv) or one cross-reference a row (allXREFinDO.tsv)."""
    for row in _table(path):
        ref = _ref(row.get("xref") or row.get("xrefs") or "")
        same = (ref,) if ref and ref[0] in _FINE else ()
        parents = tuple(name for name in (row.get("subClassOf") or "").split("|") if name)
        yield Term(DOID, row["id"], row["label"], "problem", (), same, (ref,) if ref and not same else (), parents)


_SYNONYM = re.compile(r'synonym: "((?:[^"\\]|\\.)*)" EXACT')


#: Codes of MONDO's diseases of animals.
_OF_ANIMALS = "MONDO:1"


def obo(path: Path) -> Iterator[Term]:
    """Terms of an OBO file with their exact synonyms and cross-references; obsolete ones are left out."""
    for block in path.read_text("utf-8").split("\n\n"):
        if not block.lstrip().startswith("[Term]") or "\nis_obsolete: true" in block:
            continue
        fields = [line.partition(": ")[::2] for line in block.strip().splitlines()]
        code = next((value for name, value in fields if name == "id"), "")
        if not code.startswith(("DOID:", "MONDO:")) or code.startswith(_OF_ANIMALS):
            continue
        refs = [ref for name, value in fields if name == "xref" and (ref := _ref(value.split(" ")[0]))]
        yield Term(
            DOID if code.startswith("DOID:") else MONDO,
            code,
            next((value for name, value in fields if name == "name"), ""),
            "problem",
            tuple(name.replace('\\"', '"') for name in _SYNONYM.findall(block)),
            tuple(ref for ref in refs if ref[0] in _FINE),
            tuple(ref for ref in refs if ref[0] == ICD10CM),
            tuple(value.partition(" ! ")[2] for name, value in fields if name == "is_a"),
        )


def mondo_sssom(path: Path) -> Iterator[Term]:
    """MONDO's exact matches: both labels are names, both codes mean the same; ICD-10-CM is where the disease is filed."""
    for row in _table(path):
        if row["predicate_id"] != "skos:exactMatch" or (ref := _ref(row["object_id"])) is None:
            continue
        names = (row["object_label"],) if row.get("object_label") else ()
        fine = ref[0] in _FINE
        yield Term(
            MONDO, row["subject_id"], row["subject_label"], "problem", names, (ref,) if fine else (), () if fine else (ref,)
        )


def drugbank(path: Path) -> Iterator[Term]:
    """DrugBank's open vocabulary (CSV)."""
    for row in _table(path, ","):
        names = tuple(name for name in row["Synonyms"].split(" | ") if name)
        yield Term(DRUGBANK, row["DrugBank ID"], row["Common name"], "drug", names)


_MEDLIST = re.compile(r"^\s+(\d+): '((?:[^'\\]|\\.)*)',?$|^\s+(\d+): \"([^\"]*)\",?$", re.MULTILINE)
_BRANDED = re.compile(r"^([A-Za-z][A-Za-z' -]+?) [\d.]+ [A-Z].*\[([^\]]+)\]$")


def rxnorm_medlist(path: Path) -> Iterator[Term]:
    """``RxCUI: 'clinical drug',`` rows; a brand in brackets becomes a name of the one ingredient before its strength."""
    brands: dict[str, set[str]] = {}
    for match in _MEDLIST.finditer(path.read_text("utf-8")):
        name = (match[2] or match[4]).replace("\\'", "'")
        yield Term(RXNORM, match[1] or match[3], name, "drug")
        if (branded := _BRANDED.match(name)) and " / " not in name:
            brands.setdefault(branded[2], set()).add(branded[1])
    for brand, ingredients in sorted(brands.items()):
        if len(ingredients) == 1:
            yield Term("", "", ingredients.pop(), "drug", (brand,))


def labeledin(path: Path) -> Iterator[Term]:
    """LabeledIn's ingredients by RxCUI (indications.tsv, public domain)."""
    for row in _table(path):
        yield Term(RXNORM, row["rxnorm_id"], row["rxnorm_name"], "drug")


def rxnconso(path: Path) -> Iterator[Term]:
    """RXNCONSO.RRF: RxNorm's own names (SAB RXNORM), not suppressed; other sources in that file have licences of their own."""
    for cells in _rrf(path, 17):
        if cells[11] == "RXNORM" and cells[16] not in ("O", "Y", "E"):
            yield Term(RXNORM, cells[0], cells[14], "drug")


def mrconso(path: Path) -> Iterator[Term]:
    """MRCONSO.RRF of a UMLS licensee: English, not suppressed names by CUI."""
    for cells in _rrf(path, 17):
        if cells[1] == "ENG" and cells[16] == "N":
            yield Term(UMLS, cells[0], cells[14], "any")


_TAG = re.compile(r" \(([a-z /]+)\)$")
_TAGGED: dict[str, Group] = {
    "disorder": "problem", "finding": "problem", "product": "drug", "substance": "drug", "medicinal product": "drug",
    "procedure": "procedure", "observable entity": "test",
}  # fmt: skip


def snomed_rf2(path: Path) -> Iterator[Term]:
    """An RF2 description snapshot (sct2_Description_Snapshot-en_*.txt): active names; the semantic tag of the full name says what it is for."""
    rows = [row for row in _table(path) if row["active"] == "1"]
    tags = {r["conceptId"]: m[1] for r in rows if r["typeId"] == "900000000000003001" and (m := _TAG.search(r["term"]))}
    for row in rows:
        if group := _TAGGED.get(tags.get(row["conceptId"], "")):
            yield Term(SNOMED, row["conceptId"], _TAG.sub("", row["term"]), group)


def loinc(path: Path) -> Iterator[Term]:
    """Loinc.csv: active codes by long name; short name, component and related names stand beside."""
    for row in _table(path, ","):
        if row.get("STATUS") in ("ACTIVE", "", None):
            names = tuple(row[c] for c in ("SHORTNAME", "CONSUMER_NAME", "DisplayName") if row.get(c))
            yield Term(LOINC, row["LOINC_NUM"], row["LONG_COMMON_NAME"], "test", names)


def atc(path: Path) -> Iterator[Term]:
    """A CSV with the columns ATC code and ATC level name, as the WHO centre's index gives them."""
    for row in _table(path, ","):
        yield Term(ATC, row["ATC code"], row["ATC level name"], "drug")


def mesh_ascii(path: Path) -> Iterator[Term]:
    """NLM's descriptor file in ASCII (d20XX.bin): heading and entry terms; diseases (trees C, F03) and chemicals (tree D)."""
    for record in path.read_text("utf-8").split("*NEWRECORD"):
        fields = [line.partition(" = ")[::2] for line in record.splitlines() if " = " in line]
        trees = [value for name, value in fields if name == "MN"]
        group: Group | None = (
            "problem"
            if any(t.startswith(("C", "F03")) for t in trees)
            else "drug"
            if any(t.startswith("D") for t in trees)
            else None
        )
        code = next((value for name, value in fields if name == "UI"), "")
        heading = next((value for name, value in fields if name == "MH"), "")
        if group and code:
            names = tuple(value.split("|")[0] for name, value in fields if name in ("ENTRY", "PRINT ENTRY"))
            yield Term(MESH, code, heading, group, names)


def pubtator(path: Path) -> Iterator[Term]:
    """A corpus annotated with MeSH or OMIM ids: the written names. For research and a site's own annotations."""
    for line in path.read_text("utf-8").splitlines():
        cells = line.split("\t")
        if len(cells) < 6 or not re.fullmatch(r"(?:MESH:|OMIM:)?[CD]?\d+", cells[5].strip()):
            continue
        code = cells[5].strip().split(":")[-1]
        yield Term(OMIM if code.isdigit() else MESH, code, cells[3], "drug" if cells[4] == "Chemical" else "problem")


def _table(path: Path, delimiter: str = "\t") -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = (line for line in file if not line.startswith("#"))
        if "Description" in path.name:  # RF2 quotes nothing
            yield from csv.DictReader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
        else:
            yield from csv.DictReader(lines, delimiter=delimiter)


def _rrf(path: Path, cells: int) -> Iterator[list[str]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = line.rstrip("\n").split("|")
            if len(row) >= cells:
                yield row


_US = "U.S. Government work, public domain"
_SITE = "the site's own licence"
#: Kind -> reader and licence of what it reads.
READERS: dict[str, tuple[Callable[[Path], Iterator[Term]], str]] = {
    "icd10cm": (icd10cm_order, _US),
    "icd10cm-tabular": (icd10cm_tabular, _US),
    "doid": (doid_tsv, "CC0-1.0"),
    "obo": (obo, "CC0-1.0 (DOID), CC BY 4.0 (MONDO)"),
    "mondo": (mondo_sssom, "CC BY 4.0"),
    "drugbank": (drugbank, "CC0-1.0"),
    "rxnorm-medlist": (rxnorm_medlist, "RxNorm names, U.S. National Library of Medicine"),
    "labeledin": (labeledin, "public domain"),
    "rxnorm": (rxnconso, "RxNorm names, U.S. National Library of Medicine"),
    "mesh": (mesh_ascii, "U.S. National Library of Medicine"),
    "umls": (mrconso, _SITE),
    "snomed": (snomed_rf2, _SITE),
    "loinc": (loinc, _SITE),
    "atc": (atc, _SITE),
    "pubtator": (pubtator, "that of the annotated texts"),
}
