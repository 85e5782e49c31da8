"""``wardstream erase``: destroy what leads from a token back to its patient."""

from __future__ import annotations

import asyncio
import getpass
import uuid
from datetime import UTC, datetime

import click

from agents.decide.store import RedisContextStore
from agents.vault.contract import Authorities
from agents.vault.vault import open_vault
from ops.audited import Act, erase
from streams.producer import Producer
from streams.settings import Settings, load
from streams.store import connect


@click.command()
@click.argument("token", required=False)
@click.option("--authority", default="", help="Assigning authority of --id (namespace, OID or URI, as messages write it).")
@click.option("--id", "identifier", help="The patient's number, instead of a token; not written anywhere.")
@click.option("--reason", default="PATRQT", show_default=True, help="Goes into the audit entry: PATRQT, HLEGAL, ...")
@click.option("--agent", default=getpass.getuser, show_default="you", help="Who erases.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(token: str | None, authority: str, identifier: str | None, reason: str, agent: str, yes: bool) -> None:
    """Erase the patient behind TOKEN, or behind --authority and --id.

    Record, data key, links and context are destroyed; an erasure event goes to ops.erasure.requested.v1 by token; the audit entry
    stays. Nobody, you included, can undo it. Exit 1: unknown token or number.
    """
    if (token is None) == (identifier is None):
        raise click.UsageError("give a TOKEN, or --id (with --authority)")
    settings = load()
    found = token or asyncio.run(_token_of(settings, authority, identifier or ""))
    if not found:
        click.echo("no patient has this number", err=True)
        raise SystemExit(1)
    if not yes:
        click.confirm(f"Destroy everything that leads from {found} to a patient? This cannot be undone.", abort=True)
    act = Act(str(uuid.uuid4()), agent, reason, datetime.now(UTC))
    known = asyncio.run(_erase(settings, found, act))
    click.echo(f"{found}: {'erased' if known else 'was not known; context dropped and event published all the same'}")
    if not known:
        raise SystemExit(1)


async def _token_of(settings: Settings, authority: str, identifier: str) -> str | None:
    vault = await open_vault(settings)
    try:
        authorities = Authorities(settings.deid.authorities, settings.deid.default_authority)
        return await vault.token_of(authorities.system_of(authority), identifier)
    finally:
        await vault.close()


async def _erase(settings: Settings, token: str, act: Act) -> bool:
    vault, store = await open_vault(settings), connect(settings.redis)
    log = Producer(settings.kafka, client_id="wardstream-erase")
    try:
        return await erase(vault, RedisContextStore(store, prefix=settings.kafka.topic_prefix), log, token, act)
    finally:
        await log.close()
        await store.aclose()
        await vault.close()
