"""Dead letters and traces through the commands, on both brokers: listed by codes, put back with the same ids, put aside, looked into; audited."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from agents.deidentify.agent import _envelope
from ops.cli import cli
from ops.operators import account
from ops.trace import steps
from schemas.envelope import HL7_V2, JSON, DataClass, Envelope
from schemas.errors import MalformedMessage, Poison, Reason, SchemaMismatch
from streams import admin, dead_letters, topics
from streams.key_encryption.file import master_key
from streams.record import Output, Record
from streams.sealing import open_seal
from streams.settings import Settings, load
from tests.support.streams_site import Site

SECRET = b"PID|1||100200300^^^NORTHGATE^MR||Quillfeather^Jonas"
NAMES = (topics.RECEIVED, topics.READY, topics.EXTRACTED, topics.AUDIT, topics.HANDLED)


@pytest.fixture
def run(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line on this installation; this account has both roles."""
    key = tmp_path / "master.key"
    key.write_text(master_key())
    for name, value in {
        **site.environment(),
        "WARDSTREAM_SECRETS__MASTER_KEY_FILE": str(key),
        "WARDSTREAM_DEID__TENANT": uuid.uuid4().hex,
        **{f"WARDSTREAM_OPERATORS__{role}": json.dumps([account()]) for role in ("REDRIVE", "READ_LETTERS")},
    }.items():
        monkeypatch.setenv(name, value)
    kafka = site.settings.kafka
    admin.Admin(kafka).apply(admin.wanted(kafka, [topics.BY_NAME[name] for name in NAMES]))
    assert CliRunner().invoke(cli, ["keys", "init"]).exit_code == 0
    return lambda *arguments: CliRunner().invoke(cli, arguments)


def store(settings: Settings, *outputs: Output) -> None:
    log = Producer({"bootstrap.servers": settings.kafka.bootstrap})
    for output in outputs:
        log.produce(settings.kafka.topic_prefix + output.topic, output.value, key=output.key, headers=list(output.headers))
    assert log.flush(20) == 0


def raw(offset: int, value: bytes = b"MSH|" + SECRET) -> Record:
    """A record as an integration engine wrote it: no id of its own."""
    return Record(topics.RECEIVED, 1, offset, 1_767_323_045_000, b"k1", value, (("content-type", HL7_V2.encode()),))


def found(identifier: str) -> Record:
    """A findings record of ours."""
    headers = Envelope(id=identifier, source="/agents/extract", type="t", time="2026-01-02T03:04:05Z", content_type=JSON,
                       data_class=DataClass.INTERNAL, origin="m-1", subject="TOKEN0000000001").headers()  # fmt: skip
    return Record(topics.EXTRACTED, 0, 7, 5, b"TOKEN0000000001", b'{"broken"', headers)


def letters(run: Callable[..., Result], *options: str) -> list[dict[str, object]]:
    answer = run("dlq", "list", "--json", *options)
    assert answer.exit_code == 0, answer.output
    return [json.loads(line) for line in answer.stdout.splitlines()]


def audited(site: Site, at_least: int) -> list[tuple[str, str, str]]:
    rows = [json.loads(m.value() or b"") for m in site.read(topics.AUDIT, at_least=at_least)]
    return sorted((row["action"], row["outcome"], row.get("record", "")) for row in rows)


def refuse(record: Record, error: Poison, stage: str, attempts: int = 1) -> Output:
    return dead_letters.make(record, error, stage=stage, attempts=attempts)


def test_letters_are_listed_chosen_and_put_back(run: Callable[..., Result], site: Site) -> None:
    """By reason and stage; a dry run changes nothing; put back, a record has its key, value and headers, and is listed no more; refused again,
    its redrives are counted and its id is the one of the first time."""
    settings = load()
    store(
        settings,
        refuse(raw(41), MalformedMessage(Reason.MALFORMED_HL7, path="MSH-2"), "deidentify", 3),
        refuse(raw(42), MalformedMessage(Reason.TOO_LARGE), "deidentify"),
        refuse(found("f-1"), SchemaMismatch(path="value"), "decide"),
    )
    everything = letters(run)
    assert len(everything) == 3
    assert "Quillfeather" not in json.dumps(everything)
    (one,) = letters(run, "--reason", "malformed_hl7", "--stage", "deidentify")
    assert (one["path"], one["attempts"], one["from"], one["redrives"]) == ("MSH-2", 3, f"{topics.RECEIVED}/1/41", 0)
    assert letters(run, "--until", "2020-01-01T00:00:00Z") == []
    assert "malformed_hl7" in run("dlq", "list", "--counts").stdout

    dry = run("dlq", "redrive", "--reason", "malformed_hl7", "--dry-run")
    assert "1 letters to be redriven" in dry.stdout
    assert len(letters(run)) == 3
    done = run("dlq", "redrive", "--reason", "malformed_hl7", "--yes")
    assert (done.exit_code, "1 redriven" in done.stdout) == (0, True), done.output
    assert {row["reason"] for row in letters(run)} == {"too_large", "schema_mismatch"}
    assert len(letters(run, "--all")) == 3
    (back,) = site.read(topics.RECEIVED, at_least=1)
    assert (back.key(), back.value()) == (b"k1", b"MSH|" + SECRET)
    headers = dict(back.headers() or ())
    assert headers == {"content-type": HL7_V2.encode(), "x-redrives": b"1", "x-first-place": f"{topics.RECEIVED}/1/41".encode()}
    again = Record(
        topics.RECEIVED,
        back.partition() or 0,
        back.offset() or 0,
        back.timestamp()[1],
        back.key(),
        back.value(),
        tuple(headers.items()),
    )
    first, second = _envelope(raw(41)), _envelope(again)
    assert isinstance(first, Envelope)
    assert isinstance(second, Envelope)
    assert (first.id, first.time) == (second.id, second.time)
    store(settings, refuse(again, MalformedMessage(), "deidentify"))
    (newer,) = letters(run, "--reason", "malformed_hl7")
    assert newer["redrives"] == 1
    assert audited(site, 1) == [("redrive", "success", one["letter"])]


