"""Notifications to subscribers over real sockets and a real Redis: after the Backport guide, in order, none twice, nobody held by another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from agents.publish.bundle import render
from agents.publish.check import Checker
from agents.publish.notification import TOPIC, news, notification
from agents.publish.notify_agent import NotifyStage
from agents.publish.outbox import Outbox
from agents.publish.subject import pseudonymous
from agents.publish.subscriptions import Subscription, headers, load
from schemas.audit import AuditEntry
from schemas.envelope import FHIR_JSON, HL7_V2, DataClass, Envelope
from schemas.errors import ConfigurationError, MalformedMessage, PrivacyViolation
from schemas.fhir.validate import validate
from streams import settings as config
from streams import topics
from streams.embedded import free_port
from streams.record import Record
from streams.settings import Settings
from streams.stage import Done, Refused
from streams.store import connect
from tests.contract.test_publish_deliver_fhir import BUNDLES as RELEASED
from tests.contract.test_publish_deliver_fhir import record as released
from tests.support.decide import TOKEN
from tests.support.publish import clinical_message, decided
from tests.support.subscriber import Subscriber

PEOPLE = ("Testperson", "Quill", "4711", "1961")


def deid_bundle(number: int) -> bytes:
    decision = decided(clinical_message(number))
    return render(decision, pseudonymous(decision.findings, "default"), checker=Checker())


BUNDLES = [deid_bundle(number) for number in range(1, 4)]
FLAGS = sum(row["resource"]["resourceType"] in ("DetectedIssue", "RiskAssessment") for row in json.loads(BUNDLES[0])["entry"])


def record(number: int, value: bytes | None, content_type: str = FHIR_JSON) -> Record:
    own = Envelope(
        id=f"bundle-{number}",
        source="/agents/publish",
        type=topics.BY_NAME[topics.BUNDLE].event_type,
        time="2026-03-02T10:15:00Z",
        content_type=content_type,
        data_class=DataClass.INTERNAL,
        origin=f"origin-{number}",
        subject=TOKEN,
    ).headers()
    return Record(topics.BUNDLE, 0, number, 0, TOKEN.encode(), value, own)


RECORDS = [record(number, value) for number, value in enumerate(BUNDLES)]


async def quick(seconds: float) -> None:
    """The waits of the notifier, forty times as fast."""
    await asyncio.sleep(seconds / 40)


async def opened(
    url: str, folder: Path, *rows: dict[str, Any], results: Any = "deid", kept: int = 100, timeout_s: float = 5
) -> NotifyStage:
    path = folder / "subscriptions.yaml"
    whole = [{"results": results} | row for row in rows]
    path.write_text(yaml.safe_dump({"api_version": "subscriptions/v1", "subscriptions": whole}))
    settings = Settings(
        redis=config.Redis(url=url),
        kafka=config.Kafka(topic_prefix=f"{folder.name}."),
        subscriptions=config.Subscriptions(file=path, timeout_s=timeout_s, kept=kept),
    )
    stage = NotifyStage(settings, results=results, sleep=quick)
    await stage.open()
    return stage


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.02)


def status(bundle: dict[str, Any]) -> dict[str, Any]:
    """The status parameters by name; events as a list of their parts."""
    rows = bundle["entry"][0]["resource"]["parameter"]
    found = {row["name"]: next(row[key] for key in row if key.startswith("value")) for row in rows if "part" not in row}
    events = [
        {part["name"]: next(part[key] for key in part if key.startswith("value")) for part in row["part"]}
        for row in rows
        if "part" in row
    ]
    return found | {"events": events}


def numbers(bundles: list[dict[str, Any]]) -> list[int]:
    return [int(event["event-number"]) for bundle in bundles for event in status(bundle)["events"]]


def kinds(subscriber: Subscriber) -> list[str]:
    return [status(bundle)["type"] for bundle in subscriber.received]


def told(subscriber: Subscriber) -> list[dict[str, Any]]:
    return [bundle for bundle in subscriber.received if status(bundle)["type"] == "event-notification"]


async def test_handshake_then_events_by_id_only(redis_server: str, tmp_path: Path) -> None:
    """The first is a handshake of a requested subscription, then one notification a message; each is a valid R4 history without content."""
    async with Subscriber() as one:
        stage = await opened(
            redis_server, tmp_path, {"name": "a", "endpoint": one.endpoint, "server": "https://ehr.example/fhir"}
        )
        await until(lambda: len(one.received) == 1)
        assert await stage.process(RECORDS) == [Done(), Done(), Done()]
        await until(lambda: len(one.received) == 4)
        await stage.close()
    assert kinds(one) == ["handshake", *["event-notification"] * 3]
    first = status(one.received[0])
    assert (first["status"], first["events-since-subscription-start"], first["events"]) == ("requested", "0", [])
    assert first["subscription"] == {"reference": "Subscription/a"}
    assert numbers(one.received) == list(range(1, 3 * FLAGS + 1))
    for index, bundle in enumerate(one.received):
        validate(bundle)
        assert (bundle["type"], len(bundle["entry"])) == ("history", 1)
        assert bundle["entry"][0]["request"] == {"method": "GET", "url": "Subscription/a/$status"}
        assert bundle["entry"][0]["response"]["status"] == "200"
        assert one.headers[index]["content-type"] == "application/fhir+json"
    last = status(one.received[-1])
    assert (last["status"], last["topic"], last["events-since-subscription-start"]) == ("active", TOPIC, str(3 * FLAGS))
    wanted = {
        row["resource"]["identifier"][0]["value"]
        for row in json.loads(BUNDLES[2])["entry"]
        if row["resource"]["resourceType"] in ("DetectedIssue", "RiskAssessment")
    }
    assert {event["focus"]["identifier"]["value"] for event in last["events"]} == wanted
    for event in last["events"]:
        assert event["timestamp"] == "2026-03-02T10:15:00Z"
        assert event["focus"]["reference"].startswith("https://ehr.example/fhir/DetectedIssue?identifier=urn:x-nlp%7C")


async def test_empty_names_nothing_and_full_resource_brings_everything(redis_server: str, tmp_path: Path) -> None:
    """Neither topic nor focus in the first; in the second every resource of the Bundle, to which the focus points."""
    async with Subscriber() as bare, Subscriber() as whole:
        rows = [{"name": "bare", "endpoint": bare.endpoint, "content": "empty"}]
        rows.append({"name": "whole", "endpoint": whole.endpoint, "content": "full-resource"})
        stage = await opened(redis_server, tmp_path, *rows)
        await stage.process(RECORDS[:1])
        await until(lambda: len(told(bare)) == len(told(whole)) == 1)
        await stage.close()
    (small,), (large,) = told(bare), told(whole)
    validate(small)
    validate(large)
    assert "topic" not in status(small)
    assert status(small)["events"] == [{"event-number": str(n), "timestamp": "2026-03-02T10:15:00Z"} for n in range(1, FLAGS + 1)]
    assert len(small["entry"]) == 1
    sent = json.loads(BUNDLES[0])["entry"]
    assert [(row["fullUrl"], row["resource"]) for row in large["entry"][1:]] == [
        (row["fullUrl"], row["resource"]) for row in sent
    ]
    places = {row["fullUrl"] for row in large["entry"]}
    assert all(event["focus"]["reference"] in places for event in status(large)["events"])


async def test_released_results_are_told_without_the_person_and_audited(redis_server: str, tmp_path: Path) -> None:
    """By identifier alone: no name, number or date of the patient; one audit entry a subscriber."""
    async with Subscriber() as one:
        stage = await opened(redis_server, tmp_path, {"name": "a", "endpoint": one.endpoint}, results="released")
        (outcome, passed) = await stage.process([released(1, RELEASED[0]), released(2, b"MSH|", HL7_V2)])
        await until(lambda: len(told(one)) == 1)
        await stage.close()
    assert "Testperson" in RELEASED[0].decode()
    assert not any(word in json.dumps(one.received) for word in PEOPLE)
    assert "reference" not in status(told(one)[0])["events"][0]["focus"]
    assert passed == Done()
    assert isinstance(outcome, Done)
    entry = msgspec.json.decode(outcome.outputs[0].value or b"", type=AuditEntry)
    assert (entry.action, entry.subject, entry.record, entry.recipient) == ("deliver", TOKEN, "result-1", "Subscription/a")


async def test_a_record_that_comes_again_is_told_once_and_numbers_go_on(redis_server: str, tmp_path: Path) -> None:
    """Also to a new process, which asks for no second handshake."""
    async with Subscriber() as one:
        for batch in (RECORDS[:2], RECORDS):
            stage = await opened(redis_server, tmp_path, {"name": "a", "endpoint": one.endpoint})
            await stage.process(batch)
            await stage.process(batch)
            await until(lambda: len(told(one)) == len(batch))  # noqa: B023
            await stage.close()
    assert kinds(one) == ["handshake", *["event-notification"] * 3]
    assert numbers(one.received) == list(range(1, 3 * FLAGS + 1))


async def test_a_subscriber_that_is_down_holds_no_other_and_gets_everything_later(redis_server: str, tmp_path: Path) -> None:
    """The one that is up hears at once; the other from its handshake on, in order, when its port opens."""
    port = free_port()
    async with Subscriber() as up:
        rows = [{"name": "down", "endpoint": f"http://127.0.0.1:{port}/hook"}, {"name": "up", "endpoint": up.endpoint}]
        stage = await opened(redis_server, tmp_path, *rows)
        assert await stage.process(RECORDS) == [Done(), Done(), Done()]
        await until(lambda: len(told(up)) == 3)
        async with Subscriber(port=port) as late:
            await until(lambda: len(told(late)) == 3)
            await stage.close()
    assert kinds(late) == ["handshake", *["event-notification"] * 3]
    assert numbers(late.received) == numbers(up.received)


@pytest.mark.parametrize("answer", [302, 400, 404, 429, 500, 503])
async def test_what_is_not_accepted_is_sent_again_under_its_number(redis_server: str, tmp_path: Path, answer: int) -> None:
    """The same events until 2xx, as those of a subscription in error; after that it is active."""
    async with Subscriber(lambda n: answer if n in (1, 2) else 202) as one:
        stage = await opened(redis_server, tmp_path, {"name": "a", "endpoint": one.endpoint})
        await stage.process(RECORDS[:2])
        await until(lambda: len(one.received) == 5)
        await stage.close()
    _, first, second, third, after = one.received
    assert numbers([first]) == numbers([second]) == numbers([third]) == list(range(1, FLAGS + 1))
    assert [status(row)["status"] for row in (first, second, third, after)] == ["active", "error", "error", "active"]
    assert first["id"] == third["id"]
    assert numbers([after])[0] == FLAGS + 1


async def test_an_answer_that_does_not_end_is_none(redis_server: str, tmp_path: Path) -> None:
    """Bytes that trickle in hold the subscriber for the time-out, then the events come again."""
    async with Subscriber(lambda n: 0 if n == 1 else 200) as one:
        stage = await opened(redis_server, tmp_path, {"name": "a", "endpoint": one.endpoint}, timeout_s=0.3)
        await stage.process(RECORDS[:1])
        await until(lambda: len(one.received) == 3)
        await stage.close()
    assert numbers(one.received[1:2]) == numbers(one.received[2:3]) == list(range(1, FLAGS + 1))


async def test_without_a_handshake_nothing_is_told(redis_server: str, tmp_path: Path) -> None:
    """An endpoint that refuses it hears of no event; a new endpoint of the same name is asked again, and numbers go on."""
    async with Subscriber(lambda n: 403) as closed:
        stage = await opened(redis_server, tmp_path, {"name": "a", "endpoint": closed.endpoint})
        await stage.process(RECORDS[:1])
        await until(lambda: len(closed.received) >= 3)
        await stage.close()
    assert set(kinds(closed)) == {"handshake"}
    for index, count in ((1, 2), (2, 1)):
        async with Subscriber() as one:
            stage = await opened(redis_server, tmp_path, {"name": "a", "endpoint": one.endpoint})
            await stage.process(RECORDS[index : index + 1])
            await until(lambda: len(told(one)) == count)  # noqa: B023
            await stage.close()
        assert kinds(one)[0] == "handshake"
        first = 1 if index == 1 else 2 * FLAGS + 1
        assert numbers(one.received) == list(range(first, first + count * FLAGS))


async def test_heartbeats_in_silence(redis_server: str, tmp_path: Path) -> None:
    """They count no event."""
    async with Subscriber() as one:
        stage = await opened(redis_server, tmp_path, {"name": "a", "endpoint": one.endpoint, "heartbeat_s": 0.2})
        await stage.process(RECORDS[:1])
        await until(lambda: kinds(one).count("heartbeat") >= 2)
        await stage.close()
    beat = status(one.received[-1])
    validate(one.received[-1])
    assert (beat["type"], beat["status"], beat["events-since-subscription-start"], beat["events"]) == (
        "heartbeat",
        "active",
        str(FLAGS),
        [],
    )


async def test_two_workers_tell_each_event_once_in_order(redis_server: str, tmp_path: Path) -> None:
    """One holds the subscriber; the other goes on when it has gone."""
    async with Subscriber() as one:
        row = {"name": "a", "endpoint": one.endpoint}
        first, second = [await opened(redis_server, tmp_path, row) for _ in range(2)]
        await first.process(RECORDS[:1])
        await second.process(RECORDS[1:])
        await until(lambda: len(told(one)) == 3)
        await asyncio.gather(first.close(), second.close())
    assert kinds(one) == ["handshake", *["event-notification"] * 3]
    assert numbers(one.received) == list(range(1, 3 * FLAGS + 1))


async def test_what_waits_too_long_is_given_up_with_a_gap_in_the_numbers(redis_server: str, tmp_path: Path) -> None:
    """The oldest go first; the subscriber sees from the number which it missed."""
    port = free_port()
    stage = await opened(redis_server, tmp_path, {"name": "a", "endpoint": f"http://127.0.0.1:{port}/hook"}, kept=2)
    await stage.process(RECORDS)
    async with Subscriber(port=port) as one:
        await until(lambda: len(told(one)) == 2)
        await stage.close()
    assert numbers(one.received) == list(range(FLAGS + 1, 3 * FLAGS + 1))


async def test_headers_of_the_site_go_with_every_request(redis_server: str, tmp_path: Path) -> None:
    """From a file, so that a token stands in no settings."""
    (tmp_path / "header").write_text("Authorization: Bearer abc\nX-Site: north\n")
    async with Subscriber() as one:
        row = {"name": "a", "endpoint": one.endpoint, "header_file": str(tmp_path / "header")}
        stage = await opened(redis_server, tmp_path, row)
        await until(lambda: len(one.received) == 1)
        await stage.close()
    assert (one.headers[0]["authorization"], one.headers[0]["x-site"]) == ("Bearer abc", "north")


async def test_a_message_without_wanted_resources_is_no_event(redis_server: str, tmp_path: Path) -> None:
    """Types are the subscriber's choice; a patient has no identifier of ours and is never a focus."""
    async with Subscriber() as one:
        stage = await opened(redis_server, tmp_path, {"name": "a", "endpoint": one.endpoint, "resources": ["Patient", "Claim"]})
        assert await stage.process(RECORDS) == [Done(), Done(), Done()]
        store = connect(config.Redis(url=redis_server))
        box = Outbox(store, load(tmp_path / "subscriptions.yaml")[0], stage="notify", kept=1, prefix=f"{tmp_path.name}.")
        assert (await box.first(), (await box.state()).events) == (None, 0)
        await store.aclose()
        await stage.close()


