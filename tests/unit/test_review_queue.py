"""The review queue: what a reviewer gets, who else may get it, and what the log changes in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from ops.review.accounts import Account, Accounts, Pseudonyms, digest, row
from ops.review.metrics import Metrics
from ops.review.queue import Queue
from schemas.errors import ConfigurationError
from schemas.labels import ADJUDICATED, ReviewedLabel
from schemas.samples import Sample
from streams import topics
from streams.settings import Review
from tests.support.review import DAY, KEY, make_label, make_sample, record, span

PSEUDONYMS = Pseudonyms(KEY.encode())
ADA, BEN, EVE = (Account(name, "reviewer", PSEUDONYMS.of(name)) for name in ("ada", "ben", "eve"))
TEXT = "Denies chest pain. Takes aspirin."


class Now:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def queue_of(
    *samples: Sample, now: Now | None = None, gold: Mapping[str, ReviewedLabel] | None = None, **settings: float
) -> Queue:
    rest = {"double_share": 0, "random_share": 0, "gold_share": 0} | settings
    made = Queue(Review(**rest), PSEUDONYMS, gold or {}, clock=now or Now())  # type: ignore[arg-type]
    for sample in samples:
        made.apply(record(topics.SAMPLE, sample.id, sample))
    return made


def simple(name: str, score: float = 0.5, **rest: object) -> Sample:
    return make_sample(name, TEXT, ("chest pain", "finding"), score=score, **rest)  # type: ignore[arg-type]


def reviewed(queue: Queue, account: Account, name: str, phrase: str = "chest pain", time: str = "10:00:00.000") -> ReviewedLabel:
    sample = queue.find(name)
    assert sample is not None
    label = make_label(sample, account.pseudonym, span(TEXT, phrase, "finding"), decided=f"{DAY}T{time}+00:00")
    queue.apply(record(topics.LABEL, label.id, label))
    return label


def given(queue: Queue, account: Account) -> str | None:
    sample = queue.next(account, DAY)
    return None if sample is None else sample.id


def test_the_most_informative_first_and_never_to_two() -> None:
    """By score; what one has open another does not get; asked again, one gets the same; labelled, it is done for all."""
    queue = queue_of(simple("a", 0.2), simple("b", 0.9), simple("c", 0.5))
    assert [given(queue, who) for who in (ADA, BEN, ADA, EVE)] == ["b", "c", "b", "a"]
    reviewed(queue, ADA, "b")
    assert given(queue, ADA) is None
    assert queue.counted(ADA, DAY).today == 1


def test_a_lease_ends() -> None:
    """A sample that somebody opened and left comes back to the others."""
    now = Now()
    queue = queue_of(simple("a"), now=now, lease_s=60)
    assert given(queue, ADA) == "a"
    now.seconds = 59
    assert given(queue, BEN) is None
    now.seconds = 61
    assert (queue.holds(ADA, "a"), given(queue, BEN), given(queue, ADA)) == (False, "a", None)


def test_double_review_asks_two_and_no_third() -> None:
    """Two at the same time or one after the other, and never the same one twice."""
    queue = queue_of(simple("a"), double_share=1.0)
    assert [given(queue, who) for who in (ADA, BEN, EVE)] == ["a", "a", None]
    reviewed(queue, ADA, "a")
    assert (given(queue, ADA), given(queue, EVE), given(queue, BEN)) == (None, None, "a")
    reviewed(queue, BEN, "a")
    assert given(queue, EVE) is None


def test_the_share_of_double_review_is_of_samples() -> None:
    """Drawn by the sample's id: about the share, the same after a restart."""
    names = [f"s{number}" for number in range(400)]
    doubled = []
    for _ in range(2):
        queue = queue_of(*(simple(name) for name in names), double_share=0.25)
        for name in names:
            reviewed(queue, ADA, name)
        doubled.append({sample.id for sample in queue.open_samples()})
    assert doubled[0] == doubled[1]
    assert 70 < len(doubled[0]) < 130


def test_samples_by_chance_come_between() -> None:
    """The random share is drawn by turn, although such samples have no score."""
    queue = queue_of(
        *(simple(f"u{n}", 0.9) for n in range(40)), *(simple(f"r{n}", 0.0, reason="random") for n in range(40)), random_share=0.5
    )
    order = []
    for _ in range(40):
        name = given(queue, ADA)
        assert name is not None
        order.append(name)
        reviewed(queue, ADA, name)
    assert 10 <= sum(name.startswith("r") for name in order) <= 30


