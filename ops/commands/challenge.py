"""``wardstream challenge``: may this bundle take the champion's place? Both are measured, and the signed verdict says why or why not."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import uuid
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from models.bundle import load_manifest
from models.store import BundleStore, digest_of
from models.verdict import write_verdict
from ops.audited import Act
from ops.loop.challenging import CORPORA, material, shadow_of, trial_sets
from ops.loop.releasing import judged, serving
from ops.operators import named
from schemas.verdicts import GateVerdict
from streams.producer import Producer
from streams.settings import Settings, load
from training.challenge import challenge
from training.data.labels import PHI_TYPES
from training.trial import trial

#: The gate refused.
EXIT_REFUSED = 4
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("challenger", type=_FOLDER)
@click.option("--champion", type=_FOLDER, help="The bundle that it must beat or hold; default: the one that serves.")
@click.option(
    "--gold",
    multiple=True,
    required=True,
    metavar="[FORMAT:]PATH",
    help=f"Gold texts (reviewed labels, or another format of bring-your-own-data); {CORPORA}: the development parts of the public corpora.",
)
@click.option(
    "--labels",
    multiple=True,
    required=True,
    type=_FILE,
    help="Reviewed labels that it was not trained on, one JSON record a line.",
)
@click.option(
    "--newest", type=click.IntRange(1), default=500, show_default=True, help="How many of the labels count, the last decided."
)
@click.option("--samples", type=_FILE, help="The proposed samples of the labels: they know the senders, which are subgroups.")
@click.option(
    "--learned", type=_FILE, help="Labels that the challenger was trained on; refused where one of them is to judge it."
)
@click.option("--shadow", type=_FILE, help="Report of wardstream replay compare --json: the challenger beside the champion.")
@click.option("--without-shadow", is_flag=True, help="Judge without a shadow; the verdict says so.")
@click.option("--key", required=True, type=_FILE, help="Private signing key (wardstream keys models).")
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The verdict; its signature goes beside it."
)
@click.option("--record/--no-record", default=True, show_default=True, help="Say it on train.model.judged.v1 too.")
@click.option("--agent", help="Who asks, where several people share this account.")
@click.option("--json", "as_json", is_flag=True, help="The verdict as JSON.")
def command(
    challenger: Path,
    champion: Path | None,
    gold: tuple[str, ...],
    labels: tuple[Path, ...],
    newest: int,
    samples: Path | None,
    learned: Path | None,
    shadow: Path | None,
    without_shadow: bool,
    key: Path,
    out: Path,
    record: bool,
    agent: str | None,
    as_json: bool,
) -> None:
    """Try the bundle in folder CHALLENGER against the champion and write the signed verdict that a promotion asks for.

    Both are measured in this run, by the code that serves, on the same texts: gold set, newest reviewed labels, each class, each subgroup, leak
    tests, processor time; what it said in the shadow is judged too. Exit 4: the gate refused; the verdict says why.
    """
    if (shadow is None) != without_shadow:
        raise click.UsageError("either --shadow REPORT or --without-shadow")
    settings, now = load(), datetime.now(UTC)
    trusted = settings.models.trusted_keys
    manifest = load_manifest(challenger, trusted_keys=trusted)
    phi = set(manifest.entity_types) <= set(PHI_TYPES)
    made = material(gold, labels, samples, phi=phi, newest=newest, learned=learned)
    evidence = dict(made.evidence)
    seen = None
    if shadow is not None:
        seen, evidence["shadow"] = shadow_of(shadow, [*made.learned, *made.labels])
    before = champion or _serving(settings, manifest.name)
    old, new = trial(before, challenger, trial_sets(made), trusted_keys=trusted)
    said = challenge(
        manifest.name, (digest_of(before), old), (digest_of(challenger), new), evidence=evidence, now=now, shadow=seen
    )
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch) / out.name
        write_verdict(draft, said, key)  # before anybody is told: a key that cannot sign gives no verdict
        signature = draft.with_name(draft.name + ".sig")
        if record:
            act = Act(str(uuid.uuid4()), named(agent), "HOPERAT", now)
            asyncio.run(_record(settings, draft.read_bytes(), signature.read_text(encoding="ascii"), said, act))
        out.with_name(out.name + ".sig").write_bytes(signature.read_bytes())
        out.write_bytes(draft.read_bytes())
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(said), indent=1).decode())
    else:
        _show(said)
    if not said.passed:
        sys.exit(EXIT_REFUSED)


def _serving(settings: Settings, name: str) -> Path:
    chosen = settings.models
    store = BundleStore(chosen.store, chosen.cache, shelf=chosen.shelf, trusted_keys=chosen.trusted_keys)
    return store.fetch(name, serving(settings, name))[0]


async def _record(settings: Settings, content: bytes, signature: str, said: GateVerdict, act: Act) -> None:
    log = Producer(settings.kafka, client_id="wardstream-challenge")
    try:
        await log.produce(judged(content, signature, said, act))
    finally:
        await log.close()


def _show(said: GateVerdict) -> None:
    table = Table("judged", "on", title=f"{said.model}: {'passed' if said.passed else 'refused'}")
    for name in ("champion", "challenger", "may lose", ""):
        table.add_column(name, justify="right")
    for row in said.judged:
        figures = (f"{value:.4g}" for value in (row.champion, row.challenger, row.allowed))
        table.add_row(row.kind, row.name, *figures, "" if row.passed else "worse", style=None if row.passed else "bold red")
    Console().print(table)
    for reason in said.reasons:
        click.echo(f"refused: {reason}", err=True)
