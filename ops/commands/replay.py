"""``wardstream replay``: a range of a topic again, beside the stream and compared with what was published, or in the stream itself."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from agents.pipeline import BY_STAGE
from ops.audited import Act, output_of, refused, replayed
from ops.loop.comparison import Report, compare, latest, proposals, summary
from ops.opening import opener
from ops.operators import account, has_role, named, no_role
from ops.options import instant
from ops.processes import Child, python, start, stop
from schemas.errors import BrokerUnavailable
from streams import admin, topics
from streams.embedded import free_port
from streams.producer import Producer
from streams.record import Output, Record
from streams.replay import REPLAY, STARTS, Selection, chosen, copied, copy_of, place, shadow
from streams.settings import Kafka, Settings, load
from streams.tail import tail

_TOPICS = {"received": topics.RECEIVED, "ready": topics.READY, "extracted": topics.EXTRACTED}
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_OFFSETS = re.compile(r"(\d+)=(\d+)\.\.(\d+)")
#: A shadow's workers have caught up when nothing was left to read so many times in a row.
_STILL, _LOOK_S = 3, 1.0


def _offsets(_ctx: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> dict[int, tuple[int, int]]:
    matches = [_OFFSETS.fullmatch(text) for text in texts]
    if not all(matches):
        raise click.BadParameter("PARTITION=FIRST..LAST")
    return {int(match[1]): (int(match[2]), int(match[3])) for match in matches if match}


def _named(_ctx: click.Context, _parameter: click.Parameter, text: str) -> str:
    if not _NAME.fullmatch(text):
        raise click.BadParameter("small letters, digits and hyphens, at most 32")
    return text


def _selected(function: Callable[..., None]) -> Callable[..., None]:
    """The options that choose records, as one ``selection``."""

    @functools.wraps(function)
    def call(topic: str, **values: Any) -> None:
        selection = Selection(
            _TOPICS[topic],
            since=values.pop("since"),
            until=values.pop("until"),
            offsets=values.pop("offsets"),
            tokens=frozenset(values.pop("token")),
            sources=frozenset(values.pop("source")),
            kinds=frozenset(values.pop("kind")),
            facilities=frozenset(values.pop("facility")),
            models=frozenset(values.pop("model")),
        )
        if topic == "received" and selection.tokens:
            raise click.UsageError("raw messages are keyed by a hash: choose them by time, offsets, source, facility or kind")
        if topic != "received" and selection.facilities:
            raise click.UsageError("past de-identification no message says its facility: choose from received")
        function(selection, **values)

    for option in reversed(
        (
            click.argument("topic", type=click.Choice(list(_TOPICS))),
            click.option("--since", callback=instant, help="Records of this ISO 8601 instant or later."),
            click.option("--until", callback=instant, help="Records before this instant."),
            click.option("--offsets", multiple=True, callback=_offsets, metavar="PARTITION=FIRST..LAST", help="These alone."),
            click.option("--token", multiple=True, help="Patient token (not from received)."),
            click.option("--source", multiple=True, help="ce_source; on received the door, /mllp or /fhir."),
            click.option(
                "--facility", multiple=True, help="Sending facility: component of MSH-4, or meta.source (received alone)."
            ),
            click.option("--kind", multiple=True, help="Message type, such as ORU^R01 or DiagnosticReport."),
            click.option("--model", multiple=True, help="Part of the record's model-version."),
        )
    ):
        call = option(call)
    return call


@click.group()
def command() -> None:
    """Process again under other versions: shadow first, compare, then publish what differs."""


@command.command()
@_selected
@click.option("--rate", type=click.FloatRange(min=0.1), default=200.0, show_default=True)
def plan(selection: Selection, rate: float) -> None:
    """How many records, by partition, and how long a copy takes; copies nothing."""
    found: dict[int, list[int]] = {}
    settings = load()
    for record in chosen(settings.kafka, selection, _opener(settings, selection)):
        found.setdefault(record.partition, []).append(record.offset)
    for partition, offsets in sorted(found.items()):
        click.echo(f"{selection.topic} partition {partition}: {len(offsets)} records, {offsets[0]}..{offsets[-1]}")
    total = sum(map(len, found.values()))
    click.echo(f"{total} records, about {total / rate:.0f} s at {rate:g} a second; then {' -> '.join(STARTS[selection.topic])}")


@command.command()
@_selected
@click.option("--name", required=True, callback=_named, help="Of the replay; the same name goes on where a run was cut off.")
@click.option("--rate", type=click.FloatRange(min=0.1), default=200.0, show_default=True, help="Records a second at most.")
@click.option("--live", is_flag=True, help="Into the topic itself: everybody who follows the results is told again.")
@click.option(
    "--workers/--no-workers", default=True, show_default=True, help="Shadow: also run its stages here until all is processed."
)
@click.option("--logs", type=click.Path(path_type=Path), help="Where the workers' logs go.")
@click.option(
    "--patience",
    type=float,
    default=600.0,
    show_default=True,
    help="Seconds without progress after which the workers are given up.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--agent", help="Who does it, where several people share this account.")
def run(
    selection: Selection,
    name: str,
    rate: float,
    live: bool,
    workers: bool,
    logs: Path | None,
    patience: float,
    yes: bool,
    agent: str | None,
) -> None:
    """Copy the records, by default into the shadow NAME, and let its stages process them under the settings of this command (other bundles, rules,
    policy: by environment or file). Needs the role operators.redrive; audited. Nothing of a shadow reaches an EHR."""
    settings = load()
    target = settings.kafka if live else shadow(settings.kafka, name)
    if not live:
        admin.Admin(target).apply(
            admin.wanted(target, [topics.BY_NAME[t] for t in (*STARTS, topics.MERGED, topics.RAISED, topics.MODEL)])
        )
    done = copied(target, selection.topic, name)
    opened = _opener(settings, selection)
    rows = [record for record in chosen(settings.kafka, selection, opened) if place(record) not in done]
    click.echo(
        f"{len(rows)} records to copy"
        + (f", {len(done)} copied before" if done else "")
        + (" into the live topic" if live else "")
    )
    if live and not yes:
        click.confirm("Everybody who follows the results is told again. Go on?", abort=True)
    act = Act(str(uuid.uuid4()), named(agent), "HOPERAT", datetime.now(UTC))
    if not asyncio.run(_copy(settings, target, rows, name, rate, act)):
        raise no_role("redrive")
    if live or not workers:
        click.echo("copied")
        return
    left = _process(settings, target, STARTS[selection.topic], logs, patience)
    if left:
        raise click.ClickException(f"{left} records are not processed; run the same command again")
    click.echo(f"processed; see: wardstream replay compare {name}")


@command.command("compare")
@click.argument("name", callback=_named)
@click.option("--samples", type=click.IntRange(0), default=5, show_default=True, help="Differences of each kind that are shown.")
@click.option(
    "--propose",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Propose so many notes for review, most differences first.",
)
@click.option("--json", "as_json", is_flag=True)
def compare_(name: str, samples: int, propose: int, as_json: bool) -> None:
    """What the shadow NAME says otherwise than what was published: mentions and flags, by type, with samples (de-identified)."""
    settings = load()
    report, decisions = _compared(settings.kafka, name)
    if propose:
        asyncio.run(_propose(settings, report, decisions, name, propose))
    if as_json:
        shown = summary(report)
        click.echo(json.dumps(shown | {"samples": [asdict(one) for one in _samples(report, samples)]}, indent=2))
        return
    click.echo(
        f"{report.messages} messages in both, {report.equal} say the same; {report.missing} only published, {report.new} only in the shadow"
    )
    table = Table("what", "type", "added", "lost", "changed")
    for what, type_ in sorted({key[:2] for key in report.counts}):
        table.add_row(what, type_, *(str(report.counts[what, type_, change]) for change in ("added", "lost", "changed")))
    Console().print(table)
    for one in _samples(report, samples):
        click.echo(f"{one.change:8} {one.what} {one.type}: {one.words}   (message {one.origin})")


@command.command()
@click.argument("name", callback=_named)
@click.option("--rate", type=click.FloatRange(min=0.1), default=50.0, show_default=True, help="Decisions a second at most.")
@click.option("--dry-run", is_flag=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--agent", help="Who does it, where several people share this account.")
def promote(name: str, rate: float, dry_run: bool, yes: bool, agent: str | None) -> None:
    """Publish the shadow's decisions on the messages where they differ, and on no other. Needs the role operators.redrive; audited."""
    settings = load()
    report, decisions = _compared(settings.kafka, name)
    click.echo(
        f"{len(report.differing)} of {report.messages + report.new} decisions differ and would be published, about {len(report.differing) / rate:.0f} s"
    )
    if dry_run or not report.differing:
        return
    if not yes:
        click.confirm("Everybody who follows the results is told of them. Go on?", abort=True)
    act = Act(str(uuid.uuid4()), named(agent), "HOPERAT", datetime.now(UTC))
    rows = [decisions[origin] for origin in report.differing]
    if not asyncio.run(_copy(settings, settings.kafka, rows, name, rate, act)):
        raise no_role("redrive")
    click.echo(f"{len(rows)} published")


