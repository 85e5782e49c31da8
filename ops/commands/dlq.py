"""``wardstream dlq``: what could not be processed, why, and what becomes of it."""

from __future__ import annotations

import asyncio
import functools
import json
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from agents.pipeline import BY_STAGE
from ops.audited import PURPOSES, Act, Action, handle, look_into, refused
from ops.operators import Role, has_role, named, no_role
from ops.options import instant
from schemas.errors import Poison, Reason
from streams.letters import Choice, Letter, counts, read
from streams.producer import Producer
from streams.record import Record
from streams.sealing import is_sealed, open_seal
from streams.settings import Settings, load

_PURPOSE = "HOPERAT"


def _chosen(function: Callable[..., None]) -> Callable[..., None]:
    """The options that every command takes, as one ``choice``."""

    @functools.wraps(function)  # with the options of the command's own
    def call(**values: Any) -> None:
        choice = Choice(
            reasons=frozenset(values.pop("reason")),
            stages=frozenset(values.pop("stage")),
            sources=frozenset(values.pop("source")),
            names=frozenset(values.pop("letters")),
            since=values.pop("since"),
            until=values.pop("until"),
        )
        function(choice, **values)

    for option in reversed(
        (
            click.argument("letters", nargs=-1),
            click.option(
                "--reason",
                multiple=True,
                type=click.Choice([reason.value for reason in Reason]),
                metavar="CODE",
                help="Reason code, as the list shows it.",
            ),
            click.option("--stage", multiple=True, type=click.Choice(list(BY_STAGE)), help="Stage that refused it."),
            click.option("--source", multiple=True, help="Source of the message, as the header ce_source says."),
            click.option("--since", callback=instant, help="Refused at this ISO 8601 instant or later."),
            click.option("--until", callback=instant, help="Refused before this instant."),
        )
    ):
        call = option(call)
    return call


@click.group()
def command() -> None:
    """Dead letters. LETTERS are places (TOPIC/PARTITION/OFFSET) as `list` prints them; without any, all that the options choose."""


@command.command("list")
@_chosen
@click.option("--all", "everything", is_flag=True, help="Also those that were put back or aside.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a letter, one a line.")
@click.option("--counts", "only_counts", is_flag=True, help="How many by topic, stage and reason.")
def list_(choice: Choice, everything: bool, as_json: bool, only_counts: bool) -> None:
    """Place, time, stage, reason, path and source of each letter; nothing of what it holds."""
    letters = list(read(load().kafka, choice, handled=everything))
    if as_json:
        for letter in letters:
            click.echo(json.dumps(_row(letter)))
        return
    if only_counts:
        table = Table("topic", "stage", "reason", "letters")
        for (topic, stage, reason), number in sorted(counts(letters).items()):
            table.add_row(topic, stage, reason, str(number))
    else:
        table = Table("letter", "refused", "stage", "reason", "path", "source", "attempts", "put back", "bytes")
        for letter in letters:
            row = _row(letter)
            table.add_row(
                *(
                    str(row[name])
                    for name in ("letter", "time", "stage", "reason", "path", "source", "attempts", "redrives", "bytes")
                )
            )
    Console(width=None if Console().is_terminal else 200).print(table)
    click.echo(f"{len(letters)} letters", err=True)


@command.command()
@click.argument("letter")
@click.option("--value", is_flag=True, help="Also what it holds: needs the role operators.read_letters and a --purpose; audited.")
@click.option("--purpose", type=click.Choice(list(PURPOSES)), help="Why: HL7 v3 PurposeOfUse.")
@click.option("--agent", help="Who asks, where several people share this account.")
def show(letter: str, value: bool, purpose: str | None, agent: str | None) -> None:
    """Everything about one LETTER; with --value its content, unsealed if need be, on standard output."""
    if value and purpose is None:
        raise click.UsageError("--value needs a --purpose")
    settings = load()
    found = next(iter(read(settings.kafka, Choice(names=frozenset({letter})), handled=True)), None)
    if found is None:
        raise click.ClickException("no such letter")
    click.echo(json.dumps(_row(found) | {"headers": sorted(name for name, _ in found.record.headers)}, indent=2), err=value)
    if not value:
        return
    act = Act(str(uuid.uuid4()), named(agent), purpose or "", datetime.now(UTC))
    try:
        content = asyncio.run(_content(settings, found, act))
    except Poison as error:
        raise click.ClickException(str(error)) from None
    if content is None:
        raise no_role("read_letters")
    click.get_binary_stream("stdout").write(content)


