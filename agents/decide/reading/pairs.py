"""Medications and allergies of a patient, from coded facts and from notes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from agents.decide.context import MINUTES_PER_HOUR, ContextFact, ContextMention, PatientContext
from agents.decide.form.inputs import Allergies, Medications
from agents.decide.reading.drugs import DrugLexicon, Substance, none_known
from agents.decide.reading.inputs import allowed

#: Status words of FHIR R4 and HL7 v2 order control codes (table 0119) under which nothing is given any more, or not yet.
_NOT_GIVEN = frozenset(
    {
        "stopped", "cancelled", "not-taken", "entered-in-error", "on-hold", "draft", "discontinued", "not-done",
        "dc", "ca", "cr", "oc", "od", "oh", "ha", "hd",
    }
)  # fmt: skip
#: FHIR allergyintolerance-clinical and -verification; HL7 table 0438: inactive, erroneous.
_NOT_ALLERGIC = frozenset({"refuted", "inactive", "resolved", "entered-in-error", "i", "e"})


@dataclass(frozen=True, slots=True)
class Stated:
    """One medication or allergy: the fact or the mention that states it, and the substance that it names."""

    source: ContextFact | ContextMention
    substance: Substance

    @property
    def ref(self) -> str:
        return self.source.fact.id if isinstance(self.source, ContextFact) else self.source.id

    @property
    def elapsed(self) -> int | None:
        return self.source.fact.elapsed if isinstance(self.source, ContextFact) else self.source.elapsed

    @property
    def key(self) -> str:
        """Equal for statements of one substance; of drugs outside the table only a digest."""
        substance = self.substance
        if substance.label:
            return substance.label
        return hashlib.sha256(" ".join(sorted(substance.words)).encode()).hexdigest()[:16]


def medications(context: PatientContext, form: Medications, lexicon: DrugLexicon, now: int | None) -> list[Stated]:
    """Given now or within the look-back before ``now`` (minutes on the patient's clock)."""
    found: list[Stated] = []
    for row in context.current(("medication",)):
        fact = row.fact
        if fact.status.lower() not in _NOT_GIVEN and _recent(fact.elapsed, now, form.lookback_hours):
            found.append(Stated(row, lexicon.read(fact.text, (*fact.codes, *fact.value_codes))))
    for mention in context.mentions.values():
        given = not mention.allergen and mention.section != "family_history" and allowed(mention.assertion, form.assertion)
        if given and _recent(mention.elapsed, now, form.lookback_hours):
            found.append(Stated(mention, lexicon.read(mention.text, mention.codes)))
    return found


def allergens(context: PatientContext, form: Allergies, lexicon: DrugLexicon) -> list[Stated]:
    """Allergies of facts and notes, and problems whose code says "allergy status to" a class."""
    found: list[Stated] = []
    for row in context.current(("allergy", "problem")):
        fact = row.fact
        if fact.status.lower() in _NOT_ALLERGIC or none_known(fact.text, fact.codes):
            continue
        if fact.kind == "allergy":
            # Where the code names the substance, the text may be the reaction (AL1-5), which must not be taken for one.
            text = "" if any(coding.display for coding in fact.codes) else fact.text
            found.append(Stated(row, lexicon.read(text, fact.codes)))
        elif substance := lexicon.read_codes(fact.codes):
            found.append(Stated(row, substance))
    found.extend(
        Stated(mention, lexicon.read(mention.text, mention.codes))
        for mention in context.mentions.values()
        if mention.allergen and allowed(mention.assertion, form.assertion) and not none_known(mention.text, mention.codes)
    )
    return found


def _recent(elapsed: int | None, now: int | None, hours: int) -> bool:
    return elapsed is None or now is None or elapsed >= now - hours * MINUTES_PER_HOUR