def test_the_days_cap() -> None:
    """Reached, nothing comes until another day begins; corrections of the day count once."""
    queue = queue_of(simple("a", 0.9), simple("b", 0.5), simple("c", 0.1), cap_per_day=2)
    first = reviewed(queue, ADA, "a")
    reviewed(queue, ADA, "a", "aspirin", "11:00:00.000")
    assert given(queue, ADA) == "b"
    reviewed(queue, ADA, "b")
    assert (given(queue, ADA), given(queue, BEN)) == (None, "c")
    assert (queue.decided_on(first.id, DAY), queue.decided_on(first.id, "2026-03-02")) == (True, False)
    assert queue.next(ADA, "2026-03-02") is None  # ben has it
    queue.skip(BEN, "c")
    assert queue.next(ADA, "2026-03-02") is not None


def test_skipped_is_not_offered_again() -> None:
    """To the one who skipped it; the others get it."""
    queue = queue_of(simple("a", 0.9), simple("b", 0.1))
    assert given(queue, ADA) == "a"
    queue.skip(ADA, "a")
    assert (given(queue, ADA), given(queue, BEN)) == ("b", "a")


def test_a_withdrawn_sample_takes_its_labels_along() -> None:
    """Its patient was erased: the sample is gone, and labels that came meanwhile, before or after, are named for erasure."""
    queue = queue_of(simple("a"))
    label = reviewed(queue, ADA, "a")
    assert queue.apply(record(topics.SAMPLE, "a", None)) == (label.id,)
    assert (queue.find("a"), queue.labels()) == (None, [])
    assert queue.apply(record(topics.LABEL, label.id, label)) == (label.id,)
    assert queue.labels() == []
    assert not queue.holds(ADA, "a")


def test_a_label_that_is_erased_is_gone() -> None:
    """A record without a value under its id; an older state, read late, changes nothing."""
    queue = queue_of(simple("a"))
    old = reviewed(queue, ADA, "a", time="09:00:00.000")
    new = reviewed(queue, ADA, "a", "aspirin", "10:00:00.000")
    queue.apply(record(topics.LABEL, old.id, old))
    assert queue.labels() == [new]
    queue.apply(record(topics.LABEL, new.id, None))
    assert (queue.labels(), given(queue, ADA)) == ([], "a")


def test_what_its_topic_no_longer_keeps_is_forgotten() -> None:
    """A process that runs for months shows no sample longer than the log holds it; labels stay."""
    queue = queue_of(simple("a"))
    aged = record(topics.SAMPLE, "b", simple("b"))
    queue.apply(type(aged)(aged.topic, 0, 0, 1_000, aged.key, aged.value, ()))
    reviewed(queue, ADA, "a")
    queue.forget(500)
    assert (queue.find("a"), len(queue.labels())) == (None, 1)
    assert queue.find("b") is not None


def test_broken_records_are_passed_over() -> None:
    """What is no record of ours holds nobody up."""
    queue = queue_of(simple("a"))
    for topic in (topics.SAMPLE, topics.LABEL):
        broken = record(topic, "x", simple("x"))
        assert queue.apply(type(broken)(topic, 0, 0, 0, b"x", b"\xff{", ())) == ()
    assert given(queue, ADA) == "a"


def test_gold_questions_look_like_others() -> None:
    """At their share, each once a reviewer, with spans that are not all right; nothing in the sample tells them from a random one."""
    truth = {
        f"g{number}": make_label(
            make_sample(f"g{number}", TEXT),
            "site",
            span(TEXT, "chest pain", "finding", negated=True),
            span(TEXT, "aspirin", "medication"),
        )
        for number in range(10)
    }
    queue = queue_of(*(simple(f"s{n}", 0.0, reason="random") for n in range(60)), gold=truth, gold_share=0.3)
    seen, correct = [], 0
    for _ in range(40):
        sample = queue.next(ADA, "2026-03-09")
        assert sample is not None
        if sample.id in truth:
            seen.append(sample.id)
            marks = {(m.start, m.end, m.type, m.assertion) for m in sample.mentions}
            correct += marks == {(s.start, s.end, s.type, s.assertion) for s in truth[sample.id].spans}
            assert (sample.reason, sample.why, sample.versions.entity_model) == ("random", (), "entities 1.0")
        reviewed(queue, ADA, sample.id)
    assert len(seen) == len(set(seen))
    assert 5 <= len(seen) <= 10
    assert correct < len(seen)
    assert len(queue.labels()) == 40 - len(seen)
    assert {sample.id for sample in queue.export(10)} & set(truth)