@command.command()
@_chosen
@click.option("--rate", type=click.FloatRange(min=0.1), default=50.0, show_default=True, help="Letters a second at most.")
@click.option("--dry-run", is_flag=True, help="Show how many, from where to where, and how long it takes.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--agent", help="Who does it, where several people share this account.")
def redrive(choice: Choice, rate: float, dry_run: bool, yes: bool, agent: str | None) -> None:
    """Put letters back into the topics that they came from, oldest first, with their own key and headers.

    Needs the role operators.redrive. Each is audited before, and marked as handled after: a run that was cut off goes on where it was. A letter that
    is refused again is a new letter with its redrives counted.
    """
    _handle(choice, "redriven", rate=rate, dry_run=dry_run, yes=yes, agent=agent)


@command.command()
@_chosen
@click.option("--dry-run", is_flag=True, help="Show how many.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--agent", help="Who does it, where several people share this account.")
def discard(choice: Choice, dry_run: bool, yes: bool, agent: str | None) -> None:
    """Put letters aside for good: they are listed no more, and their topic's retention removes them. Needs the role operators.redrive; audited."""
    _handle(choice, "discarded", rate=1000.0, dry_run=dry_run, yes=yes, agent=agent)


def _handle(
    choice: Choice, action: Literal["redriven", "discarded"], *, rate: float, dry_run: bool, yes: bool, agent: str | None
) -> None:
    settings = load()
    letters = sorted(read(settings.kafka, choice), key=lambda letter: (letter.time, letter.place))
    for (topic, stage, reason), number in sorted(counts(letters).items()):
        click.echo(f"{number:6}  {topic}  {stage}  {reason}")
    if not letters:
        click.echo("no letters")
        return
    click.echo(f"{len(letters)} letters to be {action}, about {len(letters) / rate:.0f} s")
    if dry_run:
        return
    if not yes:
        click.confirm("Go on?", abort=True)
    act = Act(str(uuid.uuid4()), named(agent), _PURPOSE, datetime.now(UTC))
    done, left = asyncio.run(_run(settings, letters, action, rate, act))
    if done is None:
        raise no_role("redrive")
    click.echo(f"{done} {action}" + (f", {left} cannot go back" if left else ""))
    if left:
        raise SystemExit(1)


async def _run(
    settings: Settings, letters: list[Letter], action: Literal["redriven", "discarded"], rate: float, act: Act
) -> tuple[int | None, int]:
    log = Producer(settings.kafka, client_id="wardstream-dlq")
    try:
        if not await _may(settings, log, "redrive", "redrive" if action == "redriven" else "discard", act):
            return None, 0
        left, started = 0, time.monotonic()
        with Progress(console=Console(stderr=True), transient=True) as progress:
            for number, letter in enumerate(progress.track(letters, description=action)):
                await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
                try:
                    await handle(log, letter, action, act)
                except ValueError:
                    left += 1
        return len(letters) - left, left
    finally:
        await log.close()


async def _content(settings: Settings, letter: Letter, act: Act) -> bytes | None:
    log = Producer(settings.kafka, client_id="wardstream-dlq")
    try:
        if not await _may(settings, log, "read_letters", "read_letter", act):
            return None
        value = await look_into(log, letter, act)
        return await _unsealed(settings, letter.record, value or b"")
    finally:
        await log.close()


async def _unsealed(settings: Settings, record: Record, value: bytes) -> bytes:
    if not is_sealed(value):
        return value
    seal = await open_seal(settings, cache_s=0)
    try:
        content_type = dict(record.headers).get("content-type", b"").decode("ascii", "replace")
        return await seal.unseal(record.key or b"", content_type, value)
    finally:
        await seal.close()


async def _may(settings: Settings, log: Producer, role: Role, action: Action, act: Act) -> bool:
    if has_role(settings, role):
        return True
    await refused(log, action, act)
    return False


def _row(letter: Letter) -> dict[str, Any]:
    return {
        "letter": letter.name,
        "time": datetime.fromtimestamp(letter.time / 1000, UTC).isoformat(timespec="seconds"),
        "stage": letter.stage,
        "reason": letter.reason,
        "path": letter.path,
        "source": letter.source,
        "message": letter.message,
        "attempts": letter.attempts,
        "redrives": letter.redrives,
        "from": "/".join(map(str, letter.origin)),
        "bytes": letter.size,
    }