def _opener(settings: Settings, selection: Selection) -> Callable[[Record], Record]:
    """Opens raw messages in memory where facility or kind choose among them; nothing of them is shown or kept."""
    if not selection.looks_inside:
        return lambda record: record
    if not has_role(settings, "redrive"):
        raise click.ClickException("choosing raw messages by what stands in them needs the role operators.redrive")
    return opener(settings)


def _compared(kafka: Kafka, name: str) -> tuple[Report, dict[str, Record]]:
    found = latest(tail(shadow(kafka, name), [topics.RAISED], to_end=True))
    if not found:
        raise click.ClickException("the shadow has decided nothing yet")
    published = latest(tail(kafka, [topics.RAISED], to_end=True), frozenset(found) | _asked(kafka, name))
    report = compare({origin: row for origin, (_, row) in published.items()}, {origin: row for origin, (_, row) in found.items()})
    return report, {origin: record for origin, (record, _) in found.items()}


def _asked(kafka: Kafka, name: str) -> frozenset[str]:
    """Ids of the messages that were copied into the shadow, as far as their records name them."""
    copies = tail(shadow(kafka, name), list(STARTS), to_end=True)
    named = (headers for record in copies if REPLAY in (headers := dict(record.headers)))
    return frozenset(headers["ce_origin"].decode("ascii", "replace") for headers in named if "ce_origin" in headers)


