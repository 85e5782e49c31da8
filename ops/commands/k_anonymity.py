"""``wardstream k-anonymity``: how rare the combinations of quasi-identifiers are in what was published."""

from __future__ import annotations

import dataclasses
import json
import sys
import time

import click
from rich.console import Console
from rich.table import Table

from ops.cli import EXIT_FAILED

#: The log is read when nothing came for so long.
QUIET_S = 5.0


@click.command()
@click.option("--rarest", type=click.IntRange(0, 1000), default=10, show_default=True, help="Combinations to list.")
@click.option("--require-k", type=click.IntRange(1), help="Exit 1 when the smallest class is smaller.")
@click.option("--json", "as_json", is_flag=True)
def command(rarest: int, require_k: int | None, as_json: bool) -> None:
    """k-anonymity over age band, sex, ZIP3, admission year and diagnosis chapter of all de-identified messages in the log."""
    from ops.k_anonymity import WANTED_K, Quasi, quasi_of, report
    from schemas.deidentified import decode_map
    from schemas.errors import Poison
    from schemas.message import parse
    from streams import topics
    from streams.settings import load
    from streams.tail import tail

    patients: dict[str, Quasi] = {}
    unread = 0
    last = time.monotonic()

    def quiet() -> bool:
        return time.monotonic() - last > QUIET_S

    for record in tail(load().kafka, [topics.READY], stop=quiet):
        last = time.monotonic()
        headers = dict(record.headers)
        subject = headers.get("ce_subject", record.key or b"").decode()
        try:
            sidecar = decode_map(headers.get("deid-map"))
            found = quasi_of(parse(headers.get("content-type", b"").decode(), record.value or b""), sidecar)
        except Poison:
            unread += 1
            continue
        if not sidecar.without_patient:
            patients[subject] = patients.get(subject, Quasi()).updated(found)
    result = report(patients.values(), rarest=rarest)
    if as_json:
        row = dataclasses.asdict(result)
        row["rarest"] = [{**dataclasses.asdict(quasi), "k": k} for quasi, k in result.rarest]
        click.echo(json.dumps({**row, "wanted_k": WANTED_K, "unread_records": unread}, indent=2))
    else:
        console = Console()
        console.print(
            f"{result.patients} patients in {result.classes} classes; smallest k {result.smallest_k}; "
            f"{result.below_wanted:.1%} of the patients below k = {WANTED_K}; "
            f"risk at most {result.maximum_risk:.3f}, on average {result.average_risk:.3f}; {unread} records not read"
        )
        table = Table("age", "sex", "ZIP3", "admitted", "chapter", "k", title="rarest combinations")
        for quasi, k in result.rarest:
            table.add_row(quasi.age, quasi.sex, quasi.zip3, quasi.year, quasi.chapter, str(k))
        console.print(table)
    if require_k is not None and result.smallest_k < require_k:
        sys.exit(EXIT_FAILED)
