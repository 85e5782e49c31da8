"""``wardstream models``: which models serve, and which shall."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from models.bundle import load_manifest
from models.store import BundleStore, digest_of
from models.verdict import read_verdict
from ops.audited import Act, refused
from ops.loop import releasing
from ops.operators import has_role, named, no_role
from schemas.releases import BundleRef, ModelRelease
from streams.producer import Producer
from streams.releases import released
from streams.settings import Settings, load
from training.label_store.store import LabelStore, Trained

_DRY = click.option("--dry-run", is_flag=True, help="Say what would be released; release nothing.")
_AGENT = click.option("--agent", help="Who releases, where several people share this account.")


@click.group()
def command() -> None:
    """Show, promote and roll back the models that workers serve."""


@command.command("list")
def list_() -> None:
    """What serves, by model name: a release, or the shelf's bundle where nothing was released."""
    settings = load()
    now = released(settings.kafka)
    for name in sorted({*now, *(path.name for path in settings.models.shelf.glob("*") if path.is_dir())}):
        found = now.get(name)
        ref = found.champion if found else releasing.on_shelf(settings.models, name)
        tail = f"  canary {found.canary.bundle.version} {found.canary.share:g}" if found and found.canary else ""
        click.echo(f"{name}  {ref.version}  {ref.digest[:12]}  {'released' if found else 'shelf'}{tail}")


@command.command()
@click.argument("name")
def show(name: str) -> None:
    """The release of model NAME as JSON; on standard error, bundles of it that saw an erased patient. Exit 1 where nothing was released."""
    settings = load()
    found = released(settings.kafka).get(name)
    if found is None:
        raise click.ClickException("nothing was released under this name; workers serve the shelf's bundle")
    click.echo(msgspec.json.format(msgspec.json.encode(found), indent=1).decode())
    for one in _erased(settings, found):
        click.echo(f"saw an erased patient: {one.name} {one.version} {one.bundle[:12]}; train it anew", err=True)


def _erased(settings: Settings, release: ModelRelease) -> list[Trained]:
    """Bundles of the release that learned from labels of patients who were erased since, where a store of labels is set."""
    if not settings.labels.store:
        return []
    trained = LabelStore(settings.labels.store).manifest().trained
    refs = [release.champion] + ([release.canary.bundle] if release.canary else [])
    return [trained[ref.digest] for ref in refs if ref.digest in trained and trained[ref.digest].erased]


@command.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--verdict", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The gate's signed verdict.")
@click.option(
    "--canary",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Serve this share of the patients only, beside the champion.",
)
@click.option("--without-verdict", is_flag=True, help="Release what the gate has not passed. The audit log says so.")
@_DRY
@_AGENT
def promote(
    folder: Path, verdict: Path | None, canary: float | None, without_verdict: bool, dry_run: bool, agent: str | None
) -> None:
    """Put the bundle in FOLDER into the store and have every worker serve it.

    Needs the role operators.release, and a passing verdict of the gate for this very bundle against the one that serves. Exit 3: refused.
    """
    settings = load()
    chosen, act = settings.models, _act(agent)
    manifest = load_manifest(folder, trusted_keys=chosen.trusted_keys)
    ref = BundleRef(manifest.version, digest_of(folder))
    now = released(settings.kafka).get(manifest.name)
    said = read_verdict(verdict, trusted_keys=chosen.trusted_keys) if verdict else None
    made = releasing.planned(
        manifest,
        ref,
        now,
        act,
        serving=now.champion if now else releasing.on_shelf(chosen, manifest.name),
        share=canary,
        verdict=said,
        override=without_verdict,
    )
    _finish(settings, made, act, folder, dry_run=dry_run)


@command.command()
@click.argument("name")
@_DRY
@_AGENT
def rollback(name: str, dry_run: bool, agent: str | None) -> None:
    """Take the last release of model NAME back: its canary, or else its champion. Needs the role operators.release."""
    settings, act = load(), _act(agent)
    made = releasing.rolled_back(released(settings.kafka).get(name), act)
    _finish(settings, made, act, None, dry_run=dry_run)


def _finish(settings: Settings, made: ModelRelease, act: Act, folder: Path | None, *, dry_run: bool) -> None:
    what = f"{made.action} {made.name}: champion {made.champion.version} {made.champion.digest[:12]}"
    if made.canary:
        what += f", canary {made.canary.bundle.version} {made.canary.bundle.digest[:12]} for {made.canary.share:g}"
    if made.overridden:
        what += f" ({made.overridden})"
    if dry_run:
        click.echo(f"would {what}")
        return
    if not asyncio.run(_release(settings, made, act, folder)):
        raise no_role("release")
    click.echo(what)


async def _release(settings: Settings, made: ModelRelease, act: Act, folder: Path | None) -> bool:
    log = Producer(settings.kafka, client_id="wardstream-models")
    try:
        if not has_role(settings, "release"):
            await refused(log, "rollback" if made.action == "rollback" else "promote", act)
            return False
        if folder is not None:
            chosen = settings.models
            BundleStore(chosen.store, chosen.cache, shelf=chosen.shelf, trusted_keys=chosen.trusted_keys).put(folder)
        await releasing.release(log, made, act)
        return True
    finally:
        await log.close()


def _act(agent: str | None) -> Act:
    return Act(str(uuid.uuid4()), named(agent), "HOPERAT", datetime.now(UTC))
