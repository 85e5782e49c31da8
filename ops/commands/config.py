"""``wardstream config``: the settings in force; paths of secret files are shown, their content is never read here."""

from __future__ import annotations

import json
from urllib.parse import urlsplit, urlunsplit

import click

from streams.settings import Settings, load


def redacted(settings: Settings) -> dict[str, object]:
    """JSON-able settings; credentials inside a URL are cut out."""
    shown: dict[str, dict[str, object]] = json.loads(settings.model_dump_json())
    url = urlsplit(str(shown["redis"]["url"]))
    if url.username or url.password:
        shown["redis"]["url"] = urlunsplit(url._replace(netloc=f"***@{url.hostname}:{url.port or 6379}"))
    return dict(shown)


@click.command()
def command() -> None:
    """Print the settings in force as JSON, secrets redacted."""
    click.echo(json.dumps(redacted(load()), indent=2))
