"""PHI training and development documents: own templates, and surrogates put into clinical texts that are free to use.

``python -m training.phi.corpus --show 20 --seed 5`` prints samples for a person to judge.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from training.data.bases import BOUNDARY, PRESENT, SUBJECT, YOUNGER, base_texts
from training.data.corpora import Source, data_folder
from training.data.document import Document, GoldSpan, flatten
from training.data.labels import PHI_TYPES
from training.data.lexicon import Lexicon, load_lexicon
from training.data.template import fill
from training.phi.draw import Value
from training.phi.gazetteer import Gazetteer, Part, load_gazetteer, toml_of
from training.phi.noise import Text, noisy
from training.phi.values import Values

__all__ = ["PHI_SOURCES", "PhiMaker", "PhiTexts", "phi_training"]

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
TEMPLATES = ("notes.toml", "queries.toml", "general.toml", "negatives.toml")


def phi_training(data: Path, *, count: int, seed: int) -> dict[str, list[Document]]:
    """``count`` clinical texts with injected identifiers, three times as many (short) texts from templates alone, ``count`` of
    general English, and half as many without any identifier."""
    maker = PhiTexts(data, "train", seed)
    return {
        "injected": maker.injected(count),
        "templates": maker.templates(3 * count),
        "general": maker.general(count),
        "negatives": maker.negatives(count // 2),
    }


class PhiMaker:
    """Makes documents from given words and base texts; the same seed gives the same documents.

    Args:
        bases: clinical texts that identifiers are put into.
    """

    def __init__(self, gazetteer: Gazetteer, lexicon: Lexicon, bases: Sequence[str], seed: int) -> None:
        self._random = Random(seed)
        self._templates = {name: rows for file in TEMPLATES for name, rows in toml_of(file).items()}
        self._values = Values(self._random, gazetteer, lexicon)
        self._bases = bases
        #: How often each slot was filled so far.
        self.drawn: Counter[str] = Counter()

    def injected(self, count: int) -> list[Document]:
        """Base texts with identifiers replaced and added."""
        return self._documents("injected", count, lambda: self._inject(self._random.choice(self._bases)))

    def templates(self, count: int) -> list[Document]:
        """Queries, headers, tables, signatures, loose and run-on sentences."""
        return self._documents("template", count, self._composed)

    def general(self, count: int) -> list[Document]:
        """General English: mail, bank, travel, news."""
        r = self._random

        def row() -> str:
            draw = r.random()
            if draw < 0.1:
                return self._row("general_negatives")
            if draw < 0.5:
                return self._sentence("plain_" if draw < 0.2 else "")
            return self._row("questions" if draw < 0.56 else "general")

        def made() -> Text:
            return self._joined([row() for _ in range(r.choice((1, 1, 1, 2, 3)))], r.choice((" ", " ", "\n")))

        return self._documents("general", count, made)

    def negatives(self, count: int) -> list[Document]:
        """Texts without any identifier that look as if they had some."""
        r = self._random

        def made() -> Text:
            draw = r.random()
            if draw < 0.1:
                return self._table("plain_tables")
            if draw < 0.25:
                rows = [
                    self._sentence("plain_") if r.random() < 0.6 else self._row("general_negatives")
                    for _ in range(r.randint(1, 3))
                ]
            else:
                rows = [self._row("negatives") for _ in range(r.randint(1, 5))]
            return self._joined(rows, r.choice((" ", "\n")))

        return self._documents("negative", count, made)

    def _documents(self, name: str, count: int, make: Callable[[], Text]) -> list[Document]:
        found = []
        for k in range(count):
            self._values.renew()
            text, spans = noisy(*make(), self._random)
            found.append(Document(f"phi-{name}-{k}", text, flatten(spans), frozenset(PHI_TYPES)))
        return found

    def _composed(self) -> Text:
        r = self._random
        draw = r.random()
        if draw < 0.3:
            return self._joined([self._row("queries")] + ([self._row("negatives")] if r.random() < 0.25 else []), " ")
        if draw < 0.4:
            return self._joined([self._row(kind) for kind in ("headers", "negatives", "sentences", "signatures")], "\n")
        if draw < 0.48:
            return self._table("tables")
        if draw < 0.53:
            return self._joined([self._row(r.choice(("headers", "signatures")))], " ")
        pool = [self._row("sentences" if r.random() < 0.65 else "negatives") for _ in range(r.randint(1, 6))]
        if r.random() < 0.12:  # a numbered or bulleted list
            mark = r.choice(("{}. ", "- ", "* ", "{}) ", "• "))
            return self._joined([mark.format(k) + row for k, row in enumerate(pool, 1)], "\n")
        return self._joined(pool, r.choice((" ", " ", "\n", "; ")))

    def _table(self, kind: str) -> Text:
        r = self._random
        head, row = r.choice(self._templates[kind])
        filled = [fill(row, self._slot) for _ in range(r.randint(2, 5))]
        return concatenated([fill(head if r.random() < 0.7 else "", self._slot), *filled])

    def _inject(self, base: str) -> Text:
        r = self._random
        pieces = [p for p in BOUNDARY.split(base) if p]
        gaps = BOUNDARY.findall(base)
        first, last = self._excerpt(len(pieces))
        parts: list[Text] = []
        if r.random() < 0.4:
            parts.append(fill(self._row("headers"), self._slot))
        rate = r.choice((0.05, 0.15, 0.3))
        for k in range(first, last):
            parts.append(self._replaced(pieces[k]))
            gap = gaps[k] if k < len(gaps) else " "
            if r.random() < rate and pieces[k].rstrip().endswith("."):
                parts += [(" ", []), fill(self._row("sentences"), self._slot)]
            parts.append((gap, []))
        if r.random() < 0.35:
            parts += [("\n", []), fill(self._row("signatures"), self._slot)]
        return concatenated(parts)

    def _excerpt(self, pieces: int) -> tuple[int, int]:
        """Half of the long texts are cut to some sentences, so that heads, ends and middles are seen alike."""
        r = self._random
        if pieces <= 8 or r.random() < 0.5:
            return 0, pieces
        size = r.randint(4, 10)
        start = r.randint(0, pieces - size) if pieces > size else 0
        return start, min(pieces, start + size)

    def _replaced(self, piece: str) -> Text:
        r = self._random
        found = [(m.start(), m.end(), slot) for pattern, slot in PRESENT for m in pattern.finditer(piece)]
        found += [(m.start(), m.end(), "") for m in SUBJECT.finditer(piece) if r.random() < 0.3]
        found += [(m.start(), m.end(), "old_age") for m in YOUNGER.finditer(piece) if r.random() < 0.12]
        parts: list[Text] = []
        at = 0
        for start, end, slot in sorted(found, key=lambda f: (f[0], -f[1])):
            if start >= at:
                parts += [(piece[at:start], []), fill(f"{{{slot}}}" if slot else self._subject(), self._slot)]
                at = end
        parts.append((piece[at:], []))
        return concatenated(parts)

    def _subject(self) -> str:
        return self._random.choice(
            ("{patient_full}", "{patient_full}", "{patient_first}", "{patient_listed}", "Mr. {patient_last}", "Ms. {patient_last}",
             "Mrs. {patient_last}", "Pt {patient_first}", "{patient}")
        )  # fmt: skip

    def _joined(self, templates: list[str], separator: str) -> Text:
        parts: list[Text] = []
        for template in templates:
            parts += [(separator, []), fill(template, self._slot)] if parts else [fill(template, self._slot)]
        return concatenated(parts)

    def _sentence(self, kind: str) -> str:
        """A template put together from the parts of general sentences; ``plain_``: from those without an identifier."""
        r = self._random
        parts = [self._row(f"{kind}openers")] if r.random() < 0.3 else []
        parts += [self._row(f"{kind}subjects"), self._row(f"{kind}predicates")]
        parts += [self._row(f"{kind}adjuncts") for _ in range(r.choice((0, 0, 1, 1, 2)))]
        text = " ".join(parts)
        return text[0].upper() + text[1:] + r.choice((".", ".", ".", "!", "?", ""))

    def _row(self, kind: str) -> str:
        row: str = self._random.choice(self._templates[kind])
        return row

    def _slot(self, slot: str) -> Value:
        self.drawn[slot] += 1
        return self._values.of(slot)


class PhiTexts(PhiMaker):
    """The maker over the data folder's lists and texts; names, places and base texts of the two parts differ."""

    def __init__(self, data: Path, part: Part, seed: int) -> None:
        bases = [text for k, text in enumerate(base_texts(data)) if (k % 10 == 7) == (part == "dev")]
        super().__init__(load_gazetteer(data, part), load_lexicon(data), bases, seed)


def concatenated(parts: list[Text]) -> Text:
    """One text of several, their spans moved along."""
    spans: list[GoldSpan] = []
    at = 0
    for text, found in parts:
        spans += [GoldSpan(s.start + at, s.end + at, s.types) for s in found]
        at += len(text)
    return "".join(text for text, _ in parts), spans


def main() -> None:
    """Print generated samples of every corpus."""
    from training.phi.report import table

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", type=int, default=20, help="how many documents")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--data", type=Path, default=data_folder())
    arguments = parser.parse_args()
    made = phi_training(arguments.data, count=max(2, arguments.show), seed=arguments.seed)
    quarter = -(-arguments.show // len(made))
    print(table([document for documents in made.values() for document in documents[:quarter]]))


if __name__ == "__main__":
    main()
