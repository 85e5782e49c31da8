"""Records of the version before are read by every stage, records of a version that nobody here knows are dead letters with a code.

``tests/golden/previous`` holds findings and decisions as the program of 2026-11-27 00:26 wrote them (before expansions, relatives, periods, clearing
ranges and triage), and the schemas that it published.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from agents import second_check
from agents.decide.agent import DecideStage
from agents.feedback.watch_agent import WatchStage
from agents.publish.agent import PublishStage
from agents.publish.release import Releaser
from agents.vault.vault import memory_vault
from schemas.envelope import JSON, DataClass, Envelope
from schemas.errors import Reason
from schemas.jsonschema.generate import render
from streams import topics
from streams.record import Record
from streams.settings import Kafka, Publish, Redis, Settings
from streams.stage import Done, Outcome, Refused

PREVIOUS = Path(__file__).resolve().parents[1] / "golden" / "previous"
#: Stage, what it reads, and the file that holds the older records.
READERS = [
    ("decide", topics.EXTRACTED, "findings"),
    ("publish", topics.RAISED, "decisions"),
    ("feedback", topics.RAISED, "decisions"),
    ("watch", topics.RAISED, "decisions"),
]


class Opened(Protocol):
    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]: ...


@pytest.fixture
async def stages(redis_server: str) -> AsyncIterator[dict[str, Opened]]:
    """The stages that read our JSON records, pseudonymous results only."""
    settings = Settings(
        redis=Redis(url=redis_server), kafka=Kafka(topic_prefix=f"{uuid.uuid4()}."), publish=Publish(reidentify=False)
    )
    found = {
        "decide": DecideStage(settings),
        "publish": PublishStage(settings, Releaser(settings, memory_vault(seed=1))),
        "feedback": second_check.build(settings),
        "watch": WatchStage(settings),
    }
    for stage in found.values():
        await stage.open()  # type: ignore[attr-defined]
    yield found  # type: ignore[misc]
    for stage in found.values():
        await stage.close()  # type: ignore[attr-defined]


def older(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (PREVIOUS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def record(topic: str, value: dict[str, Any]) -> Record:
    findings = value.get("findings", value)
    envelope = Envelope(
        id=value["id"],
        source="/agents/before",
        type=topics.BY_NAME[topic].event_type,
        time=findings["time"],
        content_type=JSON,
        data_class=DataClass.INTERNAL,
        origin=findings["origin"],
        subject=findings["subject"],
    )
    return Record(topic, 0, 0, 0, findings["subject"].encode(), json.dumps(value).encode(), envelope.headers())


@pytest.mark.parametrize(("stage", "topic", "name"), READERS)
async def test_records_of_the_version_before_are_processed(stages: dict[str, Opened], stage: str, topic: str, name: str) -> None:
    """Every one, in the middle of a batch of today's as of a rolling upgrade; flags of the older decision stand in the result."""
    rows = older(name)
    outcomes = await stages[stage].process([record(topic, row) for row in rows])
    assert [type(outcome) for outcome in outcomes] == [Done] * len(rows)
    if stage == "publish":
        for row, outcome in zip(rows, outcomes, strict=True):
            assert isinstance(outcome, Done)
            bundle = json.loads(outcome.outputs[0].value or b"")
            issues = [
                entry for entry in bundle["entry"] if entry["resource"]["resourceType"] in ("DetectedIssue", "RiskAssessment")
            ]
            assert len(issues) == len(row.get("flags", []))
        assert any(row.get("flags") for row in rows)


@pytest.mark.parametrize(("stage", "topic", "name"), READERS)
async def test_a_field_that_only_a_later_version_knows_is_passed_over(
    stages: dict[str, Opened], stage: str, topic: str, name: str
) -> None:
    """Workers of the version before go on while others write new fields already."""
    row = older(name)[0] | {"of_a_later_version": {"deep": [1]}}
    (outcome,) = await stages[stage].process([record(topic, row)])
    assert isinstance(outcome, Done)


@pytest.mark.parametrize(("stage", "topic", "name"), READERS)
@pytest.mark.parametrize("how", ["word", "shape", "missing"])
async def test_a_version_that_is_not_known_is_a_dead_letter(
    stages: dict[str, Opened], stage: str, topic: str, name: str, how: str
) -> None:
    """A word that is none of ours, another type, a field that must be there: ``schema_mismatch``, and the good record beside it passes."""
    good, bad = older(name)[0], older(name)[1]
    findings = bad.get("findings", bad)
    if how == "word":
        findings["format"] = "hl7v3"
    elif how == "shape":
        findings["facts"] = {"a": 1}
    else:
        del findings["kind"]
    outcomes = await stages[stage].process([record(topic, good), record(topic, bad)])
    assert isinstance(outcomes[0], Done)
    assert isinstance(outcomes[1], Refused)
    assert outcomes[1].error.reason is Reason.SCHEMA_MISMATCH


def _objects(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, one in {**schema.get("$defs", {}), "": schema}.items():
        if one.get("type") == "object" or "properties" in one:
            yield name, one


@pytest.mark.parametrize("name", sorted(path.name for path in (PREVIOUS / "jsonschema").glob("*.json")))
def test_a_published_schema_only_grows(name: str) -> None:
    """No field has gone, none that may be missing before is demanded now or the other way round, and no word has gone from a closed list."""
    before = json.loads((PREVIOUS / "jsonschema" / name).read_text(encoding="utf-8"))
    now = dict(_objects(json.loads(render()[name])))
    for place, one in _objects(before):
        today = now[place]
        assert set(one.get("properties", {})) <= set(today["properties"]), place
        assert set(one.get("required", ())) == set(today.get("required", ())), place
        for field, kind in one.get("properties", {}).items():
            assert set(kind.get("enum", ())) <= set(today["properties"][field].get("enum", ())), f"{place}.{field}"
