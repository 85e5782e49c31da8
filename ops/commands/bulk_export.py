"""``wardstream bulk-export``: what was published, as files for those who load rather than listen."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

FORMATS = ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"]


@click.command()
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder; a run into the same one goes on."
)
@click.option("--since", type=click.DateTime(FORMATS), help="Only what was published at this time (UTC) and later.")
@click.option("--type", "types", multiple=True, help="Only resources of this type; more than one may be given.")
def command(out: Path, since: datetime | None, types: tuple[str, ...]) -> None:
    """Write the latest version of each de-identified resource as NDJSON, one file a type, with a Bulk Data manifest."""
    from ops.bulk_export import BulkExport
    from schemas.fhir.definitions import is_resource
    from streams import topics
    from streams.settings import load
    from streams.tail import tail

    for kind in types:
        if not is_resource(kind):
            raise click.BadParameter("no such resource type", param_hint="--type")
    start = since.replace(tzinfo=UTC) if since else None
    now = datetime.now(UTC)
    with BulkExport(out, since=start, types=types) as export:
        taken = export.read(tail(load().kafka, [topics.BUNDLE], to_end=True, since=start))
        counts = export.write(now)
    click.echo(f"{taken} records read, {export.unread} of them no Bundle; {sum(counts.values())} resources in {out}")
    for kind, count in counts.items():
        click.echo(f"    {count:>8}  {kind}.ndjson")
