"""The stage: ``deid.flag.raised.v1`` -> ``train.sample.proposed.v1``."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from agents.feedback.policy import Policy, load_policy
from agents.feedback.reasons import Seen
from agents.feedback.step import STAGE, Candidate, Check, admitted, candidates, flagged
from agents.feedback.store import Admission, Answer, FeedbackStore, Kept
from schemas.cards import Outcome as CardOutcome
from schemas.envelope import JSON, DataClass, Envelope, parse_headers
from schemas.errors import Poison
from schemas.flags import Decision
from schemas.samples import Sample
from streams import topics
from streams.health import Health
from streams.metrics import StreamMetrics
from streams.record import Output, Record, decoded
from streams.settings import Settings
from streams.stage import Done, Outcome, Refused
from streams.store import Store, connect

_DAY_S = 86_400
_DECODER = msgspec.json.Decoder(Decision)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Looked:
    wanted: list[Candidate]
    kept: list[tuple[str, Kept]]


class SampleStage:
    """What both stages that propose samples have: policy, store, metrics. See ``streams.stage.Stage`` and ``Observed``."""

    _policy: Policy
    _store: FeedbackStore

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redis: Store | None = None
        self._metrics: StreamMetrics | None = None

    def observe(self, metrics: StreamMetrics, health: Health) -> None:
        """See ``streams.stage.Observed``."""
        self._metrics = metrics

    async def open(self) -> None:
        """Raises ConfigurationError when the policy file is wrong."""
        self._policy = await asyncio.to_thread(load_policy, self._settings.feedback.policy_file)
        self._redis = connect(self._settings.redis)
        self._store = feedback_store(self._settings, self._redis)

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()
            self._redis = None

    async def _admit(self, wanted: Sequence[Candidate]) -> list[Sample | None]:
        """The samples of candidates as far as the budgets go, each with what clinicians have answered; the rest is counted."""
        admissions = await self._store.admit(wanted)
        answers = await self._store.answers([one.sample.id for one in wanted])
        return [
            self._sample(one, admission, weak_of(said)) for one, admission, said in zip(wanted, admissions, answers, strict=True)
        ]

    def _sample(self, one: Candidate, admission: Admission, weak: dict[str, CardOutcome]) -> Sample | None:
        if admission.proposal is None:
            if one.ways:
                self._withhold(one, admission.cause)
            return None
        if self._metrics is not None:
            self._metrics.samples_proposed.labels(admission.proposal.reason).inc()
        return admitted(one.sample, admission.proposal, weak)

    def _withhold(self, one: Candidate, cause: str) -> None:
        if self._metrics is not None:
            self._metrics.samples_withheld.labels(one.ways[0].proposal.reason, cause).inc()


class FeedbackStage(SampleStage):
    """See ``streams.stage.Stage``. Most messages give no sample; a message that comes again gives the samples of the first time.

    ``check`` is the second leak check: a note that it suspects becomes no sample and waits for no card; that it was withheld is counted,
    and nothing else of it leaves.
    """

    name = STAGE

    def __init__(self, settings: Settings, check: Check) -> None:
        super().__init__(settings)
        self._check = check

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        """Raises StoreUnavailable: the batch comes again."""
        if self._redis is None:
            raise RuntimeError("process before open")
        read = [read_record(record, _DECODER) for record in records]
        decisions = [row[1] for row in read if not isinstance(row, Poison)]
        seen = await self._store.look([decision.findings for decision in decisions], self._policy)
        looked = await asyncio.to_thread(lambda: [self._look(one, known) for one, known in zip(decisions, seen, strict=True)])
        if self._settings.cds.enabled:
            await self._store.keep([kept for one in looked for kept in one.kept])
        proposed = iter(await self._admit([one for rows in looked for one in rows.wanted]))
        counts = iter(looked)
        outcomes: list[Outcome] = []
        for row in read:
            if isinstance(row, Poison):
                outcomes.append(Refused(row))
                continue
            found = [next(proposed) for _ in next(counts).wanted]
            outcomes.append(Done(tuple(sample_output(row[0], sample) for sample in found if sample is not None)))
        return outcomes

    def _look(self, decision: Decision, seen: Seen) -> _Looked:
        """Pure but for the count of what the second leak check withholds."""
        suspects = functools.cache(self._check)
        wanted = []
        for one in candidates(decision, self._policy, seen):
            if suspects(one.sample.note.text):
                self._withhold(one, "leak")
            else:
                wanted.append(one)
        kept = []
        for flag, samples in flagged(decision) if self._settings.cds.enabled else ():
            shown = tuple(sample for sample in samples if not suspects(sample.note.text))
            if shown:
                kept.append((flag.id, Kept(decision.findings.time, shown)))
        return _Looked(wanted, kept)


def feedback_store(settings: Settings, redis: Store) -> FeedbackStore:
    return FeedbackStore(redis, prefix=settings.kafka.topic_prefix, cards_s=settings.cds.days * _DAY_S)


def weak_of(answers: Mapping[str, Answer]) -> dict[str, CardOutcome]:
    """Outcomes by flag, in the order of the flags' ids: equal answers give equal bytes."""
    return {flag: answers[flag].outcome for flag in sorted(answers)}


def read_record(record: Record, decoder: msgspec.json.Decoder[T]) -> tuple[Envelope, T] | Poison:
    """A record of ours, or why it goes to the dead letters. Raises PrivacyViolation: this stage may not read it."""
    try:
        envelope = parse_headers(record.headers)
        envelope.require(DataClass.INTERNAL)
        return envelope, decoded(record.value, decoder)
    except Poison as error:
        return error


def sample_output(envelope: Envelope, sample: Sample) -> Output:
    """The record of a sample; ``envelope``: of the message, for its time, versions and trace."""
    row = topics.BY_NAME[topics.SAMPLE]
    headers = msgspec.structs.replace(
        envelope,
        id=sample.id,
        source=f"/agents/{STAGE}",
        type=row.event_type,
        content_type=JSON,
        data_class=row.data_class,
        deid_map=None,
    ).headers()
    return Output(topics.SAMPLE, sample.id.encode(), msgspec.json.encode(sample, order="deterministic"), headers)