def test_who_is_put_aside_has_reviewed_nothing() -> None:
    """A reviewer who fails the gold questions: what they labelled is asked of others again."""
    wrong = {f"g{n}": make_label(make_sample(f"g{n}", TEXT), "site", span(TEXT, "aspirin", "medication")) for n in range(5)}
    queue = queue_of(simple("a"), gold=wrong, gold_fewest=5)
    reviewed(queue, EVE, "a")
    assert given(queue, BEN) is None
    for name in wrong:
        reviewed(queue, EVE, name)
    assert queue.trusted().standings[EVE.pseudonym].reason == "gold"
    assert given(queue, BEN) == "a"


def test_disputes_are_named_until_somebody_settles_them() -> None:
    """Two that differ; equal ones are none; an adjudicated label ends it."""
    queue = queue_of(simple("a"), simple("b"), double_share=1.0)
    for name in ("a", "b"):
        reviewed(queue, ADA, name)
        reviewed(queue, BEN, name, "aspirin" if name == "a" else "chest pain")
    assert queue.disputed() == ["a"]
    assert [label.reviewer for label in queue.verdicts("a")] == [ADA.pseudonym, BEN.pseudonym]
    label = make_label(simple("a"), ADJUDICATED + EVE.pseudonym, span(TEXT, "aspirin", "finding"))
    queue.apply(record(topics.LABEL, label.id, label))
    assert queue.disputed() == []
    assert queue.open_samples() == []
    assert len(queue.verdicts("a")) == 2


def test_accounts_by_token(tmp_path: Path) -> None:
    """The file keeps digests; a stranger's token is nobody's; a broken line is refused; pseudonyms need the key."""
    file, key = tmp_path / "reviewers", tmp_path / "key"
    key.write_text(KEY)
    file.write_text("# who reviews\n" + row("ada", "adjudicator", "secret"))
    assert "secret" not in file.read_text()
    found = Accounts.load(file, Pseudonyms.load(key))
    account = found.find("secret")
    assert account == Account("ada", "adjudicator", ADA.pseudonym, digest("secret"))
    assert found.has(account)
    file.write_text(row("ada", "adjudicator", "changed"))
    assert not Accounts.load(file, Pseudonyms.load(key)).has(account)
    assert found.find("other") is None
    assert Pseudonyms(b"o" * 48).of("ada") != ADA.pseudonym
    file.write_text("ada:boss:00")
    with pytest.raises(ConfigurationError):
        Accounts.load(file, PSEUDONYMS)
    key.write_text("short")
    with pytest.raises(ConfigurationError):
        Pseudonyms.load(key)


def test_metrics_say_how_review_stands_and_of_nobody() -> None:
    """Open samples by why they were proposed, labels that teach and that do not; what is over goes; no name, no pseudonym."""
    queue = queue_of(simple("a"), simple("b", reason="random"), simple("c"), double_share=1)
    metrics = Metrics()
    metrics.show(queue)

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"wardstream_review_{name}", labels)

    assert (value("samples_open", reason="uncertain"), value("samples_open", reason="random")) == (2, 1)
    reviewed(queue, ADA, "a")
    reviewed(queue, BEN, "a", "aspirin")
    metrics.show(queue)
    assert (value("samples_open", reason="uncertain"), value("disputed")) == (1, 1)
    assert (value("labels_kept"), value("labels_aside", reason="disputed")) == (0, 2)
    queue.apply(record(topics.SAMPLE, "a", None))
    metrics.show(queue)
    assert (value("disputed"), value("labels_aside", reason="disputed")) == (0, None)
    assert ADA.pseudonym.encode() not in generate_latest(metrics.registry)
