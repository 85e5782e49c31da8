"""``wardstream send``: post message files the three ways that a site does."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path

import click

from ops.cli import EXIT_FAILED
from ops.messages import MessageFile, post_fhir, post_mllp, produce, read_folder
from streams.settings import load


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--mllp", "mllp", metavar="HOST:PORT", help="Send the .hl7 files over MLLP.")
@click.option("--http", "http", metavar="URL", help="Send the .json and .ndjson files to the FHIR door.")
@click.option("--token-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Bearer token for --http.")
@click.option("--kafka", "kafka", is_flag=True, help="Produce straight to the received topic (broker from the settings).")
def command(path: Path, mllp: str | None, http: str | None, token_file: Path | None, kafka: bool) -> None:
    """Post a file or a folder of .hl7, .json and .ndjson files; exit 1 when anything was not accepted."""
    if not (mllp or http or kafka):
        raise click.UsageError("choose at least one of --mllp, --http, --kafka")
    files = list(read_folder(path))
    answers: Counter[str] = Counter()
    if kafka:
        produce(load(), [file for file in files if file.format != "ndjson"])
        answers["stored"] += sum(file.format != "ndjson" for file in files)
    if mllp:
        host, _, port = mllp.rpartition(":")
        hl7 = [file for file in files if file.format == "hl7v2"]
        answers.update(asyncio.run(post_mllp(host or "127.0.0.1", int(port), [file.payload for file in hl7])))
    if http:
        token = token_file.read_text().strip() if token_file else ""
        answers.update(_fhir(http, token, [file for file in files if file.format != "hl7v2"]))
    for code, count in sorted(answers.items()):
        click.echo(f"{code}\t{count}")
    if any(code not in {"AA", "CA", "stored"} and not code.startswith("HTTP 2") for code in answers):
        sys.exit(EXIT_FAILED)


def _fhir(url: str, token: str, files: list[MessageFile]) -> list[str]:
    return [f"HTTP {post_fhir(url, token, file).status_code}" for file in files]
