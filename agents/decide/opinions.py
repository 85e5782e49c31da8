"""Classifiers beside the rules: what they make of a message's notes, and whether the rule of the same flag says so too.

They raise nothing. Rules and models share the flag's type, so that agreement can be counted and disagreement be reviewed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from agents.decide.context import MINUTES_PER_HOUR, PatientContext
from agents.decide.form.inputs import Measure
from agents.decide.reading.units import convert
from agents.decide.ruleset import RuleSet
from models.bundle import NumberInput
from models.classifier import Classifier
from schemas.findings import Findings
from schemas.flags import FLAG_OF_CLASS, Opinion

#: Values older than this are not of the state that the note describes (as the scores of the rules).
_HOURS = 4
#: Words of an outcome that say that the rule held, raised or not; with the others it is known not to, or not known.
_HELD = frozenset({"raised", "suppressed", "stale"})
_CLEAR = frozenset({"clear", "no_input", "resolved", "withdrawn"})


class Opinions:
    """Safe to use from several threads at once."""

    def __init__(self, classifiers: Sequence[Classifier], rules: RuleSet) -> None:
        self._classifiers = tuple(classifiers)
        self._analytes = {
            code.code: source.analyte
            for rule in rules.rules
            for source in rule.form.inputs.values()
            if isinstance(source, Measure)
            for code in source.codes
        }
        self.version = "+".join(one.version for one in self._classifiers)

    def read(self, findings: Findings, context: PatientContext, evaluated: Mapping[str, str]) -> tuple[Opinion, ...]:
        """One opinion for each class of each classifier; none for a message without a note.

        ``evaluated``: outcome of each rule for this message; ``context`` already holds the message.
        """
        notes = [note for note in findings.notes if note.text.strip()]
        if not notes:
            return ()
        found: list[Opinion] = []
        for classifier in self._classifiers:
            numbers = self._numbers(classifier.manifest.numbers, findings, context)
            guesses = classifier.classify_many([note.text for note in notes], [numbers] * len(notes) if numbers else None)
            for label in guesses[0]:
                most = max(range(len(notes)), key=lambda row: (guesses[row][label], -row))
                holds = any(label in classifier.labels_of(guess) for guess in guesses)
                flag = FLAG_OF_CLASS.get(label, "")
                found.append(
                    Opinion(
                        label=label,
                        score=guesses[most][label],
                        holds=holds,
                        note=notes[most].path,
                        version=classifier.version,
                        type=flag,
                        rule=_held(evaluated.get(flag, "")),
                    )
                )
        return tuple(found)

    def close(self) -> None:
        """End the models' threads."""
        for classifier in self._classifiers:
            classifier.close()

    def _numbers(self, inputs: Sequence[NumberInput], findings: Findings, context: PatientContext) -> list[float]:
        """The latest value of each input within the hours before the message, in the model's unit; NaN where there is none."""
        now = context.clock if findings.elapsed is None else findings.elapsed
        latest: dict[str, float] = {}
        for wanted in inputs:
            for row in context.coded(wanted.name):
                fact = row.fact
                if fact.retracted or fact.kind not in ("lab", "vital", "score"):
                    continue
                near = now is None or fact.elapsed is None or now - _HOURS * MINUTES_PER_HOUR <= fact.elapsed <= now
                if near and fact.value is not None and not fact.comparator:
                    value = self._in_unit(fact.value, fact.unit, wanted)
                    if value is not None:
                        latest[wanted.name] = float(value)
        return [latest.get(one.name, float("nan")) for one in inputs]

    def _in_unit(self, value: Decimal, unit: str, wanted: NumberInput) -> Decimal | None:
        analyte = self._analytes.get(wanted.name)
        if analyte is None:
            return None
        given, one = convert(value, unit, analyte), convert(Decimal(1), wanted.unit, analyte)
        return None if given is None or not one else given / one


def _held(outcome: str) -> bool | None:
    words = set(outcome.split("+")) if outcome else set()
    if words & _HELD:
        return True
    return False if words and words <= _CLEAR else None
