"""Free clinical texts that identifiers are put into, and the identifiers that stand in them already."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from training.data.brat import read_maccrobat
from training.data.corpora import held_out

_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_MONTH = f"(?:{_MONTHS}|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)"
_WORD = r"[A-Z][\w'-]*"
_DAY = r"(?: \d{1,2}(?:st|nd|rd|th)?(?![\d/]))?(?:,? (?:of )?(?:19|20)\d\d)?"
# Places and bodies of the base texts, read out of them by hand.
_PLACES = (
    "(?:(?:Dallas|Columbus), Georgia|(?:Fayetteville, )?Tennessee|(?:Cheyenne, )?Wyoming|Vail, Colorado|"
    "(?:Baltimore, )?Maryland|(?:Munich, )?Germany|Eastern Germany|China|Japan|United States|USA|Philippines|New York|"
    "Iowa(?: City)?|Minneapolis|Georgia|Colorado|Baltimore|Netherlands|Seattle|Houston|Chengdu|Boston|Sichuan|Dallas|"
    "Zambia|Maine|Arizona|Kansas|Pennsylvania|North Carolina|Mexico|Haiti|Brazil|Ukraine|San Diego|California|Korea|Cuba|"
    "Oklahoma|San Francisco|France|Tokyo|Milwaukee|Romania|Minnesota|Illinois|UK|Sapporo|UAE|Tibet|Iran|Italy|Bartow|"
    "Conway Springs|Norwich|Avon|Santa Cruz|Sacaton|Coolidge|Wichita|Breckenridge|Easton|Rasht)"
)
_BODIES = (
    "(?:UIHC|Wal-Mart|Walmart|IBM|Fed Ex|Morse Chain|West China Hospital|Houston Methodist(?: Hospital)?|"
    "East Metropolitan Hospital|Walter P. Carter Center|Purdy Correctional Institute|St. Thomas Memorial Hospital|"
    "Siskin Rehab Hospital|Ilfov Clinical Hospital|Shandong Power Central Hospital|Chengdu Military General Hospital|"
    "R Adams Cowley Shock Trauma Center|(?:Zhejiang|Sichuan|Shanghai Jiao Tong|Kyorin|Wichita State) University|"
    "Wuhan Central Hospital|Tongji Medical College|Tibet People's Hospital|Hebei General Hospital|Razi Hospital|"
    "Qingdao University Medical College|Chiba University Hospital|Baylor College)"
)
#: What stands in the base texts already and is an identifier (or a mask of one), and the slot whose surrogate replaces it.
PRESENT: Final = (
    (re.compile(rf"(?<=\bDr\. ){_WORD}(?: [A-Z][\w'-]+)?|(?<=\bMr\. ){_WORD}|(?<=\bMs\. ){_WORD}|(?<=\bMrs\. ){_WORD}"), "last"),
    (re.compile(rf"\b{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}|\b{_MONTH},? (?:of )?(?:19|20)\d\d\b"), "date"),
    (re.compile(rf"\b\d{{1,2}}/\d{{1,2}}/\d{{2,4}}\b|\b\d{{1,2}} {_MONTH} \d{{4}}"), "date"),
    (re.compile(rf"(?<=\bin ){_MONTH}\b(?! \d)|(?<=\b[Ss]ince ){_MONTH}\b(?! \d)"), "month"),
    (
        re.compile(
            rf"\b(?:January|February|April|June|July|August|September|October|November|December){_DAY}"
            rf"|\bMarch(?: \d|,? \d{{4}}){_DAY}"
        ),
        "date",
    ),
    (re.compile(r"(?<![\d/.])(?:0?[1-9]|1[0-2])/(?:[89]\d|0\d)(?![\d/])"), "date"),
    (re.compile(r"\bThanksgiving\b"), "holiday"),
    (re.compile(rf"\b{_BODIES}"), "hospital"),
    (re.compile(rf"\b{_PLACES}(?![\w']| Heart| Scientific| crit)"), "city"),
    (re.compile(r"\b(?:9\d|10\d)(?=[- ]year)"), "old_age"),
)
_MASKED = re.compile(r"\b(?:XYZ|ABC[D]?|XXX+)\b|_{3,}")
#: A patient as a note introduces one: "Jane Roe is a 40-year-old", "Jane is a pleasant woman".
INTRODUCED: Final = re.compile(
    r"\b[A-Z][a-z]+(?: [A-Z][a-z]+)?(?=,? (?:is|was) an? (?:\d|pleasant|very pleasant|right-hand|left-hand))"
)
_VERB = "is|was|has|had|reports?|denies|states|presents?|presented|underwent|will|who|notes|complains?"
#: Words that stand for the patient at the beginning of a sentence and may give way to a name.
SUBJECT: Final = re.compile(rf"(?<![\w] )\b(?:The patient|Patient|The pt|Pt)\b(?=,? (?:{_VERB})\b)")
#: Ages of the base texts, nearly all under 90, some of which give way to one over 89.
YOUNGER: Final = re.compile(r"(?<![\d.,/-])\d{2}(?=(?:-| )years?(?:-| )old\b| ?y/?o\b)")
#: Ends of sentences and lines. The full stop of a title ends no sentence: a name must not lose the title by which it is found.
BOUNDARY: Final = re.compile(r"(?<=[a-z)]\.)(?<!\bDr\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bMrs\.)\s+|\n+")


def without_patient(note: str, first: str, last: str) -> str:
    """The note with its patient's name taken out: as its metadata spell it in any case, and as it introduces the patient itself."""
    names = {f"{first} {last}", f"{last}, {first}", first, last}
    for introduced in INTRODUCED.findall(note):
        names |= {introduced, *introduced.split()}
    for name in sorted((n for n in names if len(n.strip(" ,")) > 1), key=len, reverse=True):
        note = re.sub(
            rf"(?:(?:Mr|Ms|Mrs)\. )?\b{re.escape(name)}\b(?! (?:syndrome|disease))", "The patient", note, flags=re.IGNORECASE
        )
    return note


def aci_notes(data: Path) -> Iterator[str]:
    """ACI-Bench notes without their patients' names."""
    folder = data / "dialog_aci_bench/data/challenge_data"
    for part in ("train", "valid"):
        with (folder / f"{part}_metadata.csv").open(encoding="utf-8") as file:
            known = {r["encounter_id"]: (r["patient_firstname"], r["patient_familyname"]) for r in csv.DictReader(file)}
        with (folder / f"{part}.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                yield without_patient(row["note"], *known.get(row["encounter_id"], ("", "")))


def base_texts(data: Path) -> Iterator[str]:
    """Free clinical texts: ACI-Bench notes, MTS-Dialog sections, MACCROBAT reports. Texts with masks or known names are left out
    where these cannot be told from words."""
    yield from aci_notes(data)
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
