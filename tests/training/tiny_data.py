"""A data folder of a few dozen made-up texts in the formats of the real corpora: enough to drive every step of the factory."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

DRUGS = ("aspirin", "warfarin", "metformin", "digoxin", "heparin", "insulin")
PROBLEMS = ("fever", "gout", "nausea", "asthma", "anemia", "rash")


def _sentences(count: int, shift: int) -> list[tuple[str, str]]:
    return [(DRUGS[(k + shift) % 6], PROBLEMS[(k * 5 + shift) % 6]) for k in range(count)]


def _iob(count: int, shift: int) -> str:
    blocks = []
    for drug, problem in _sentences(count, shift):
        words = [
            ("The", "O"),
            ("patient", "O"),
            ("took", "O"),
            (drug, "B-Chemical"),
            ("for", "O"),
            (problem, "B-Disease"),
            (".", "O"),
        ]
        blocks.append("".join(f"{word}\t{label}\n" for word, label in words))
    return "\n".join(blocks)


def _pubtator(count: int, shift: int) -> str:
    blocks = []
    for k, (drug, problem) in enumerate(_sentences(count, shift)):
        title, text = f"On {problem}.", f"We gave {drug} when {problem} came back."
        at = len(title) + 1 + text.index(problem)
        blocks.append(
            f"{k + 1}|t|{title}\n{k + 1}|a|{text}\n{k + 1}\t3\t{3 + len(problem)}\t{problem}\tSpecificDisease\tD1\n"
            f"{k + 1}\t{at}\t{at + len(problem)}\t{problem}\tSpecificDisease\tD1\n"
        )
    return "\n".join(blocks)


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def write(folder: Path) -> Path:
    """Write the folder and return it."""
    for part, shift in (("train", 0), ("devel", 1)):
        _write(folder / f"ner_bc5cdr_mtl/BC5CDR-IOB/{part}.tsv", _iob(96, shift))
    _write(folder / "ner_ncbi_disease/NCBItrainset_corpus.txt", _pubtator(40, 0))
    _write(folder / "ner_ncbi_disease/NCBIdevelopset_corpus.txt", _pubtator(40, 1))
    for k, (drug, problem) in enumerate(_sentences(20, 2)):
        text = f"A man with {problem} was given {drug}. He felt well afterwards and went home on the next day."
        rows = [("Disease_disorder", problem), ("Medication", drug)]
        notes = "".join(f"T{n}\t{kind} {text.index(w)} {text.index(w) + len(w)}\t{w}\n" for n, (kind, w) in enumerate(rows, 1))
        _write(folder / f"ner_maccrobat2020/{k:04d}.txt", text)
        _write(folder / f"ner_maccrobat2020/{k:04d}.ann", notes)
    for part in ("train", "dev"):
        rows = []
        for k, (drug, problem) in enumerate(_sentences(20, 3)):
            text = f"Severe illness: {problem} after {drug}."
            event = {
                "Effect": {"start": [[text.index(problem)]], "text": [[problem]]},
                "Treatment": {"Drug": {"start": [[text.index(drug)]], "text": [[drug]]}},
            }
            rows.append(json.dumps({"id": f"{k}", "context": text, "annotations": [{"events": [event]}]}))
        _write(folder / f"ner_phee/data/json/{part}.json", "\n".join(rows))
    _write(folder / "term_drugbank_vocabulary_cc0/drugbank_vocabulary.csv", "Common name\n" + "\n".join(d.title() for d in DRUGS))
    _write(
        folder / "term_rxnorm_medlist_cdshooks/src/assets/medication-list.js",
        "".join(f"    {k}: '{d} 5 MG Oral Tablet',\n" for k, d in enumerate(DRUGS)),
    )
    _write(
        folder / "term_doid/DOreports/HumanDO.tsv",
        "id\tlabel\tsubClassOf\n" + "".join(f"DOID:{k}\t{p}\tx\n" for k, p in enumerate(PROBLEMS)),
    )
    note = "CHIEF COMPLAINT\n\nBack ache.\n\nThe patient is well and works as a teacher. She walks every day and sleeps well at night."
    for part in ("train", "valid"):
        _write(
            folder / f"dialog_aci_bench/data/challenge_data/{part}.csv",
            f'dataset,encounter_id,dialogue,note\nx,D{part},"hi","{note}"\n',
        )
        _write(
            folder / f"dialog_aci_bench/data/challenge_data/{part}_metadata.csv",
            f"encounter_id,patient_firstname,patient_familyname\nD{part},Zoe,Quill\n",
        )
    for part in ("Training", "Validation"):
        texts = "".join(
            f'{k},GENHX,"The patient number {k} came to the clinic today and feels rested after the holidays.",hi\n'
            for k in range(20)
        )
        _write(
            folder / f"dialog_mts_dialog/Main-Dataset/MTS-Dialog-{part}Set.csv",
            "ID,section_header,section_text,dialogue\n" + texts,
        )
    for k in range(12):
        pairs = "".join(
            f'<QAPair><Question qtype="{kind}">What about topic {k} and {kind}?</Question><Answer>{"Walking and sleeping help most people to stay well. " * 6}</Answer></QAPair>'
            for kind in ("information", "treatment", "symptoms", "causes")
        )
        _write(folder / f"qa_medquad/x/{k:03d}.xml", f"<Document><QAPairs>{pairs}</QAPairs></Document>")
    _questions(folder / "qa_meqsum/questions.xlsx")
    return folder


def _questions(path: Path) -> None:
    """The two parts of a workbook that hold twelve questions, the number of each beside it."""
    path.parent.mkdir(parents=True)
    name = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    texts = ["CHQ", "Summary", *(f"I read about topic {k}, where can I learn more?" for k in range(12))]
    strings = "".join(f"<si><t>{text}</t></si>" for text in texts)
    rows = "".join(f'<row><c t="s"><v>1</v></c><c t="s"><v>{k}</v></c></row>' for k in (0, *range(2, 14)))
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("xl/sharedStrings.xml", f'<sst xmlns="{name}">{strings}</sst>')
        book.writestr("xl/worksheets/sheet1.xml", f'<worksheet xmlns="{name}"><sheetData>{rows}</sheetData></worksheet>')
