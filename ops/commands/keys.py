"""``wardstream keys``: the secrets that an installation needs, in files that only the owner can read."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

import click

MASTER_KEY_BYTES = 32


def write_secret(path: Path, content: str) -> None:
    """Create ``path`` with mode 0600; never overwrite: a lost master key makes every token meaningless."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as stream:
        stream.write(content + "\n")


def master_key() -> str:
    """32 random bytes, base64: what ``secrets.master_key_file`` holds."""
    return base64.b64encode(secrets.token_bytes(MASTER_KEY_BYTES)).decode()


@click.group()
def command() -> None:
    """Make the master key, the HTTP token and a model-signing key."""


def _create(path: Path, content: str) -> None:
    try:
        write_secret(path, content)
    except FileExistsError:
        raise click.ClickException("the file exists; nothing was changed") from None


@command.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
def create(path: Path) -> None:
    """Write a new master key to PATH (mode 0600). Keep a copy offline: without it no token can be resolved."""
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
