"""``wardstream annotate``: the pipeline on standard input and output."""

from __future__ import annotations

import sys
import time

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ops.cli import EXIT_FAILED
from streams.settings import load


@click.command()
@click.option("--threads", type=click.IntRange(1, 64), default=None, help="Calling threads; default: models.threads.")
@click.option("--seed", type=int, default=None, help="Make tokens and clocks repeatable (tests only: tokens must be random).")
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
def command(threads: int | None, seed: int | None, quiet: bool) -> None:
    """De-identify, extract and decide offline: JSON Lines on standard input, JSON Lines on standard output.

    Needs neither Kafka nor Redis. Exit 1 when at least one line failed; each such line says why.
    """
    from agents.offline import Offline
    from ops.annotate import annotate

    settings = load()
    offline = Offline(settings, seed=seed)
    failed = done = 0
    started = time.monotonic()
    out = sys.stdout.buffer
    console = Console(stderr=True)
    columns = (TextColumn("annotate"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=quiet, transient=True) as progress:
        task = progress.add_task("", total=None, rate="")
        for line, succeeded in annotate(sys.stdin.buffer, offline, threads=threads or settings.models.threads):
            out.write(line + b"\n")
            out.flush()
            done, failed = done + 1, failed + (not succeeded)
            progress.update(task, completed=done, rate=f"{done / (time.monotonic() - started):.1f} lines/s")
    if not quiet:
        seconds = time.monotonic() - started
        console.print(f"{done} lines in {seconds:.1f} s ({done / max(seconds, 1e-9):.1f}/s), {failed} failed")
    if failed:
        sys.exit(EXIT_FAILED)
