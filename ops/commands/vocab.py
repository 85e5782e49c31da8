"""``wardstream vocab``: the index by which mentions are linked to codes."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from agents.extract.linking.build import build as build_index
from agents.extract.linking.index import Group, encode, names_of, read
from agents.extract.linking.linker import Linker
from agents.extract.linking.nearest import vectors_of
from agents.extract.linking.sources import READERS
from models.embedder import Embedder
from schemas.errors import ConfigurationError
from streams.settings import load

_FILE = click.Path(dir_okay=False, path_type=Path)


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
@click.option(
    "--encoder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    help="Bundle of an encoder of names: the names of problems go in as vectors too (some milliseconds a name).",
)
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path))
def build(sources: tuple[str, ...], releases: tuple[str, ...], encoder: Path | None, out: Path) -> None:
    """Make the index OUT of vocabulary files, in the order given. The same files give the same bytes; vectors, on the same machine."""
    pairs = [(kind, Path(path)) for kind, path in _pairs(sources, "--source")]
    index = build_index(pairs, dict(_pairs(releases, "--release")))
    if encoder is not None:
        with Embedder.load(encoder, trusted_keys=load().models.trusted_keys) as embedder:
            index = msgspec.structs.replace(index, vectors=vectors_of(index, embedder))
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
        "encoder": index.vectors.encoder if index.vectors else None,
    }, indent=2))  # fmt: skip


@command.command()
@click.option("--index", "path", type=_FILE, default=None, help="Default: the setting vocabularies.index.")
@click.option("--group", type=click.Choice(["problem", "drug", "test", "procedure"]), default="problem", show_default=True)
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path))
def names(path: Path | None, group: Group, out: Path) -> None:
    """Write the names of an index's concepts into OUT, a concept and a name a row: what an encoder of names is trained on."""
    index, _ = read(_chosen(path))
    rows = names_of(index, group)
    out.write_text("".join(f"{at}\t{name}\n" for at, name in rows), encoding="utf-8")
    click.echo(f"{out}: {len(rows)} names of {len({at for at, _ in rows})} concepts")


@command.command()
@click.argument("text")
@click.option("--type", "kind", default="problem", type=click.Choice(["problem", "finding", "medication", "test", "procedure"]))
@click.option("--index", "path", type=_FILE, default=None, help="Default: the setting vocabularies.index.")
def lookup(text: str, kind: str, path: Path | None) -> None:
    """What a mention TEXT would be linked to, as JSON; null where nothing is sure enough."""
    settings = load()
    bundle = settings.vocabularies.encoder
    encoder = None if bundle is None else Embedder.load(bundle, trusted_keys=settings.models.trusted_keys)
    linker = Linker.load(_chosen(path), settings.vocabularies.threshold, encoder)
    link = linker.link(text, kind)
    told = link and {"match": link.match, "score": link.score, "codes": msgspec.to_builtins(linker.codings(link))}
    click.echo(json.dumps(told, indent=2, ensure_ascii=False))
