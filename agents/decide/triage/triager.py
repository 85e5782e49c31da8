"""A patient's own message: what it asks, how urgent it looks, a draft grounded in the record. Staff see it at once; nothing is ever answered by itself.

Two readers, the table's words and (where a site has a bundle) the model; the more urgent of the two counts, since a message that is read too soon
costs a minute and one that is read too late may cost a life.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from agents.decide.cases.evidence import as_input
from agents.decide.context import ContextFact, PatientContext
from agents.decide.reading.inputs import has_code
from agents.decide.triage.table import TriageTable, sentences
from schemas.findings import Findings, FindingsNote
from schemas.flags import URGENCIES, Basis, Draft, Flag, Ground, Input, Rule, TextSpan, Triage, Urgency
from schemas.ids import derived_id

FLAG_TYPE = "message.urgency"
_SUMMARY = {
    "emergency": "Patient message may describe an emergency: to be read now",
    "same-day": "Patient message may need an answer today",
}
_INTENDED = "To bring a patient's message that cannot wait to the eyes of staff, in place of the order in which it came."
_LIMITS = (
    "Words and, where a site has one, a small model; English. A message that is called routine is unread, not safe. "
    "What is asked is a suggestion for routing."
)
_CITATION = "https://www.nhs.uk/nhs-services/urgent-and-emergency-care-services/when-to-call-999/"
#: Shorter words of a name are units and forms ("oral", "tab").
_SHORTEST_NAME = 5
_MOST_FACTS = 4
_MODEL = "model"


class MessageModel(Protocol):
    """What is needed of a classifier of messages (``models.Classifier`` has it): classes ``urgency:*`` and ``ask:*``."""

    @property
    def version(self) -> str: ...

    def classify_many(self, texts: Sequence[str]) -> list[dict[str, float]]: ...

    def labels_of(self, probabilities: dict[str, float]) -> tuple[str, ...]: ...

    def close(self) -> None: ...


class Triager:
    """Safe to use from several threads at once, as far as the model is."""

    def __init__(self, table: TriageTable, model: MessageModel | None = None) -> None:
        self._table = table
        self._model = model
        self.version = table.version + (f"+{model.version}" if model else "")

    def read(self, findings: Findings, context: PatientContext) -> tuple[Triage, ...]:
        """One answer for each note that the patient or a relative wrote; none for others."""
        notes = [note for note in findings.notes if self._is_own(note)]
        guesses = self._model.classify_many([note.text for note in notes]) if self._model and notes else [{}] * len(notes)
        return tuple(self._one(note, guess, context) for note, guess in zip(notes, guesses, strict=True))

    def flags(self, findings: Findings, answers: Sequence[Triage]) -> tuple[Flag, ...]:
        """A flag for each message that cannot wait."""
        return tuple(self._flag(findings, answer) for answer in answers if answer.urgency in _SUMMARY)

    def close(self) -> None:
        """End the model's threads."""
        if self._model is not None:
            self._model.close()

    def _is_own(self, note: FindingsNote) -> bool:
        return bool(note.text.strip()) and (bool(note.author) or has_code(note.codes, self._table.form.documents))

    def _one(self, note: FindingsNote, guess: dict[str, float], context: PatientContext) -> Triage:
        urgency: Urgency = "routine"
        grounds: list[Ground] = []
        asked: dict[str, None] = {}
        found = sentences(note.text)
        for level, row, (start, end) in self._table.rows(found):
            urgency = max(urgency, level, key=URGENCIES.index)
            span = TextSpan(note=note.path, sha256=note.sha256, start=start, end=end)
            grounds.append(Ground(source="table", name=row.name, span=span))
        for sentence in found:
            asked.update(dict.fromkeys(self._table.asks(sentence)))
        for label in self._model.labels_of(guess) if self._model else ():
            axis, _, name = label.partition(":")
            if axis == "urgency" and name in URGENCIES:
                urgency = max(urgency, name, key=URGENCIES.index)
            elif axis == "ask":
                asked.setdefault(name)
            grounds.append(Ground(source=_MODEL, name=label, score=guess[label]))
        asks = tuple(asked) or ("other",)
        return Triage(
            note=note.path,
            urgency=urgency,
            asks=asks,
            grounds=tuple(grounds),
            draft=self._draft(note.text, urgency, asks, context),
            version=self.version,
        )

    def _draft(self, text: str, urgency: Urgency, asks: tuple[str, ...], context: PatientContext) -> Draft:
        form = self._table.form.draft
        said = [form.opening]
        if urgency in form.urgency:
            said.append(form.urgency[urgency])
        sources: list[Input] = []
        if urgency != "emergency":  # there, nothing stands between the patient and the telephone
            said += [form.asks[name] for name in asks if name in form.asks]
            words = {word for sentence in sentences(text) for word in sentence.words}
            for row, sentence_ in _told(words, asks, context, form.medication, form.result):
                said.append(sentence_)
                sources.append(as_input(row))
        return Draft(text=" ".join(said), sources=tuple(sources))

    def _flag(self, findings: Findings, answer: Triage) -> Flag:
        spans = [ground.span for ground in answer.grounds if ground.span is not None]
        scores = [ground.score for ground in answer.grounds if ground.score is not None and ground.name.startswith("urgency:")]
        names = dict.fromkeys(ground.name for ground in answer.grounds if ground.source != _MODEL)
        by_table = bool(names)
        by_model = any(ground.name == f"urgency:{answer.urgency}" for ground in answer.grounds)
        return Flag(
            id=derived_id(
                findings.origin, f"decide.{FLAG_TYPE}", policy=findings.versions.policy, model=self.version, ordinal=answer.note
            ),
            type=FLAG_TYPE,
            kind="hybrid" if by_table and by_model else "model" if by_model else "rule",
            severity="critical" if answer.urgency == "emergency" else "warning",
            subject=findings.subject,
            summary=_SUMMARY[answer.urgency],
            basis=Basis(logic="; ".join(names) or "model", citation=_CITATION, text_spans=tuple(spans)),
            rule=Rule(id=FLAG_TYPE, version=self._table.form.version, sha256=self._table.sha256),
            encounter=findings.encounter,
            elapsed=findings.elapsed,
            score=max(scores, default=None) if by_model and not by_table else None,
            intended_use=_INTENDED,
            limitations=_LIMITS,
            suppress_key=f"{FLAG_TYPE}|{findings.subject}|{findings.origin}",
        )


def _told(
    words: set[str], asks: tuple[str, ...], context: PatientContext, medication: str, result: str
) -> Iterator[tuple[ContextFact, str]]:
    """Facts of the record that the message speaks of, newest first, each name once, with their sentence."""
    seen: set[str] = set()
    rows = [row for row in context.current(("medication", "lab")) if row.fact.elapsed is not None]
    for row in reversed(rows):
        fact = row.fact
        name = next((coding.display for coding in fact.codes if coding.display), fact.text if fact.kind == "medication" else "")
        meant = words & {word for sentence in sentences(name) for word in sentence.words if len(word) >= _SHORTEST_NAME}
        if not meant or name in seen or len(seen) == _MOST_FACTS:
            continue
        if fact.kind == "medication" and fact.status.lower() not in (
            "stopped",
            "cancelled",
            "completed",
            "entered-in-error",
            "not-taken",
        ):
            seen.add(name)
            yield row, medication.format(name=name)
        elif fact.kind == "lab" and "results" in asks and fact.value is not None:
            seen.add(name)
            yield row, result.format(name=name, value=f"{fact.comparator}{fact.value}", unit=fact.unit).strip()
