"""Which files feed the entity model, how they are split, and their digests.

``hold-out``: every tenth MACCROBAT report (it has no official split); BC5CDR, NCBI and PHEE bring development parts.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from random import Random

from training.data.brat import read_maccrobat
from training.data.document import Document
from training.data.iob import read_bc5cdr
from training.data.lexicon import load_lexicon
from training.data.orders import OrderLines
from training.data.phee import read_phee
from training.data.pubtator import read_ncbi
from training.data.symptoms import settled, symptom_heads
from training.data.template import recase


@dataclass(frozen=True, slots=True)
class Source:
    """A public source: where it lies in the data folder, its licence, whom to credit."""

    name: str
    folder: str
    licence: str
    credit: str


ENTITY_SOURCES = (
    Source("BC5CDR (MTL-Bioinformatics-2016)", "ner_bc5cdr_mtl", "CC BY 4.0", "Li et al. 2016; Crichton et al. 2017"),
    Source("NCBI disease corpus", "ner_ncbi_disease", "public domain (US Government)", "Dogan, Leaman, Lu 2014"),
    Source("MACCROBAT 2020", "ner_maccrobat2020", "CC BY 4.0", "Caufield et al., figshare 10.6084/m9.figshare.9764942.v2"),
    Source("PHEE", "ner_phee", "MIT", "Sun et al. 2022"),
    Source("DrugBank vocabulary", "term_drugbank_vocabulary_cc0", "CC0 1.0", "DrugBank"),
    Source("RxNorm names (CDS Hooks sandbox)", "term_rxnorm_medlist_cdshooks", "Apache-2.0; RxNorm names NLM", "CDS Hooks; NLM"),
    Source("Human Disease Ontology", "term_doid", "CC0 1.0", "Disease Ontology"),
)
#: Sentences a passage: BC5CDR's abstracts have nine on average. Read one by one, the same model scores 4 points less.
JOINED = 8


def held_out(index: int) -> bool:
    """MACCROBAT documents kept for evaluation, by position in file-name order."""
    return index % 10 == 7


def entity_training(data: Path, *, orders: int, seed: int) -> dict[str, list[Document]]:
    """Training documents by corpus. BC5CDR comes as sentences in document order: they are joined by eight, so that windows hold
    passages as in notes."""
    maccrobat = [d for k, d in enumerate(read_maccrobat(data / "ner_maccrobat2020")) if not held_out(k)]
    made = OrderLines(load_lexicon(data), seed).documents(orders)
    heads = symptom_heads(maccrobat + made)
    return {
        "bc5cdr": settled(read_bc5cdr(data / "ner_bc5cdr_mtl/BC5CDR-IOB/train.tsv", joined=JOINED), heads),
        "ncbi": settled(read_ncbi(data / "ner_ncbi_disease/NCBItrainset_corpus.txt"), heads),
        "maccrobat": maccrobat,
        "phee": settled(read_phee(data / "ner_phee/data/json/train.json"), heads),
        "orders": made,
    }


def entity_development(data: Path) -> dict[str, list[Document]]:
    """Development documents by corpus; never trained on."""
    return {
        "bc5cdr": read_bc5cdr(data / "ner_bc5cdr_mtl/BC5CDR-IOB/devel.tsv", joined=JOINED),
        "ncbi": read_ncbi(data / "ner_ncbi_disease/NCBIdevelopset_corpus.txt"),
        "maccrobat": [d for k, d in enumerate(read_maccrobat(data / "ner_maccrobat2020")) if held_out(k)],
        "phee": read_phee(data / "ner_phee/data/json/dev.json"),
    }


def recased(documents: list[Document], *, share: float, seed: int) -> list[Document]:
    """The documents, a ``share`` of them in capitals and as many in small letters (notes come in both)."""
    random = Random(seed)
    changed: list[Document] = []
    for document in documents:
        draw = random.random()
        to = str.upper if draw < share else str.lower if draw < 2 * share else None
        text = recase(document.text, [], to)[0] if to else document.text
        changed.append(Document(document.id, text, document.spans, document.annotated, document.unknown))
    return changed


def digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a source's files, in name order."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(str(path.relative_to(folder)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def data_folder() -> Path:
    """``WARDSTREAM_DATA``, or ``../shared/data`` beside the repository."""
    return Path(os.environ.get("WARDSTREAM_DATA", "../shared/data"))
