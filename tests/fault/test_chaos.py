"""The fault schedule at reduced size on real Kafka and Redis, its negative control included; the checker, on logs made by hand."""

from __future__ import annotations

import json
import re

import pytest
from msgspec.structs import replace

from benchmarks.chaos import __main__ as chaos
from benchmarks.chaos.checker import judge
from benchmarks.chaos.corrections import stale
from benchmarks.chaos.plan import Must, events, load
from benchmarks.chaos.plan import Test as Fault
from benchmarks.chaos.sender import Sender
from benchmarks.chaos.site import ROLLED_BACK, STAGES, UPGRADED, missing
from streams import topics
from streams.record import Record


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("real_kafka")
@pytest.mark.parametrize("test", [test for test in load() if "small" in test.messages], ids=lambda test: test.id)
def test_what_must_hold_holds(test: Fault) -> None:
    """Nothing lost, no effect doubled or changed, order kept; the controls lose messages and double effects."""
    if (lack := missing(test)) is not None:
        pytest.skip(lack)
    row = chaos.run(test, "small")
    assert row["holds"], json.dumps(row)


def test_repeated_late_and_poisoned_messages_are_as_many_as_the_schedule_says() -> None:
    """Of a thousand: one in five again behind its first sending, byte for byte; one in five with a year that is not this one; one in a hundred poisoned."""
    made = replace(load()[0], repeats=0.2, late=0.2, poison=0.01)
    rows = chaos.payloads(made, 1000)
    assert len(rows) == 1200
    assert len(set(rows)) == 1000
    assert sum(b"|2016" in row or b"|2036" in row for row in set(rows)) == 200
    assert sum(b"\xef\xb7\x90" in row for row in set(rows)) == 10
    again = [number for number, row in enumerate(rows) if rows.index(row) < number]
    assert len(again) == 200


def test_corrections_come_before_and_after_what_they_correct() -> None:
    """Each under a number of its own; the older one is the last to come for one in three by its place, and for one in three once more."""
    rows = chaos.payloads(replace(load()[0], corrections=0.2, repeats=0.1), 600)
    assert len(rows) - len(set(rows)) == 60, "one in ten byte for byte"
    last: dict[str, list[str]] = {}
    for row in rows:
        if mark := re.search(rb"LN\|\|4\.([05])(\d{5})\|", row):
            last.setdefault(mark[2].decode(), []).append(mark[1].decode())
    assert len(last) > 90
    late = sum(marks[-1] == "0" for marks in last.values())
    assert 0.5 < late / len(last) < 0.85


def published(value: str, version: int | None) -> Record:
    extension = (
        []
        if version is None
        else [{"url": "https://wardstream.org/fhir/StructureDefinition/fact-version", "valueDecimal": version}]
    )
    resource = {
        "resourceType": "Observation",
        "identifier": [{"value": "fact"}],
        "valueQuantity": {"value": float(value)},
        "extension": extension,
    }
    return record(topics.BUNDLE, 0, "a", value=json.dumps({"entry": [{"resource": resource}]}).encode())


@pytest.mark.parametrize(
    ("came", "found"),
    [
        ([("4.000007", 1), ("4.500007", 2)], 0),
        ([("4.500007", 2), ("4.000007", 1)], 0),
        ([("4.500007", None), ("4.000007", None)], 2),
        ([("4.000007", 1)], 2),
    ],
)
def test_the_checker_sees_what_is_outdated(came: list[tuple[str, int | None]], found: int) -> None:
    """A result that stands although it was corrected counts, and so does a correction that does not stand."""
    sent = b"\rOBX|2|NM|2823-3^Potassium^LN||4.500007|mmol/L"
    assert stale([published(*row) for row in came], [sent]) == found


@pytest.mark.parametrize(
    ("must", "row", "holds"),
    [
        (Must(lost="some"), {"lost": 1}, True),
        (Must(lost="some"), {}, False),
        (Must(doubled="some"), {"doubled": 1}, True),
        (Must(doubled="some"), {}, False),
        (Must(), {}, True),
        (Must(), {"lost": 1}, False),
        (Must(), {"doubled": 1}, False),
        (Must(), {"changed": 1}, False),
        (Must(changed="any"), {"changed": 1}, True),
        (Must(), {"order": 1}, False),
        (Must(), {"dead": 1}, False),
        (Must(dead="any"), {"dead": 1}, True),
        (Must(dead="any"), {"dead": 1, "lost": 1}, False),
        (Must(growth=1.5), {"growth": 1.6}, False),
        (Must(dead="some"), {"dead": 1}, True),
        (Must(dead="some"), {}, False),
        (Must(stale="some"), {"stale": 1}, True),
        (Must(stale="some"), {}, False),
        (Must(), {"stale": 1}, False),
        (Must(redelivered="none"), {"raw_doubles": 1}, False),
        (Must(), {"raw_doubles": 1}, True),
    ],
)
def test_the_verdict(must: Must, row: dict[str, float], holds: bool) -> None:
    """One thing wrong at a time; of a control it must be wrong."""
    clean = {
        "lost": 0,
        "doubled": 0,
        "changed": 0,
        "order": 0,
        "stale": 0,
        "raw_doubles": 0,
        "dead": 0,
        "sent": 100,
        "growth": 1.0,
    }
    sender = Sender("127.0.0.1", 1, [], patience_s=1)
    assert chaos.verdict(replace(load()[0], must=must), clean | row, sender, []) is holds


