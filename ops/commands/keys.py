"""``wardstream keys``: the secrets that an installation needs: files that only the owner can read, and the keyring in the store."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from agents.vault.rotation import Pass, finish, rotate
from streams.key_encryption.file import master_key
from streams.keyring import Keyring, KeyringStore, keyring_store
from streams.settings import Settings, load

A = TypeVar("A")


def write_secret(path: Path, content: str) -> None:
    """Create ``path`` with mode 0600; never overwrite: a lost master key makes every token meaningless."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as stream:
        stream.write(content + "\n")


@click.group()
def command() -> None:
    """Make the master key, the HTTP token and a model-signing key; make and rotate the keyring."""


def _create(path: Path, content: str) -> None:
    try:
        write_secret(path, content)
    except FileExistsError:
        raise click.ClickException("the file exists; nothing was changed") from None


@command.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
def create(path: Path) -> None:
    """Write a new master key to PATH (mode 0600). Keep a copy offline: without it the keyring cannot be read, and no token resolved."""
    _create(path, master_key())


@command.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
def token(path: Path) -> None:
    """Write a new bearer token for the FHIR door to PATH (mode 0600)."""
    _create(path, secrets.token_urlsafe(32))


@command.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
def models(path: Path) -> None:
    """Write a new model-signing key to PATH (mode 0600) and its public half to PATH.pub, for the folder models.trusted_keys."""
    from models.signature import PUBLIC, new_key_pair

    half = path.with_name(path.name + PUBLIC)
    if half.exists():
        raise click.ClickException("the public half exists already; nothing was changed")
    private, public = new_key_pair()
    _create(path, private.decode().rstrip())
    half.write_text(public, encoding="ascii")


@command.command()
def init() -> None:
    """Make the keyring of a new installation in the store.

    Once, by hand: a store without a keyring is how an emptied or mistaken one is recognised, so nothing makes one by itself. Refused where the
    store has one, or holds rows of the vault.
    """
    ring = _with_keyring(lambda keyring, settings: keyring.create())
    click.echo(f"keyring made: generation {ring.primary}")


@command.command("rotate")
@click.option(
    "--kek",
    is_flag=True,
    help="A new version of the key-encryption key too; with a master key file, copy the file before and after.",
)
@click.option("--resume", is_flag=True, help="Go on with a rotation that was interrupted; no new generation.")
def rotate_keys(kek: bool, resume: bool) -> None:
    """Write everything under a new generation of keys while messages flow; the old generation is destroyed when nothing needs it.

    Tokens, patients' clocks and record keys stay. Exit 1: rows are left that cannot be read, so that old generations were kept.
    """

    async def work(keyring: KeyringStore, settings: Settings) -> tuple[Keyring, Pass]:
        if kek:
            await keyring.rotate_keeper()
        last = Pass()

        def told(done: Pass) -> None:
            nonlocal last
            last = done
            click.echo(f"{done.seen} keys, {done.renewed} renewed, {done.changed_meanwhile} changed meanwhile", err=True)

        tenant = settings.deid.tenant
        if resume:
            ring = await keyring.load()
            # wraps the secrets under the keeper's newest version
            ring = await finish(keyring, tenant, await keyring.replace(ring, ring), told)
        else:
            ring = await rotate(keyring, tenant, told)
        return ring, last

    ring, last = _with_keyring(work)
    click.echo(f"generation {ring.primary} is written with; kept: {', '.join(map(str, ring.generations))}")
    if last.unreadable or not last.clean:
        click.echo(
            f"{last.unreadable} rows cannot be read, {last.changed_meanwhile} kept changing: wardstream keys rotate --resume",
            err=True,
        )
        raise SystemExit(1)


@command.command()
@click.option("--json", "as_json", is_flag=True)
def status(as_json: bool) -> None:
    """Generations of the keyring. Needs the key-encryption key, so that it also says whether that can be used."""

    async def work(keyring: KeyringStore, settings: Settings) -> Keyring:
        return await keyring.load()

    ring = _with_keyring(work)
    told = {"version": ring.version, "primary": ring.primary, "names": ring.names, "generations": list(ring.generations)}
    click.echo(json.dumps(told) if as_json else "\n".join(f"{name}: {value}" for name, value in told.items()))


def _with_keyring(work: Callable[[KeyringStore, Settings], Awaitable[A]]) -> A:
    settings = load()

    async def run() -> A:
        keyring = keyring_store(settings)
        try:
            return await work(keyring, settings)
        finally:
            await keyring.close()

    return asyncio.run(run())
