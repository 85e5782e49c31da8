"""``wardstream vocab``: the index by which mentions are linked to codes."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from agents.extract.linking.build import build as build_index
from agents.extract.linking.index import encode, read
from agents.extract.linking.linker import Linker
from agents.extract.linking.sources import READERS
from schemas.errors import ConfigurationError
from streams.settings import load

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def command() -> None:
    """Build an index of vocabularies, say what is in one, look a name up."""


def _pairs(rows: tuple[str, ...], option: str) -> list[tuple[str, str]]:
    pairs = [row.partition("=")[::2] for row in rows]
    if bad := next((kind for kind, value in pairs if not value or kind not in READERS), None):
        raise click.UsageError(f"{option}: {bad}: KIND=..., KIND one of {', '.join(READERS)}")
    return pairs


@command.command()
@click.option(
    "--source", "sources", multiple=True, required=True, metavar="KIND=PATH", help="A file; its first source owns a code."
)
@click.option(
    "--release", "releases", multiple=True, metavar="KIND=TEXT", help="What release a kind's files are; written into the index."
)
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path))
def build(sources: tuple[str, ...], releases: tuple[str, ...], out: Path) -> None:
    """Make the index OUT of vocabulary files, in the order given. The same files give the same bytes."""
    pairs = [(kind, Path(path)) for kind, path in _pairs(sources, "--source")]
    index = build_index(pairs, dict(_pairs(releases, "--release")))
    content = encode(index)
    out.write_bytes(content)
    click.echo(f"{out}: {len(index.concepts)} concepts, {index.names} names, {len(content) / 2**20:.1f} MiB")


def _chosen(path: Path | None) -> Path:
    chosen = path or load().vocabularies.index
    if chosen is None:
        raise ConfigurationError(path="vocabularies.index", detail="no index: name one with --index or in the settings")
    return chosen


@command.command()
@click.option("--index", "path", type=_FILE, default=None, help="Default: the setting vocabularies.index.")
def show(path: Path | None) -> None:
    """Version, size and sources of an index, as JSON."""
    index, version = read(_chosen(path))
    click.echo(json.dumps({
        "version": version, "concepts": len(index.concepts), "names": index.names, "sources": msgspec.to_builtins(index.sources),
    }, indent=2))  # fmt: skip


@command.command()
@click.argument("text")
@click.option("--type", "kind", default="problem", type=click.Choice(["problem", "finding", "medication", "test", "procedure"]))
@click.option("--index", "path", type=_FILE, default=None, help="Default: the setting vocabularies.index.")
def lookup(text: str, kind: str, path: Path | None) -> None:
    """What a mention TEXT would be linked to, as JSON; null where nothing is sure enough."""
    linker = Linker.load(_chosen(path), load().vocabularies.threshold)
    link = linker.link(text, kind)
    told = link and {"match": link.match, "score": link.score, "codes": msgspec.to_builtins(linker.codings(link))}
    click.echo(json.dumps(told, indent=2, ensure_ascii=False))
