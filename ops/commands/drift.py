"""``wardstream drift``: whether messages still look as they did when a baseline was taken."""

from __future__ import annotations

import json
import sys
from collections import defaultdict, deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from agents.feedback import drift
from ops.cli import EXIT_FAILED
from schemas.errors import ConfigurationError
from schemas.flags import Decision
from streams import topics
from streams.settings import load
from streams.tail import tail

_DECODER = msgspec.json.Decoder(Decision)
_SINCE = click.option(
    "--since",
    type=click.DateTime(),
    default=None,
    help="Decisions stored at this time (UTC) or later; default: all that are kept.",
)


@click.group()
def command() -> None:
    """Take a baseline of what messages look like, and compare later ones with it: lengths, labels, confidence, sections, negation, flags."""


@command.command()
@_SINCE
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write. Numbers alone, no text."
)
def baseline(since: datetime | None, out: Path) -> None:
    """Write the baseline of deid.flag.raised.v1 as it stands."""
    made = drift.make_baseline(_decisions(since), datetime.now(UTC).isoformat(timespec="seconds"))
    if not made.values:
        raise ConfigurationError(path=topics.RAISED, detail="no decision on a message with a note")
    out.write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=1))
    click.echo(f"{sum(made.messages.values())} messages of {len(made.messages)} kinds")


@command.command()
@click.option("--baseline", "file", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_SINCE
@click.option(
    "--window", type=click.IntRange(drift.FEWEST), default=500, show_default=True, help="The last so many messages of each kind."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a feature, one a line.")
def report(file: Path, since: datetime | None, window: int, as_json: bool) -> None:
    """Compare the newest messages with the baseline. Exit 1 when a feature has shifted."""
    try:
        before = msgspec.json.decode(file.read_bytes(), type=drift.Baseline)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ConfigurationError(path=file.name, detail="no baseline") from None
    now: dict[str, dict[str, deque[float]]] = defaultdict(lambda: defaultdict(lambda: deque(maxlen=window)))
    models: set[str] = set()
    for decision in _decisions(since):
        models.add(decision.findings.versions.entity_model)
        for name, value in drift.features(decision).items():
            now[decision.findings.kind][name].append(value)
    if other := models - set(before.versions):
        click.echo(
            f"not of the baseline: {', '.join(sorted(other))}; another model's confidences and labels may shift by that alone",
            err=True,
        )
    rows = drift.shifts(before, {kind: {name: tuple(v) for name, v in named.items()} for kind, named in now.items()})
    if as_json:
        for row in rows:
            click.echo(
                json.dumps({name: getattr(row, name) for name in ("kind", "feature", "before", "now", "psi", "p", "alarm")})
            )
    else:
        _table(rows)
    if any(row.alarm for row in rows):
        sys.exit(EXIT_FAILED)


def _table(rows: list[drift.Shift]) -> None:
    table = Table("kind", "feature", title=None)
    for name in ("before", "now", "PSI", "p", ""):
        table.add_column(name, justify="right")
    for row in rows:
        style = "bold red" if row.alarm else None
        table.add_row(
            row.kind,
            row.feature,
            f"{row.before:.3g}",
            f"{row.now:.3g}",
            f"{row.psi:.3f}",
            f"{row.p:.2g}",
            "shifted" if row.alarm else "",
            style=style,
        )
    Console().print(table)
    if not rows:
        click.echo(f"nothing to compare: a kind needs {drift.FEWEST} messages with a note on both sides")


def _decisions(since: datetime | None) -> Iterator[Decision]:
    start = since.replace(tzinfo=UTC) if since is not None else None
    for record in tail(load().kafka, [topics.RAISED], to_end=True, since=start):
        try:
            yield _DECODER.decode(record.value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue  # a record of another version; the stages' dead letters tell of it
