"""The small world of ``benchmarks.loop``: what its notes say, in the hospital's old style and in a new department's, and what is in them.

Everything is invented or a generic name; the model of this world is trained on it alone, in seconds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from random import Random

from schemas.findings import FindingsNote, MentionType
from schemas.ids import derived_id
from schemas.labels import ReviewedLabel, ReviewedSpan

DRUGS = (
    "aspirin", "warfarin", "metformin", "digoxin", "heparin", "insulin", "lisinopril", "amlodipine", "atorvastatin", "furosemide",
    "metoprolol", "omeprazole", "gabapentin", "sertraline", "prednisone", "amoxicillin", "allopurinol", "clopidogrel",
)  # fmt: skip
#: A name that came on the market after the champion was trained.
NEW_DRUG = "zolvantrimab"
PROBLEMS = (
    "fever", "gout", "nausea", "asthma", "anemia", "rash", "hypertension", "pneumonia", "atrial fibrillation", "heart failure",
    "type 2 diabetes", "migraine", "cellulitis", "dyspnea", "chest pain", "low back pain", "urinary tract infection", "constipation",
)  # fmt: skip
DOSES = ("5 mg", "10 mg", "25 mg", "40 mg", "81 mg", "500 mg")
TYPES: tuple[MentionType, ...] = ("medication", "problem", "dosage")
PROSE = (
    "The patient took {drug} {dose} for {problem}.",
    "{Drug} was started because of {problem}.",
    "We continued {drug} {dose}; there was no {other}.",
    "She came in with {problem} and {other} and was given {drug}.",
    "History of {problem}, treated with {drug} {dose} at home.",
    "He denies {other}. His {problem} improved on {drug}.",
    "Stop {drug} in view of the {problem}.",
)
#: The note style of the new department.
STAMPS = (
    "Rx/ {drug} {dose} // Dx/ {problem} // neg/ {other}",
    "Dx/ {problem} + {other} // Rx/ {drug} {dose}",
    "neg/ {other} // Dx/ {problem} // Rx/ {drug}",
)
_SPAN = {
    word: kind for kind, words in (("medication", (*DRUGS, NEW_DRUG)), ("problem", PROBLEMS), ("dosage", DOSES)) for word in words
}
_WORDS = re.compile(r"\b(?:" + "|".join(sorted(map(re.escape, _SPAN), key=len, reverse=True)) + r")\b", re.IGNORECASE)


def note(random: Random, templates: Sequence[str], drugs: Sequence[str]) -> str:
    """Two or three statements; each names a drug of ``drugs``."""
    return " ".join(_statement(random, template, drugs) for template in random.sample(templates, random.randint(2, 3)))


def _statement(random: Random, template: str, drugs: Sequence[str]) -> str:
    drug, (problem, other) = random.choice(drugs), random.sample(PROBLEMS, 2)
    return template.format(drug=drug, Drug=drug.capitalize(), dose=random.choice(DOSES), problem=problem, other=other)


def spans_of(text: str) -> tuple[ReviewedSpan, ...]:
    """What a careful reader marks in a note of this world, also after de-identification."""
    return tuple(
        ReviewedSpan(start=m.start(), end=m.end(), type=_SPAN[m[0].lower()])  # type: ignore[arg-type]
        for m in _WORDS.finditer(text)
    )


def label(text: str, name: str, subject: str, decided: str, spans: tuple[ReviewedSpan, ...] | None = None) -> ReviewedLabel:
    """The label of one note, by default the right one."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return ReviewedLabel(
        id=derived_id(digest, "label", ordinal=name),
        sample=name,
        subject=subject,
        note=FindingsNote(path="note", text=text, sha256=digest),
        reviewer="reviewer-0",
        guideline="loop/1",
        decided=decided,
        annotated=TYPES,
        spans=spans_of(text) if spans is None else spans,
    )
