"""A note beside the coded record: an allergy that the list lacks, and what the note denies although it is coded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from agents.decide.cases.case import By
from agents.decide.cases.evidence import Evidence
from agents.decide.context import ContextFact, ContextMention, PatientContext
from agents.decide.form.conditions import Condition, Denied, Unlisted
from agents.decide.form.inputs import Asserted
from agents.decide.reading.drugs import DrugLexicon
from agents.decide.reading.inputs import allowed, holds_now
from agents.decide.reading.pairs import Stated
from schemas.findings import Findings
from schemas.ids import derived_id

#: A denial as the sentence stands: certain, of now, the patient's own.
_DENIAL = Asserted(negated=True)
_NO_ALLERGY = re.compile(
    r"\b(?:nk(?P<drug>d)?a|(?:no\sknown|denies(?:\sany)?|no)\s(?P<drugs>(?:drug|medication|medicine)\s)?allerg(?:y|ies))\b(?!\sto\b)",
    re.IGNORECASE,
)


@dataclass(slots=True)
class AllergenCase:
    """A drug that a note names as an allergen; ``known``: coded allergies, ``None`` where the patient has no list at all."""

    allergen: Stated
    known: tuple[Stated, ...] | None
    lexicon: DrugLexicon
    missing: set[str] = field(default_factory=set)
    counts: bool = True

    def __post_init__(self) -> None:
        if self.known is None:
            self.missing.add("allergy list")

    @property
    def elapsed(self) -> int | None:
        return self.allergen.elapsed

    def test(self, condition: Condition) -> Evidence | None:
        if not isinstance(condition, Unlisted):
            raise TypeError(type(condition).__name__)
        if self.known is None or any(self._same(one) for one in self.known):
            return None
        source = self.allergen.source
        return Evidence(
            mentions=(source,) if isinstance(source, ContextMention) else (),
            words={"allergy": self.allergen.substance.label or "a drug"},
            part=self.allergen.key,
        )

    def key(self, by: By, evidence: Evidence) -> str:
        return "" if by == "rule" else evidence.part

    def _same(self, listed: Stated) -> bool:
        one, other = self.allergen.substance, listed.substance
        return bool(
            self.lexicon.conflict(one, other) in ("ingredient", "class")
            or self.lexicon.conflict(other, one) in ("ingredient", "class")
        )


def allergen_cases(
    found: Sequence[Stated], mentions: Sequence[ContextMention], context: PatientContext, lexicon: DrugLexicon
) -> Iterator[AllergenCase]:
    """``found``: the patient's allergies, coded and in notes; those of ``mentions`` (the message's) that are drugs are asked about."""
    own = {mention.id for mention in mentions if mention.type == "medication"}
    coded = tuple(one for one in found if isinstance(one.source, ContextFact))
    known = coded if coded or context.current(("allergy",)) else None
    for allergen in found:
        if allergen.ref in own:
            yield AllergenCase(allergen, known, lexicon)


@dataclass(slots=True)
class DenialCase:
    """``mention`` denies what ``fact`` states."""

    kind: Literal["problem", "medication", "allergy"]
    mention: ContextMention
    fact: ContextFact
    name: str
    part: str
    missing: set[str] = field(default_factory=set)
    counts: bool = True

    @property
    def elapsed(self) -> int | None:
        return self.mention.elapsed

    def test(self, condition: Condition) -> Evidence | None:
        if not isinstance(condition, Denied):
            raise TypeError(type(condition).__name__)
        if condition.kind != self.kind:
            return None
        return Evidence((self.fact,), (self.mention,), words={self.kind: self.name}, part=self.part)

    def key(self, by: By, evidence: Evidence) -> str:
        return {"rule": "", "input": self.kind, "pair": f"{self.kind}|{evidence.part}"}[by]


def denial_cases(
    findings: Findings,
    mentions: Sequence[ContextMention],
    context: PatientContext,
    given: Sequence[Stated],
    allergies: Sequence[Stated],
    lexicon: DrugLexicon,
) -> Iterator[DenialCase]:
    """``given`` and ``allergies``: the patient's, of which the coded ones count."""
    denied = [mention for mention in mentions if mention.assertion.negated and allowed(mention.assertion, _DENIAL)]
    denied = [mention for mention in denied if mention.section != "family_history" and not mention.allergen]
    for mention in denied:
        if mention.type == "problem":
            for row in context.current(("problem",)):
                if holds_now(row.fact) and _one_thing(mention, row):
                    yield DenialCase("problem", mention, row, "a problem", row.fact.id)
        elif mention.type == "medication":
            names = lexicon.read(mention.text, mention.codes).ingredients
            for one in given:
                if isinstance(one.source, ContextFact) and names & one.substance.ingredients:
                    yield DenialCase("medication", mention, one.source, one.substance.label, one.key)
    for note in findings.notes:
        for number, found in enumerate(_NO_ALLERGY.finditer(note.text)):
            mention = ContextMention(
                id=derived_id(findings.id, "decide.no-allergy", ordinal=f"{note.path}|{number}"), origin=findings.origin,
                note=note.path, sha256=note.sha256, start=found.start(), end=found.end(), text=found.group(), type="finding",
                elapsed=findings.elapsed,
            )  # fmt: skip
            drugs_alone = bool(found["drug"] or found["drugs"])
            for one in allergies:
                if isinstance(one.source, ContextFact) and (one.substance.label or not drugs_alone):
                    yield DenialCase("allergy", mention, one.source, one.substance.label or "a substance", one.key)


def _one_thing(mention: ContextMention, row: ContextFact) -> bool:
    """The same code, linked or stated, or the same words; "denies chest pain" and a coded angina are two things."""
    codes = {(coding.system, coding.code) for coding in mention.codes if coding.code}
    if codes & {(coding.system, coding.code) for coding in row.fact.codes}:
        return True
    written = (row.fact.text, *(coding.display for coding in row.fact.codes))
    return _folded(mention.text) in {_folded(text) for text in written if text}


def _folded(text: str) -> str:
    return " ".join(re.sub(r"\([^()]*\)|[^\w\s]", " ", text.lower()).split())
