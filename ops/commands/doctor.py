"""``wardstream doctor``: what is missing or unreachable, and what to do."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table

from ops.cli import EXIT_FAILED
from streams.settings import load

_STYLE = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable findings.")
def command(as_json: bool) -> None:
    """Look at everything that these settings need; exit 1 when something that is needed is wrong."""
    from ops.doctor import examine

    findings = list(examine(load()))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        table = Table("what", "state", "found", "do")
        for finding in findings:
            table.add_row(finding.name, f"[{_STYLE[finding.state]}]{finding.state}[/]", finding.found, finding.advice)
        Console().print(table)
    if any(finding.state == "fail" for finding in findings):
        sys.exit(EXIT_FAILED)
