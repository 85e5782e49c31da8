"""``wardstream reidentify``: who stands behind a token, told to a person and audited."""

from __future__ import annotations

import asyncio
import json
import uuid
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import click

from agents.vault.contract import PatientRecord
from agents.vault.vault import open_vault
from ops.audited import PURPOSES, Act, refused, reidentify
from ops.operators import has_role, named, no_role, require_token
from schemas.errors import Poison
from streams.producer import Producer
from streams.settings import Settings, load

_FIELDS = ("identifiers", "name", "birth-date")


@click.command()
@click.argument("token")
@click.option("--purpose", required=True, type=click.Choice(list(PURPOSES)), help="Why: HL7 v3 PurposeOfUse.")
@click.option("--show", multiple=True, type=click.Choice(_FIELDS), default=("identifiers",), show_default=True)
@click.option("--agent", help="Who asks, where several people share this account.")
@click.option("--json", "as_json", is_flag=True)
def command(token: str, purpose: str, show: tuple[str, ...], agent: str | None, as_json: bool) -> None:
    """Tell who stands behind TOKEN.

    Needs the role operators.reidentify, the keyring, read access to the vault's records, and a --purpose; the entry in ops.audit.recorded.v1 is
    acknowledged before anything is shown. Exit 1: no role, or the token is no patient's, or the patient was erased.
    """
    require_token(token)
    act = Act(str(uuid.uuid4()), named(agent), purpose, datetime.now(UTC))
    try:
        record = asyncio.run(_ask(load(), token, act))
    except Poison as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from None
    if record is None:
        raise no_role("reidentify")
    told = {field: _told(record, field) for field in show}
    click.echo(json.dumps(told) if as_json else "\n".join(f"{field}: {'; '.join(values)}" for field, values in told.items()))


async def _ask(settings: Settings, token: str, act: Act) -> PatientRecord | None:
    async with AsyncExitStack() as opened:
        log = Producer(settings.kafka, client_id="wardstream-reidentify")
        opened.push_async_callback(log.close)
        if not has_role(settings, "reidentify"):
            await refused(log, "reidentify", act, token)
            return None
        vault = await open_vault(settings)
        opened.push_async_callback(vault.close)
        return await reidentify(vault, log, token, act)


def _told(record: PatientRecord, field: str) -> list[str]:
    person = record.person
    if field == "identifiers":
        return [" ".join(part for part in (one.value, one.system, one.type) if part) for one in person.identifiers]
    if field == "name":
        return [" ".join((*name.given, name.family)).strip() or name.text for name in person.names]
    return [person.birth_date] if person.birth_date else []