async def _propose(settings: Settings, report: Report, decisions: Mapping[str, Record], name: str, most: int) -> None:
    shadowed = {origin: row for origin, (_, row) in latest(decisions.values()).items()}
    act = Act(str(uuid.uuid4()), account(), "HOPERAT", datetime.now(UTC))
    log = Producer(settings.kafka, client_id="wardstream-replay")
    try:
        for sample in proposals(report, shadowed, name)[:most]:
            value = msgspec.json.encode(sample, order="deterministic")
            await log.produce(output_of(topics.SAMPLE, act, sample.id, sample.subject, value, key=sample.id.encode()))
    finally:
        await log.close()


def _samples(report: Report, most: int) -> list[Any]:
    seen: dict[tuple[str, str, str], int] = {}
    shown = []
    for one in report.differences:
        key = (one.what, one.type, one.change)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= most:
            shown.append(one)
    return shown


async def _copy(settings: Settings, target: Kafka, rows: Sequence[Record], name: str, rate: float, act: Act) -> bool:
    log, sink = Producer(settings.kafka, client_id="wardstream-replay"), Producer(target, client_id="wardstream-replay")
    try:
        if not has_role(settings, "redrive"):
            await refused(log, "replay", act)
            return False
        await replayed(log, name, act)
        started = time.monotonic()
        size = max(1, min(500, round(rate / 10)))
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("copying", total=len(rows))
            for first in range(0, len(rows), size):
                await asyncio.sleep(max(0.0, started + first / rate - time.monotonic()))
                outputs: list[Output] = [copy_of(record, name) for record in rows[first : first + size]]
                for answer in await sink.send_all(outputs):
                    if isinstance(answer, Exception):
                        raise answer
                progress.advance(task, len(outputs))
        return True
    finally:
        await sink.close()
        await log.close()


def _process(settings: Settings, target: Kafka, stages: Sequence[str], logs: Path | None, patience_s: float) -> int:
    """Run the shadow's stages until they have read everything; how many records are left when they are given up."""
    children: list[Child] = []
    with ExitStack() as opened:
        folder = logs or Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="wardstream-replay-")))
        opened.callback(lambda: stop(children))
        for stage in stages:
            env = {"WARDSTREAM_KAFKA__TOPIC_PREFIX": target.topic_prefix, "WARDSTREAM_WORKER__METRICS_PORT": str(free_port())}
            children.append(start(stage, python("-m", "agents.worker", stage), env=env, logs=folder))
        best, still, deadline = -1, 0, time.monotonic() + patience_s
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("processing", total=None)
            while True:
                ended = [child.name for child in children if not child.running]
                if ended:
                    raise click.ClickException(f"worker {ended[0]} ended: {_last_line(folder / f'{ended[0]}.log')}")
                left = _left(target, stages)
                progress.update(task, description=f"processing, {left} left")
                still = still + 1 if left == 0 else 0
                if still >= _STILL:
                    return 0
                if best < 0 or left < best:
                    best, deadline = left, time.monotonic() + patience_s
                if time.monotonic() > deadline:
                    return left
                time.sleep(_LOOK_S)


def _left(target: Kafka, stages: Sequence[str]) -> int:
    try:
        return sum(row.records for row in admin.lag(target, [(stage, BY_STAGE[stage].reads) for stage in stages]))
    except BrokerUnavailable:
        return 1


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return lines[-1] if lines else "no log"
