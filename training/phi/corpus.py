"""PHI training and development documents: own templates, and surrogates put into clinical texts that are free to use."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

from training.data.brat import read_maccrobat
from training.data.corpora import Source, held_out
from training.data.document import Document, GoldSpan, flatten
from training.data.labels import PHI_TYPES
from training.data.lexicon import load_lexicon
from training.data.template import fill, recase
from training.phi.gazetteer import Part, load_gazetteer
from training.phi.values import Value, Values

PHI_SOURCES = (
    Source("ACI-Bench notes", "dialog_aci_bench", "CC BY 4.0", "Yim et al. 2023"),
    Source("MTS-Dialog section texts", "dialog_mts_dialog", "CC BY 4.0", "Ben Abacha et al. 2023"),
    Source("MACCROBAT 2020 texts", "ner_maccrobat2020", "CC BY 4.0", "Caufield et al., figshare 10.6084/m9.figshare.9764942.v2"),
    Source("SimHospital names", "gazetteer_simhospital", "Apache-2.0; names OGL", "Google; ONS"),
    Source("Philter name lists", "gazetteer_philter_names", "BSD-3-Clause", "UCSF"),
    Source("US ZIP, city, county list", "gazetteer_us_geo_reportstream", "CC0 1.0", "CDC PRIME ReportStream"),
    Source("CMS Hospital Compare", "gazetteer_cms_hospitals", "public domain (US Government)", "CMS"),
    Source("DrugBank vocabulary", "term_drugbank_vocabulary_cc0", "CC0 1.0", "DrugBank"),
    Source("RxNorm names (CDS Hooks sandbox)", "term_rxnorm_medlist_cdshooks", "Apache-2.0; RxNorm names NLM", "CDS Hooks; NLM"),
    Source("Human Disease Ontology", "term_doid", "CC0 1.0", "Disease Ontology"),
)

_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)"
_WORD = r"[A-Z][\w'-]*"
# What stands in the base texts already and is an identifier (or a mask of one): it is replaced by a surrogate of that kind.
_PRESENT = (
    (re.compile(rf"(?<=\bDr\. ){_WORD}(?: [A-Z][\w'-]+)?|(?<=\bMr\. ){_WORD}|(?<=\bMs\. ){_WORD}|(?<=\bMrs\. ){_WORD}"), "last"),
    (re.compile(rf"\b{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}|\b{_MONTH},? (?:of )?(?:19|20)\d\d\b"), "date"),
    (re.compile(rf"\b\d{{1,2}}/\d{{1,2}}/\d{{2,4}}\b|\b\d{{1,2}} {_MONTH} \d{{4}}"), "date"),
    (re.compile(rf"(?<=\bin ){_MONTH}\b(?! \d)|(?<=\b[Ss]ince ){_MONTH}\b(?! \d)"), "date"),
    (re.compile(r"\b(?:9\d|10\d)(?=[- ]year)"), "old_age"),
)
_MASKED = re.compile(r"\b(?:XYZ|ABC[D]?|XXX+)\b|_{3,}")
_VERB = "is|was|has|had|reports?|denies|states|presents?|presented|underwent|will|who|notes|complains?"
_SUBJECT = re.compile(rf"(?<![\w] )\b(?:The patient|Patient|The pt|Pt)\b(?=,? (?:{_VERB})\b)")
# The full stop of a title ends no sentence: a name must not lose the title by which it is found and replaced.
BOUNDARY = re.compile(r"(?<=[a-z)]\.)(?<!\bDr\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bMrs\.)\s+|\n+")


def phi_training(data: Path, *, count: int, seed: int) -> dict[str, list[Document]]:
    """``count`` clinical texts with injected identifiers, three times as many (short) texts from templates alone, and half as
    many without any identifier."""
    maker = PhiTexts(data, "train", seed)
    return {"injected": maker.injected(count), "templates": maker.templates(3 * count), "negatives": maker.negatives(count // 2)}


class PhiTexts:
    """Generator; the same seed and part give the same documents."""

    def __init__(self, data: Path, part: Part, seed: int) -> None:
        self._random = Random(seed)
        gazetteer = load_gazetteer(data, part)
        self._templates: dict[str, list[str]] = gazetteer.lists
        self._values = Values(self._random, gazetteer)
        self._lexicon = load_lexicon(data)
        self._bases = [text for k, text in enumerate(base_texts(data)) if (k % 10 == 7) == (part == "dev")]

    def injected(self, count: int) -> list[Document]:
        """Base texts with identifiers replaced and added."""
        return [self._document(f"phi-injected-{k}", *self._inject(self._random.choice(self._bases))) for k in range(count)]

    def templates(self, count: int) -> list[Document]:
        """Queries, headers, signatures, loose and run-on sentences."""
        return [self._document(f"phi-template-{k}", *self._composed()) for k in range(count)]

    def negatives(self, count: int) -> list[Document]:
        """Texts without any identifier that look as if they had some."""
        r = self._random
        return [
            self._document(
                f"phi-negative-{k}",
                *self._joined([self._template("negatives") for _ in range(r.randint(1, 5))], r.choice((" ", "\n"))),
            )
            for k in range(count)
        ]

    def _composed(self) -> tuple[str, list[GoldSpan]]:
        r = self._random
        draw = r.random()
        if draw < 0.36:
            return self._joined([self._template("queries")] + ([self._template("negatives")] if r.random() < 0.25 else []), " ")
        if draw < 0.5:
            return self._joined(
                [
                    self._template("headers"),
                    self._template("negatives"),
                    self._template("sentences"),
                    self._template("signatures"),
                ],
                "\n",
            )
        pool = [self._template("sentences" if r.random() < 0.65 else "negatives") for _ in range(r.randint(1, 6))]
        text, spans = self._joined(pool, r.choice((" ", " ", "\n", "; ")))
        if r.random() < 0.15:  # run-on: the full stops go, offsets stay
            text = text.replace(". ", "  ")
        return text, spans

    def _inject(self, base: str) -> tuple[str, list[GoldSpan]]:
        r = self._random
        first, last = self._values.of("first")[0], self._values.of("last")[0]
        subjects = [("", f"{first} {last}"), ("", f"{first} {last}"), ("", first), ("", f"{last}, {first}"), ("Mr. ", last),
                    ("Ms. ", last), ("Mrs. ", last), ("Pt ", first)]  # fmt: skip
        parts: list[tuple[str, list[GoldSpan]]] = []
        if r.random() < 0.45:
            parts.append(self._filled(self._template("headers")))
        pieces = [p for p in BOUNDARY.split(base) if p]
        gaps = BOUNDARY.findall(base)
        rate = r.choice((0.05, 0.15, 0.3))
        for k, piece in enumerate(pieces):
            parts.append(self._replaced(piece, subjects))
            gap = gaps[k] if k < len(gaps) else " "
            if r.random() < rate and piece.rstrip().endswith("."):
                parts += [(" ", []), self._filled(self._template("sentences"))]
            parts.append((gap, []))
        if r.random() < 0.45:
            parts += [("\n", []), self._filled(self._template("signatures"))]
        return _concatenated(parts)

    def _replaced(self, piece: str, subjects: list[tuple[str, str]]) -> tuple[str, list[GoldSpan]]:
        found: list[tuple[int, int, str]] = []
        for pattern, slot in _PRESENT:
            found += [(m.start(), m.end(), slot) for m in pattern.finditer(piece)]
        found += [(m.start(), m.end(), "who") for m in _SUBJECT.finditer(piece) if self._random.random() < 0.25]
        parts: list[tuple[str, list[GoldSpan]]] = []
        at = 0
        for start, end, slot in sorted(found):
            if start < at:
                continue
            parts.append((piece[at:start], []))
            if slot == "who":
                title, value = self._random.choice(subjects)
                parts.append((title, []))
            else:
                value = self._values.of(slot)[0]
            label = {"who": "NAME", "last": "NAME", "date": "DATE", "old_age": "AGE"}[slot]
            parts.append((value, [GoldSpan(0, len(value), (label,))]))
            at = end
        parts.append((piece[at:], []))
        return _concatenated(parts)

    def _joined(self, templates: list[str], separator: str) -> tuple[str, list[GoldSpan]]:
        parts: list[tuple[str, list[GoldSpan]]] = []
        for template in templates:
            parts += [(separator, []), self._filled(template)] if parts else [self._filled(template)]
        return _concatenated(parts)

    def _template(self, kind: str) -> str:
        return self._random.choice(self._templates[kind])

    def _filled(self, template: str) -> tuple[str, list[GoldSpan]]:
        return fill(template, self._slot)

    def _slot(self, slot: str) -> Value:
        r = self._random
        words = self._lexicon.words
        match slot:
            case "drug":
                return r.choice(words["common_drugs"] if r.random() < 0.6 else self._lexicon.drugs), None
            case "problem":
                return r.choice(words["problems"] if r.random() < 0.6 else self._lexicon.diseases), None
            case "finding" | "procedure" | "test":
                return r.choice(words[{"finding": "symptoms", "procedure": "procedures", "test": "tests"}[slot]]), None
            case "normal":
                return r.choice(("normal", "unremarkable", "negative", "positive", "stable")), None
            case "dose":
                return f"{r.choice((5, 10, 20, 40, 50, 100, 250, 500, 1000))} {r.choice(('mg', 'mcg', 'units', 'mL'))}", None
            case "labs":
                some = r.sample(words["analytes"], r.randint(2, 5))
                return ", ".join(f"{name} {r.uniform(low, high):.1f} {unit}".rstrip() for name, unit, low, high in some), None
        return self._values.of(slot)

    def _document(self, name: str, text: str, spans: list[GoldSpan]) -> Document:
        style = self._random.random()
        if style < 0.09:
            text, spans = recase(text, spans, str.upper)
        elif style < 0.2:
            text, spans = recase(text, spans, str.lower)
        return Document(name, text, flatten(spans), frozenset(PHI_TYPES))


def base_texts(data: Path) -> Iterator[str]:
    """Free clinical texts: ACI-Bench notes, MTS-Dialog sections, MACCROBAT reports. Texts with masks or known names are left out
    where these cannot be told from words."""
    folder = data / "dialog_aci_bench/data/challenge_data"
    for part in ("train", "valid"):
        with (folder / f"{part}_metadata.csv").open(encoding="utf-8") as file:
            known = {r["encounter_id"]: (r["patient_firstname"], r["patient_familyname"]) for r in csv.DictReader(file)}
        with (folder / f"{part}.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                note = row["note"]
                first, last = known.get(row["encounter_id"], ("", ""))
                for name in (f"{first} {last}", f"{last}, {first}", first, last):
                    if len(name.strip()) > 1:
                        note = re.sub(rf"(?:(?:Mr|Ms|Mrs)\. )?\b{re.escape(name)}\b", "The patient", note)
                yield note
    for part in ("Training", "Validation"):
        with (data / f"dialog_mts_dialog/Main-Dataset/MTS-Dialog-{part}Set.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                text = re.sub(r"\b(Dr|Mr|Mrs|Ms)\. (?:XYZ|ABCD?|[A-Z])\b\.?", r"\1. Smith", row["section_text"])
                if len(text) > 60 and not _MASKED.search(text):
                    yield text
    for index, report in enumerate(read_maccrobat(data / "ner_maccrobat2020")):
        if not held_out(index):
            lines = report.text.splitlines()
            for at in range(0, len(lines), 8):
                yield "\n".join(lines[at : at + 8])


def _concatenated(parts: list[tuple[str, list[GoldSpan]]]) -> tuple[str, list[GoldSpan]]:
    spans: list[GoldSpan] = []
    at = 0
    for text, found in parts:
        spans += [GoldSpan(s.start + at, s.end + at, s.types) for s in found]
        at += len(text)
    return "".join(text for text, _ in parts), spans
