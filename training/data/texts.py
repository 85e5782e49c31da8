"""Free medical texts without labels: what masked-language pretraining and distillation read.

Development parts of labelled corpora are left out whole, so that nothing that is later scored was ever seen.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from training.data.bases import base_texts
from training.data.brat import read_maccrobat
from training.data.corpora import Source, held_out
from training.data.iob import read_bc5cdr
from training.data.phee import read_phee
from training.data.pubtator import read_ncbi

TEXT_SOURCES = (
    Source("MedQuAD answers, unlabelled", "qa_medquad", "CC BY 4.0", "Ben Abacha and Demner-Fushman 2019"),
    Source("ACI-Bench notes, unlabelled", "dialog_aci_bench", "CC BY 4.0", "Yim et al. 2023"),
    Source("MTS-Dialog section texts, unlabelled", "dialog_mts_dialog", "CC BY 4.0", "Ben Abacha et al. 2023"),
)
_SPACE = re.compile(r"[ \t]+")
_SHORTEST = 200  # characters; shorter answers are lists of links and the like


def medquad_answers(folder: Path) -> Iterator[str]:
    """Answers of all question pairs, in file-name order, runs of blanks folded."""
    for path in sorted(folder.rglob("*.xml")):
        # The corpus is a trusted local folder; its files hold no entities or external references.
        for answer in ElementTree.parse(path).iter("Answer"):  # noqa: S314
            text = _SPACE.sub(" ", answer.text or "").strip()
            if len(text) >= _SHORTEST:
                yield text


def free_texts(data: Path) -> dict[str, list[str]]:
    """Texts by source: training parts of the labelled corpora, clinical notes, encyclopaedic answers."""
    return {
        "bc5cdr": [d.text for d in read_bc5cdr(data / "ner_bc5cdr_mtl/BC5CDR-IOB/train.tsv", joined=8)],
        "ncbi": [d.text for d in read_ncbi(data / "ner_ncbi_disease/NCBItrainset_corpus.txt")],
        "maccrobat": [d.text for k, d in enumerate(read_maccrobat(data / "ner_maccrobat2020")) if not held_out(k)],
        "phee": [d.text for d in read_phee(data / "ner_phee/data/json/train.json")],
        "notes": list(base_texts(data)),
        "medquad": list(medquad_answers(data / "qa_medquad")),
    }