async def test_what_is_no_bundle_is_refused_and_another_class_halts(redis_server: str, tmp_path: Path) -> None:
    """A coded dead letter; a released result is nothing for the stage of the de-identified."""
    stage = await opened(redis_server, tmp_path, {"name": "a", "endpoint": "http://127.0.0.1:1/hook"})
    empty, wrong = await stage.process([record(1, None), record(2, b'{"resourceType":"Bundle","type":"batch"}')])
    assert isinstance(empty, Refused)
    assert isinstance(wrong, Refused)
    assert isinstance(wrong.error, MalformedMessage)
    with pytest.raises(PrivacyViolation):
        await stage.process([released(1, RELEASED[0])])
    await stage.close()


@pytest.mark.parametrize(
    "row",
    [
        {"endpoint": "http://board.example/hook"},
        {"endpoint": "https://u:p@board.example"},
        {"name": "a b"},
        {"name": "a\n"},
        {"content": "everything"},
        {"results": "both"},
        {"results": "released", "content": "full-resource"},
        {"heartbeat_s": 0},
        {"server": "http://ehr.example/fhir"},
        {"unknown": 1},
    ],
)
def test_subscriptions_that_are_refused(tmp_path: Path, row: dict[str, Any]) -> None:
    """At the start, without the address in the error."""
    path = tmp_path / "s.yaml"
    whole = {"name": "a", "endpoint": "https://board.example/hook", "results": "deid"} | row
    path.write_text(yaml.safe_dump({"api_version": "subscriptions/v1", "subscriptions": [whole]}))
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert "board.example" not in str(caught.value)


