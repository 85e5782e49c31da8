"""Decisions drawn from a fixed chance, as records of ``deid.flag.raised.v1``, for the tests of the watch over drift."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import msgspec

from schemas.drifts import Drift
from schemas.envelope import JSON, DataClass, Envelope
from schemas.findings import Assertion, Mention, Versions
from schemas.flags import Decision
from schemas.ids import derived_id
from streams import topics
from streams.record import Record
from streams.stage import Done, Outcome
from tests.support.decide import findings, note

MODEL = "wardstream-entities/1"
_WORDS = ("asthma", "fever", "cough", "metformin", "lisinopril", "chest pain", "nausea", "anemia")
_MEDICATIONS = frozenset({"metformin", "lisinopril"})


def drawn(
    chance: random.Random,
    number: int,
    *,
    sender: str = "S1",
    department: str = "D1",
    score: float = 0.9,
    longer: float = 1.0,
    negated: float = 0.2,
    model: str = MODEL,
    kind: str = "ORU^R01",
) -> Decision:
    """One message of one note; ``score`` mean of the scores, ``longer`` the text by this factor, ``negated`` share."""
    chosen = chance.sample(_WORDS, chance.randint(2, 6))
    text = " and ".join(chosen) + "." + " seen today" * int(chance.randint(3, 40) * longer)
    rows = note(
        text,
        *(
            (word, "medication" if word in _MEDICATIONS else "problem", Assertion(negated=chance.random() < negated))
            for word in chosen
        ),
    )
    mentions: list[Mention] = [
        msgspec.structs.replace(mention, score=min(1.0, max(0.0, chance.gauss(score, 0.04)))) for mention in rows["mentions"]
    ]
    made = findings(
        number,
        0,
        sender=sender,
        department=department,
        kind=kind,
        notes=rows["notes"],
        mentions=tuple(mentions),
        versions=Versions(entity_model=model),
    )
    return Decision(id=derived_id(f"{sender}:{department}:{kind}:{model}:{number}", "decide"), findings=made)


def record(decision: Decision, offset: int = 0) -> Record:
    """As the decide stage writes it."""
    subject = decision.findings.subject
    headers = Envelope(
        id=decision.id,
        source="/agents/decide",
        type=topics.BY_NAME[topics.RAISED].event_type,
        time=decision.findings.time,
        content_type=JSON,
        data_class=DataClass.INTERNAL,
        origin=decision.findings.origin,
        subject=subject,
    ).headers()
    return Record(topics.RAISED, 0, offset, 0, subject.encode(), msgspec.json.encode(decision), headers)


def batches(decisions: Iterable[Decision], size: int = 64) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for offset, decision in enumerate(decisions):
        batch.append(record(decision, offset))
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def told(outcomes: Iterable[Outcome]) -> list[Drift]:
    """Records of drift in the outputs, in their order."""
    return [
        msgspec.json.decode(output.value or b"", type=Drift)
        for outcome in outcomes
        if isinstance(outcome, Done)
        for output in outcome.outputs
    ]
