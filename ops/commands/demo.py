"""``wardstream demo``: the whole stream on sample messages."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Literal

import click
from rich.console import Console

from ops.cli import EXIT_FAILED


@click.command()
@click.option("--messages", type=click.Path(exists=True, path_type=Path), help="Folder of .hl7, .json, .ndjson files.")
@click.option("--broker", type=click.Choice(["embedded", "kafka"]), default="embedded", show_default=True)
@click.option(
    "--root", type=click.Path(file_okay=False, path_type=Path), help="Where keys, logs and data lie; default: a new one."
)
def command(messages: Path | None, broker: Literal["embedded", "kafka"], root: Path | None) -> None:
    """Start the stack, post sample messages through every door, and show what happened."""
    from ops.demo import run_demo

    place = root or Path(tempfile.mkdtemp(prefix="wardstream-demo-"))
    if not run_demo(place, broker, messages, Console()):
        sys.exit(EXIT_FAILED)