def test_the_shipped_example_is_read() -> None:
    """One subscriber of each stage."""
    rows = load(Path(__file__).resolve().parents[2] / "deploy" / "subscriptions.yaml")
    assert {row.results for row in rows} == {"deid", "released"}


async def test_a_file_that_is_missing_or_has_nobody_for_the_stage(redis_server: str, tmp_path: Path) -> None:
    """The stage refuses to start and names the setting."""
    with pytest.raises(ConfigurationError):
        await NotifyStage(Settings()).open()
    with pytest.raises(ConfigurationError):
        load(tmp_path / "none.yaml")
    row = {"name": "a", "endpoint": "https://board.example/hook"}
    twice = {"api_version": "subscriptions/v1", "subscriptions": [row | {"results": "deid"}] * 2}
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(twice))
    with pytest.raises(ConfigurationError):
        load(tmp_path / "two.yaml")
    with pytest.raises(ConfigurationError):
        await opened(redis_server, tmp_path, row | {"results": "released"})


@pytest.mark.parametrize("text", ["no colon", "Host: other", "Content-Type: text/plain", "A: b\nB", "A: \x07"])
def test_header_lines_that_are_refused(tmp_path: Path, text: str) -> None:
    """Broken ones and those that are ours; the line is not told."""
    (tmp_path / "header").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        headers(str(tmp_path / "header"), "a")
    assert text not in str(caught.value)


def test_numbers_of_whole_resources_stay_as_they_are_written() -> None:
    """A trailing zero is precision."""
    whole = b'{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"urn:uuid:1","resource":'
    whole += b'{"resourceType":"Observation","id":"1","identifier":[{"system":"urn:x-nlp","value":"v"}],"valueQuantity":{"value":4.10}}}]}'
    one = Subscription(
        name="a", endpoint="https://a.example", results="deid", content="full-resource", resources=("Observation",)
    )
    found = news(one, "2026-03-02T10:15:00Z", whole)
    assert found is not None
    body = notification(one, "event-notification", "active", events=1, now="2026-03-02T10:15:00Z", told=found)
    assert b'"value":4.10}' in body