def test_a_letter_is_put_aside(run: Callable[..., Result], site: Site) -> None:
    """By its place; the log says who; nothing goes back."""
    store(load(), refuse(found("f-1"), SchemaMismatch(path="value"), "decide"), refuse(found("f-2"), SchemaMismatch(), "decide"))
    first, _ = letters(run)
    assert run("dlq", "discard", str(first["letter"]), "--yes").exit_code == 0
    assert len(letters(run)) == 1
    assert audited(site, 1) == [("discard", "success", first["letter"])]
    (row,) = site.read(topics.HANDLED, at_least=1)
    assert json.loads(row.value() or b"")["action"] == "discarded"


def test_what_stands_in_a_letter_is_told_to_the_role_alone(
    run: Callable[..., Result], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unsealed, after the audit; without the role nothing, and the attempt is recorded; the summary never holds it."""
    settings = load()

    async def sealed() -> bytes:
        door = await open_seal(settings, cache_s=0)
        try:
            return await door.seal(b"k1", HL7_V2, b"MSH|" + SECRET)
        finally:
            await door.close()

    store(settings, refuse(raw(41, asyncio.run(sealed())), MalformedMessage(), "deidentify"))
    (letter,) = letters(run)
    name = str(letter["letter"])
    assert "Quillfeather" not in run("dlq", "show", name).output
    assert run("dlq", "show", name, "--value").exit_code == 2
    told = run("dlq", "show", name, "--value", "--purpose", "HOPERAT")
    assert told.exit_code == 0, told.output
    assert told.stdout.encode() == b"MSH|" + SECRET
    for role in ("READ_LETTERS", "REDRIVE"):
        monkeypatch.setenv(f"WARDSTREAM_OPERATORS__{role}", "[]")
    refused = run("dlq", "show", name, "--value", "--purpose", "HOPERAT")
    assert refused.exit_code == 1
    assert "Quillfeather" not in refused.output
    assert run("dlq", "redrive", "--yes").exit_code == 1
    assert run("dlq", "discard", "--yes").exit_code == 1
    assert len(letters(run)) == 1
    assert [row[:2] for row in audited(site, 4)] == [
        ("discard", "failure"),
        ("read_letter", "failure"),
        ("read_letter", "success"),
        ("redrive", "failure"),
    ]


def test_a_letter_without_a_way_back_is_reported(run: Callable[..., Result]) -> None:
    """Exit 1; it stays in the list."""
    output = refuse(raw(41), MalformedMessage(), "deidentify")
    lost = tuple((name, b"elsewhere" if name == dead_letters.ORIGINAL_TOPIC else value) for name, value in output.headers)
    store(load(), Output(output.topic, output.key, output.value, lost))
    answer = run("dlq", "redrive", "--yes")
    assert (answer.exit_code, "1 cannot go back" in answer.output) == (1, True)
    assert len(letters(run)) == 1


def test_a_message_is_followed_through_its_topics(run: Callable[..., Result], site: Site) -> None:
    """By its own id, the id of a record, or a record's place; refused where it was refused; somebody else's records are not shown."""
    settings = load()
    here = found("f-1")
    store(
        settings,
        Output(topics.READY, b"t", b"x", Envelope(id="d-1", source="/agents/deidentify", type="t", time="2026-01-02T03:04:05Z", content_type=HL7_V2,
               data_class=DataClass.INTERNAL, origin="m-1", policy="safe_harbor@1").headers()),
        Output(topics.READY, b"t", b"x", Envelope(id="d-2", source="/agents/deidentify", type="t", time="2026-01-02T03:04:05Z", content_type=HL7_V2,
               data_class=DataClass.INTERNAL, origin="m-2").headers()),
        Output(here.topic, here.key, here.value, here.headers),
        refuse(here, SchemaMismatch(path="value"), "decide"),
    )  # fmt: skip
    for name in ("m-1", "d-1", "f-1"):
        answer = run("trace", name, "--json")
        assert answer.exit_code == 0, answer.output
        rows = [json.loads(line) for line in answer.stdout.splitlines()]
        assert [(row["topic"], row["outcome"]) for row in rows] == [
            (topics.READY, "stored"),
            (topics.EXTRACTED, "stored"),
            (topics.dead_letter(topics.EXTRACTED), "schema_mismatch"),
        ]
    assert rows[0]["policy"] == "safe_harbor@1"
    assert rows[0]["after_ms"] > 0
    assert "safe_harbor" in run("trace", "m-1").stdout
    assert run("trace", "nobody").exit_code == 1


def test_a_record_of_an_engine_and_its_letter_are_one_message() -> None:
    """Their id is made from where the record first lay."""
    record = raw(41)
    envelope = _envelope(record)
    assert isinstance(envelope, Envelope)
    output = refuse(record, MalformedMessage(), "deidentify")
    letter = Record(output.topic, 0, 3, 9, output.key, output.value, output.headers)
    back = dead_letters.put_back(letter)
    again = Record(back.topic, 2, 99, 10, back.key, back.value, back.headers)
    assert [step.topic for step in steps([letter, record, again], envelope.id)] == [
        topics.RECEIVED,
        topics.RECEIVED,
        output.topic,
    ]
