"""``wardstream deid``: the rules of de-identification for people: check, explain, compare, import."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agents.deidentify.explain import Explainer
from agents.deidentify.form import Read, read_file, read_profile
from agents.deidentify.policy import compile_policy
from agents.deidentify.promise import broken
from ops.cli import EXIT_FAILED
from ops.rule_changes import Change, changes

PROFILES = ("safe_harbor", "expert", "limited", "internal")


@click.group()
def command() -> None:
    """Check, explain and compare de-identification rules, import those of another tool. Shows no value of anybody."""


def _read(name: str) -> Read:
    """A profile by name, otherwise a file."""
    return read_profile(name) if name in PROFILES else read_file(Path(name))


@command.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def lint(file: str | None, as_json: bool) -> None:
    """Check FILE, or every shipped profile, against the promise of its profile. Exit 1 when a rule breaks it."""
    reads = [_read(name) for name in ((file,) if file else PROFILES)]
    found = {read.name: [dataclasses.asdict(one) for one in broken(read.form)] for read in reads}
    bad = any(found.values())
    if as_json:
        versions = {} if bad else {read.name: compile_policy(read).version for read in reads}
        click.echo(json.dumps({"ok": not bad, "broken": found, "versions": versions}, sort_keys=True))
    else:
        rows = [(name, one["rule"], one["method"], one["why"]) for name, all_ in found.items() for one in all_]
        if bad:
            _table(("file", "rule", "method", "why it is refused"), rows)
        for read in reads:
            if not found[read.name]:
                click.echo(f"{read.name}: keeps its promise ({compile_policy(read).version})")
    if bad:
        sys.exit(EXIT_FAILED)


@command.command()
@click.argument("path")
@click.option("--profile", default="safe_harbor", show_default=True, help="A profile's name or a rule file.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def explain(path: str, profile: str, as_json: bool) -> None:
    """Which rule decides PATH, and why: an HL7 field (PID-5, OBX-5, PID-11.5) or a FHIR path (Patient.name.given)."""
    rows = Explainer(_read(profile)).explain(path)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(row) for row in rows]))
        return
    _table(
        ("path", "when", "method", "rule", "file", "what happens"),
        [(row.path, row.when, row.method, row.rule, row.file, row.why) for row in rows],
    )


@command.command()
@click.argument("before")
@click.argument("after")
@click.option(
    "--messages", type=click.Path(exists=True, path_type=Path), default=None, help="Folder; default: the shipped samples."
)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def diff(before: str, after: str, messages: Path | None, as_json: bool) -> None:
    """What going from the rules BEFORE to AFTER (profiles or files) changes on sample messages: paths, methods, counts, no values."""
    rows: Sequence[Change] = changes(_read(before), _read(after), messages)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(row) for row in rows]))
    elif not rows:
        click.echo("nothing changes on these messages")
    else:
        _table(("path", "before", "after", "values"), [(row.path, row.before, row.after, str(row.count)) for row in rows])


@command.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--profile", type=click.Choice(PROFILES), default="safe_harbor", show_default=True, help="Profile to build on.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default=None, help="Where the rules go; default: standard output."
)
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def import_(file: Path, profile: str, out: Path | None, as_json: bool) -> None:
    """Carry a configuration of Microsoft's Tools for Health Data Anonymization (fhirPathRules) over into a rule file.

    What cannot be carried over is listed. Exit 1 when the result is not the same.
    """
    from agents.deidentify.fhir_path_rules import carry_over

    made = carry_over(file.read_bytes(), profile)
    if out is None and not as_json:
        click.echo(made.text, nl=False)
    elif out is not None:
        out.write_text(made.text, "utf-8")
    if as_json:
        click.echo(json.dumps({"rules": made.carried, "differences": [dataclasses.asdict(one) for one in made.differences]}))
    elif made.differences:
        rows = [(one.path, one.method, one.effect, one.why) for one in made.differences]
        _table(("path", "method", "ours is", "why"), rows, err=True)
    if any(one.effect != "same" for one in made.differences):
        sys.exit(EXIT_FAILED)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, err: bool = False) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    Console(stderr=err, highlight=False).print(table)