def record(
    topic: str, offset: int, origin: str, *, identity: str = "", value: bytes = b"x", key: bytes = b"p", time: bytes = b"t"
) -> Record:
    headers = (("ce_id", (identity or f"{topic}-{origin}").encode()), ("ce_origin", origin.encode()), ("ce_time", time))
    return Record(topic, 0, offset, offset, key, value, headers)


def log(*origins: str) -> list[Record]:
    """A whole way for each origin, in this order."""
    way = (topics.RECEIVED, topics.READY, topics.EXTRACTED, topics.RAISED, topics.BUNDLE)
    return [record(topic, number, origin) for topic in way for number, origin in enumerate(origins)]


def test_a_clean_log_is_clean() -> None:
    """Two messages, one result each."""
    found = judge(log("a", "b"), 2)
    assert (found.published, found.lost, found.doubled, found.raw_doubles, found.changed, found.order) == (2, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("more", "without", "field"),
    [
        ([], record(topics.BUNDLE, 1, "b"), "lost"),
        ([record(topics.RAISED, 9, "b", identity="other")], None, "doubled"),
        ([record(topics.BUNDLE, 9, "b")], None, "raw_doubles"),
        ([record(topics.BUNDLE, 9, "b", value=b"y")], None, "changed"),
    ],
)
def test_the_checker_sees(more: list[Record], without: Record | None, field: str) -> None:
    """One thing wrong at a time."""
    rows = [row for row in log("a", "b") if without is None or (row.topic, row.offset) != (without.topic, without.offset)]
    found = judge([*rows, *more], 2)
    assert getattr(found, field) == 1


def test_a_message_received_twice_has_two_times_of_receipt() -> None:
    """Its results are under one id and differ in that: redelivered, not changed."""
    found = judge([*log("a", "b"), record(topics.BUNDLE, 9, "b", value=b"y", time=b"u")], 2)
    assert (found.raw_doubles, found.doubled, found.changed) == (1, 0, 0)


def test_the_checker_sees_results_out_of_order() -> None:
    """The second message's result before the first one's."""
    rows = [row for row in log("a", "b") if row.topic != topics.BUNDLE]
    assert judge([*rows, record(topics.BUNDLE, 0, "b"), record(topics.BUNDLE, 1, "a")], 2).order == 1


def test_a_dead_letter_is_an_end() -> None:
    """Nothing is lost that stands there."""
    rows = [row for row in log("a", "b") if (row.topic, row.offset) != (topics.BUNDLE, 1)]
    found = judge([*rows, record(topics.dead_letter(topics.RAISED), 0, "b")], 2)
    assert (found.lost, found.dead, found.published) == (0, 1, 1)


def test_an_upgrade_goes_from_readers_to_writers() -> None:
    """As the runbook has it, one worker of each stage and then the other; the way back begins at the door."""
    rows = events(
        next(test for test in load() if test.id == "R18"), "small", STAGES, {"upgrade": UPGRADED, "downgrade": ROLLED_BACK}
    )
    assert [row.stage for row in rows if row.do == "upgrade"][:6] == [
        "publish",
        "decide",
        "extract",
        "deidentify",
        "gateway",
        "publish",
    ]
    assert [row.stage for row in rows if row.do == "downgrade"][:2] == ["gateway", "deidentify"]


def test_the_schedule_says_what_happens_when() -> None:
    """Stages in turn, spread over the run; full size is as large as promised."""
    tests = {test.id: test for test in load()}
    rows = events(tests["R1"], "small", ("a", "b"))
    assert [(row.after, row.stage) for row in rows] == [(60, "a"), (180, "b"), (300, "a"), (420, "b"), (540, "a")]
    assert tests["R1"].messages["full"] == 100_000
    assert len(events(tests["R1"], "full", ("a",))) == 30
