"""``wardstream explain``: why this flag, what would change it, which words an entity rests on."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ops.cli import EXIT_FAILED
from schemas.errors import Poison
from streams.settings import load

_SUFFIXES = (".hl7", ".json", ".ndjson", ".txt")


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--flag", default="", metavar="TYPE", help="Flags of this type or rule only, or why there is none.")
@click.option("--entity", default="", metavar="WORD", help="Also: which words of its sentence each entity with WORD rests on.")
@click.option(
    "--in-words", is_flag=True, help="Also: a sentence that a small model writes from each flag's evidence, checked against it."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a message instead of words.")
def command(files: tuple[Path, ...], flag: str, entity: str, in_words: bool, as_json: bool) -> None:
    """Run the pipeline offline on FILES (.hl7, .json, .ndjson, .txt), in order, and tell each flag's basis in words.

    Needs neither Kafka nor Redis; everything shown is de-identified. Exit 1 when a message cannot be read.
    """
    from agents.offline import Offline
    from ops.explain import Told, entity_tagger, explain, flag_writer

    for file in files:
        if file.suffix.lower() not in _SUFFIXES:
            raise click.UsageError(f"{file.name}: none of {', '.join(_SUFFIXES)}")
    settings = load()
    tagger = entity_tagger(settings) if entity else None
    generator = flag_writer(settings) if in_words else None
    console = Console(soft_wrap=True)

    def show(told: Told) -> None:
        console.print(f"[bold]{escape(told.file)}[/]")
        for one in told.flags:
            console.print(f"  [bold]{escape(one.type)}[/]")
            for part in one.explanation.split(" | "):
                console.print(f"    {escape(part)}")
            if generator is not None:
                sentence = one.in_words or "nothing that the evidence holds was written; read the basis above"
                console.print(f"    In words ({escape(generator.version)}): {escape(sentence)}")
        if not told.flags:
            named = {rule: outcome for rule, outcome in told.outcomes.items() if flag in ("", rule)}
            console.print("  no flag" + "".join(f"\n    {escape(rule)}: {escape(outcome)}" for rule, outcome in named.items()))
        for found in told.entities:
            table = Table(title=f"{escape(found.text)} ({found.type})", title_justify="left")
            table.add_column("without the word")
            table.add_column("the score loses", justify="right")
            for word in found.words:
                table.add_row(escape(word.text), f"{word.drop:.4f}")
            console.print(table if found.words else f"  {escape(found.text)}: not found by the model in its sentence alone")
        if entity and not told.entities:
            console.print(f"  no entity with {escape(entity)}")

    try:
        for told in explain(Offline(settings), list(files), flag=flag, entity=entity, tagger=tagger, generator=generator):
            if as_json:
                click.echo(msgspec.json.encode(told).decode())
            else:
                show(told)
    except Poison as error:
        click.echo(f"{error.reason.value}: {error}", err=True)
        sys.exit(EXIT_FAILED)
    finally:
        if tagger is not None:
            tagger.close()
