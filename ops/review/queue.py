"""What is to be reviewed and by whom, out of the log alone: samples and labels as the topics have them. Leases are this process's own.

Not safe for threads: everything runs on the page's event loop.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from ops.review.accounts import Account, Pseudonyms
from ops.review.gold import prefilled
from schemas.findings import Versions
from schemas.labels import ADJUDICATED, ReviewedLabel
from schemas.samples import Sample
from streams import topics
from streams.record import Record
from streams.settings import Review
from training.data.reviewers import Trust, Trusted, person, trusted

_SAMPLE = msgspec.json.Decoder(Sample)
_LABEL = msgspec.json.Decoder(ReviewedLabel)

#: Seconds that only go on.
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Counted:
    """``open`` samples are there for this reviewer, the one at hand among them; ``today`` labels of this reviewer, of ``cap``; ``done`` ever."""

    open: int
    today: int
    cap: int
    done: int


class Queue:
    """Samples and labels as far as the log has been read.

    Args:
        gold: questions whose answer is known, by sample.
    """

    def __init__(self, settings: Review, pseudonyms: Pseudonyms, gold: Mapping[str, ReviewedLabel], *, clock: Clock) -> None:
        self._settings, self._pseudonyms, self.gold, self._clock = settings, pseudonyms, gold, clock
        self._policy = Trust.of(settings)
        self._samples: dict[str, Sample] = {}
        self._labels: dict[str, ReviewedLabel] = {}
        self._of_sample: dict[str, dict[str, ReviewedLabel]] = defaultdict(dict)
        self._written: dict[str, int] = {}
        self._withdrawn: set[str] = set()
        self._leases: dict[str, dict[str, float]] = defaultdict(dict)
        self._skipped: dict[str, set[str]] = defaultdict(set)
        self._trusted: Trusted | None = None
        self._versions = Versions()

    # What the log says

    def apply(self, record: Record) -> tuple[str, ...]:
        """Take in one record of the topics SAMPLE or LABEL. What cannot be read is passed over: a stage's dead letters tell of it.

        Returns:
            Ids of labels that must be erased too: their sample was withdrawn (its patient was erased) while it was under review.
        """
        name = (record.key or b"").decode("utf-8", "replace")
        if record.topic == topics.SAMPLE:
            return self._take_sample(name, record)
        if record.value is None:
            self._drop_label(name)
            return ()
        try:
            label = _LABEL.decode(record.value)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return ()
        if label.sample in self._withdrawn:
            return (label.id,)
        self.keep(label)
        return ()

    def keep(self, label: ReviewedLabel) -> None:
        """A label is on the topic. An older state of it, read late, does not come back."""
        known = self._labels.get(label.id)
        if known is not None and known.decided > label.decided:
            return
        self._labels[label.id] = label
        self._of_sample[label.sample][label.id] = label
        self._leases.get(label.sample, {}).pop(person(label), None)
        self._trusted = None

    def forget(self, before: int) -> None:
        """Samples older than their topic keeps them: written before this instant, in milliseconds since 1970."""
        for name in [name for name, written in self._written.items() if written < before]:
            del self._written[name]
            self._samples.pop(name, None)

    def _take_sample(self, name: str, record: Record) -> tuple[str, ...]:
        if record.value is None:
            self._written.pop(name, None)
            self._samples.pop(name, None)
            self._leases.pop(name, None)
            self._withdrawn.add(name)
            ids = tuple(self._of_sample.pop(name, {}))
            for label in ids:
                self._labels.pop(label, None)
            self._trusted = None
            return ids
        try:
            sample = _SAMPLE.decode(record.value)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return ()
        self._samples[sample.id] = sample
        self._written[sample.id] = record.timestamp
        self._withdrawn.discard(sample.id)
        self._versions = sample.versions
        return ()

    def _drop_label(self, name: str) -> None:
        label = self._labels.pop(name, None)
        if label is not None:
            self._of_sample[label.sample].pop(name, None)
            self._trusted = None

    # What reviewers get

    def next(self, account: Account, today: str) -> Sample | None:
        """The sample that this reviewer shall see now, leased to them; None when the day's cap is reached or nothing is left.

        Args:
            today: date, as it begins the instants of labels.
        """
        me = account.pseudonym
        if self.counted(account, today).today >= self._settings.cap_per_day:
            return None
        if (own := self._leased_to(me)) is not None:
            return own
        turn = str(len(self.labels_of(me)) + len(self._skipped[me]))
        if (question := self._gold_question(me, turn)) is not None:
            return self._lease(question, me)
        candidates = [sample for sample in self._samples.values() if self._is_for(sample, me)]
        by_chance = [sample for sample in candidates if sample.reason == "random"]
        if by_chance and self._pseudonyms.draw("random", me, turn) < self._settings.random_share:
            candidates = by_chance
        chosen = min(candidates, key=lambda sample: (-sample.score, self._pseudonyms.draw("order", sample.id)), default=None)
        return None if chosen is None else self._lease(chosen, me)

    def find(self, name: str) -> Sample | None:
        """A sample or a gold question."""
        return self._gold_sample(self.gold[name]) if name in self.gold else self._samples.get(name)

    def holds(self, account: Account, name: str) -> bool:
        """Whether this reviewer may label the sample: leased to them now, or theirs already."""
        me = account.pseudonym
        return self._leases.get(name, {}).get(me, 0) > self._clock() or self.own(account, name) is not None

    def own(self, account: Account, name: str) -> ReviewedLabel | None:
        """This reviewer's label of the sample."""
        return next((label for label in self._of_sample.get(name, {}).values() if label.reviewer == account.pseudonym), None)

    def decided_on(self, label: str, day: str) -> bool:
        """Whether there is such a label, of that day: to correct it costs nothing of the cap."""
        known = self._labels.get(label)
        return known is not None and known.decided.startswith(day)

    def skip(self, account: Account, name: str) -> None:
        """Give a sample back; this reviewer is not offered it again while the process runs."""
        if self._leases.get(name, {}).pop(account.pseudonym, None) is not None:
            self._skipped[account.pseudonym].add(name)

    def counted(self, account: Account, today: str) -> Counted:
        mine = self.labels_of(account.pseudonym)
        still_open = sum(self._is_for(sample, account.pseudonym) for sample in self._samples.values())
        return Counted(still_open, sum(label.decided.startswith(today) for label in mine), self._settings.cap_per_day, len(mine))

    def labels_of(self, pseudonym: str) -> list[ReviewedLabel]:
        """In the order of the decisions."""
        return sorted((label for label in self._labels.values() if person(label) == pseudonym), key=lambda label: label.decided)

    # What the labels say together

    def trusted(self) -> Trusted:
        """Computed again after each change."""
        if self._trusted is None:
            self._trusted = trusted(self._labels.values(), self.gold, self._policy)
        return self._trusted

    def labels(self) -> list[ReviewedLabel]:
        """Of ordinary samples; answers to gold questions measure reviewers and nothing else."""
        return [label for label in self._labels.values() if label.sample not in self.gold]

    def open_samples(self) -> list[Sample]:
        """What still needs a review, the most informative first."""
        return sorted((s for s in self._samples.values() if self._wanted(s) > 0), key=lambda s: (-s.score, s.id))

    def export(self, limit: int | None) -> list[Sample]:
        """For another tool: what still needs a review, the most informative first, with gold questions in places drawn by chance."""
        found = self.open_samples()[:limit]
        number = round(len(found) * self._settings.gold_share / (1 - self._settings.gold_share))
        for question in sorted(self.gold.values(), key=lambda label: self._pseudonyms.draw("export", label.sample))[:number]:
            place = int(self._pseudonyms.draw("place", question.sample) * (len(found) + 1))
            found.insert(place, self._gold_sample(question))
        return found

    def disputed(self) -> list[str]:
        """Samples whose trusted reviewers say different things, and that nobody has settled."""
        return sorted({aside.label.sample for aside in self.trusted().put_aside if aside.reason == "disputed"})

    def verdicts(self, name: str) -> list[ReviewedLabel]:
        """Of one sample, by those who reviewed it and are not put aside; without who settled it."""
        standings = self.trusted().standings
        found = [
            label
            for label in self._of_sample.get(name, {}).values()
            if not label.reviewer.startswith(ADJUDICATED) and not standings[person(label)].reason
        ]
        return sorted(found, key=lambda label: label.decided)

    def _reviews(self, name: str) -> int:
        """Reviews that count: a reviewer who is put aside has reviewed nothing."""
        standings = self.trusted().standings
        labels = self._of_sample.get(name, {}).values()
        if any(label.reviewer.startswith(ADJUDICATED) for label in labels):
            return 2
        return sum(not standings[person(label)].reason for label in labels)

    def _wanted(self, sample: Sample) -> int:
        """Reviews that the sample still lacks."""
        if sample.id in self.gold:
            return 0
        twice = self._pseudonyms.draw("double", sample.id) < self._settings.double_share
        return max(0, (2 if twice else 1) - self._reviews(sample.id))

    def _is_for(self, sample: Sample, me: str) -> bool:
        if sample.id in self._skipped[me] or any(person(one) == me for one in self._of_sample.get(sample.id, {}).values()):
            return False
        now = self._clock()
        busy = sum(until > now for who, until in self._leases.get(sample.id, {}).items() if who != me)
        return self._wanted(sample) > busy

    def _leased_to(self, me: str) -> Sample | None:
        now = self._clock()
        for name, leases in self._leases.items():
            if leases.get(me, 0) > now and (sample := self.find(name)) is not None:
                return self._lease(sample, me)
        return None

    def _lease(self, sample: Sample, me: str) -> Sample:
        self._leases[sample.id][me] = self._clock() + self._settings.lease_s
        return sample

    def _gold_question(self, me: str, turn: str) -> Sample | None:
        if not self.gold or self._pseudonyms.draw("gold", me, turn) >= self._settings.gold_share:
            return None
        left = [q for name, q in self.gold.items() if name not in self._skipped[me] and not self._answered(name, me)]
        question = min(left, key=lambda label: self._pseudonyms.draw("question", me, label.sample), default=None)
        return None if question is None else self._gold_sample(question)

    def _answered(self, name: str, me: str) -> bool:
        return any(person(label) == me for label in self._of_sample.get(name, {}).values())

    def _gold_sample(self, question: ReviewedLabel) -> Sample:
        """The question as any other sample looks: with the model's own spans where the sample is still there, else with faults put in."""
        real = self._samples.get(question.sample)
        if real is not None:
            return real
        return Sample(
            id=question.sample,
            origin="",
            subject=question.subject,
            reason="random",
            score=0.0,
            note=question.note,
            mentions=prefilled(question, self._pseudonyms),
            versions=self._versions,
        )
