"""``wardstream decrypt``: what the method ``encrypt`` of a rule file wrote, in clear again; audited."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from datetime import UTC, datetime

import click

from agents.deidentify.cipher import ValueCipher
from ops.audited import PURPOSES, Act, decrypt, refused
from ops.operators import has_role, named, no_role
from schemas.errors import Poison
from streams.keyring import read_keyring
from streams.producer import Producer
from streams.settings import Settings, load


@click.command()
@click.argument("values", nargs=-1)
@click.option("--purpose", required=True, type=click.Choice(list(PURPOSES)), help="Why: HL7 v3 PurposeOfUse.")
@click.option("--agent", help="Who asks, where several people share this account.")
def command(values: tuple[str, ...], purpose: str, agent: str | None) -> None:
    """Tell what encrypted VALUES (enc1...., or one a line on standard input) stand for.

    Needs the role operators.decrypt, the keyring, and a --purpose. An entry in ops.audit.recorded.v1 for each value, by its SHA-256, is
    acknowledged before anything is shown. Exit 1: a value was not written by this installation; it is shown as an empty line.
    """
    wanted = values or tuple(line.strip() for line in click.get_text_stream("stdin") if line.strip())
    act = Act(str(uuid.uuid4()), named(agent), purpose, datetime.now(UTC))
    told = asyncio.run(_ask(load(), wanted, act))
    if told is None:
        raise no_role("decrypt")
    for text in told:
        click.echo(text or "")
    if None in told:
        raise SystemExit(1)


async def _ask(settings: Settings, values: tuple[str, ...], act: Act) -> list[str | None] | None:
    log = Producer(settings.kafka, client_id="wardstream-decrypt")
    try:
        if not has_role(settings, "decrypt"):
            await refused(log, "decrypt", act)
            return None
        cipher = ValueCipher(await read_keyring(settings), settings.deid.tenant)
        return [await _told(cipher, log, value, act) for value in values]
    finally:
        await log.close()


async def _told(cipher: ValueCipher, log: Producer, value: str, act: Act) -> str | None:
    try:
        return await decrypt(cipher.decrypt, log, value, hashlib.sha256(value.encode()).hexdigest(), act)
    except Poison:
        return None
