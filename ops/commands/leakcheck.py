"""``wardstream leakcheck``: canary patients through every door, then a search of everything that the installation left behind."""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from ops.cli import EXIT_FAILED


@click.command()
@click.option("--mllp", metavar="HOST:PORT", required=True, help="The MLLP door.")
@click.option("--http", "url", metavar="URL", required=True, help="The FHIR door.")
@click.option(
    "--token-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True, help="Its bearer token."
)
@click.option("--files", multiple=True, type=click.Path(exists=True, path_type=Path), help="Logs, traces, Redis dump and append-only file; folders whole. Repeatable.")  # fmt: skip
@click.option("--metrics", multiple=True, metavar="URL", help="Metrics endpoints. Repeatable.")
@click.option("--canaries", "count", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option("--seed", type=int, help="Of the canaries; random by default.")
@click.option("--settle", type=click.FloatRange(1, 600), default=15.0, show_default=True, help="Seconds without a new record before the search.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True)
def command(
    mllp: str, url: str, token_file: Path, files: tuple[Path, ...], metrics: tuple[str, ...], count: int, seed: int | None,
    settle: float, as_json: bool,
) -> None:  # fmt: skip
    """Exit 1 when a canary's identifier is found where it must not be, 0 when none is. Posts invented patients: tell receivers first.

    Broker and store are those of the settings.
    """
    import httpx
    import redis

    from ops.leakcheck.run import leakcheck
    from ops.posting import Doors
    from schemas.errors import ReceiverUnavailable, StoreUnavailable
    from streams.settings import load

    host, _, port = mllp.rpartition(":")
    if not port.isdigit():
        raise click.UsageError("--mllp wants HOST:PORT")
    doors = Doors(host or "127.0.0.1", int(port), url.rstrip("/"), token_file.read_text().strip())
    seed = secrets.randbelow(2**32) if seed is None else seed
    try:
        report = leakcheck(load(), doors, count=count, seed=seed, files=files, metrics=metrics, settle_s=settle)
    except redis.RedisError:
        raise StoreUnavailable(detail="the store was not searched") from None
    except httpx.HTTPError:
        raise ReceiverUnavailable(detail="a metrics endpoint or the FHIR door does not answer") from None
    rows = [{"place": place, "identifier": kind, "form": form, "count": n} for (place, kind, form), n in report.hits.items()]
    if as_json:
        result = {"clean": report.clean, "seed": seed, "canaries": count, "answers": report.answers, "records": report.records,
                  "searched_bytes": report.searched, "hits": rows}  # fmt: skip
        click.echo(json.dumps(result, indent=2))
    else:
        console = Console()
        table = Table("place", "searched bytes", "hits")
        for place, size in sorted(report.searched.items()):
            table.add_row(
                place,
                f"{size:,}",
                "; ".join(f"{r['identifier']} ({r['form']}) x{r['count']}" for r in rows if r["place"] == place),
            )
        console.print(table)
        console.print(f"{count} canaries, seed {seed}; answers: {report.answers}; {report.records} records read")
        console.print("[bold red]identifiers were found[/]" if rows else "[green]no identifier of a canary was found[/]")
    if not report.clean:
        sys.exit(EXIT_FAILED)
