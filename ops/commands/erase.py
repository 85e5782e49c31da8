"""``wardstream erase``: destroy what leads from a token back to its patient."""

from __future__ import annotations

import asyncio
import sys
import uuid
from datetime import UTC, datetime

import click

from agents.decide.store import RedisContextStore
from agents.feedback.agent import feedback_store
from agents.vault.contract import Authorities
from agents.vault.vault import open_vault
from ops.audited import Act, KeptInLog, audit_entry, erase, refused
from ops.operators import has_role, named, no_role, require_token
from streams.card_index import forget_cards
from streams.producer import Producer
from streams.settings import Settings, load
from streams.store import connect
from training.label_store.store import Erased, LabelStore


@click.command()
@click.argument("token", required=False)
@click.option(
    "--authority", help="Instead of a token: assigning authority (namespace, OID, URI) of a number that is then asked for."
)
@click.option("--reason", default="PATRQT", show_default=True, help="Goes into the audit entry: PATRQT, HLEGAL, ...")
@click.option("--agent", help="Who erases, where several people share this account.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(token: str | None, authority: str | None, reason: str, agent: str | None, yes: bool) -> None:
    """Erase the patient behind TOKEN, or behind a number of --authority ("" for numbers without one).

    The number is asked for, or read from the first line of standard input, so that no process list and no history holds it. Record, data key,
    links, context, samples and labels are destroyed, in the topics and in the store of labels; models that learned from them are named and marked
    there; an erasure event goes to ops.erasure.requested.v1 by token; the audit entry stays.
    Nobody, you included, can undo it. Needs the role operators.erase. Exit 1: no role, or unknown token or number.
    """
    if (token is None) == (authority is None):
        raise click.UsageError("give a TOKEN, or --authority and then the number")
    if token is not None:
        require_token(token)
    settings = load()
    act = Act(str(uuid.uuid4()), named(agent), reason, datetime.now(UTC))
    if not has_role(settings, "erase"):
        asyncio.run(_refuse(settings, token or "", act))
        raise no_role("erase")
    found = token or asyncio.run(_token_of(settings, authority or "", _number()))
    if not found:
        click.echo("no patient has this number", err=True)
        raise SystemExit(1)
    if not yes:
        click.confirm(f"Destroy everything that leads from {found} to a patient? This cannot be undone.", abort=True)
    kept = _labels(settings)
    known, taken = asyncio.run(_erase(settings, found, act, kept))
    if taken is not None:
        click.echo(f"{taken.samples} samples and {taken.labels} labels taken out of the store")
        for one in taken.models:
            click.echo(f"saw the patient's labels: {one.name} {one.version} {one.bundle[:12]} ({one.labels} labels in all)")
    click.echo(f"{found}: {'erased' if known else 'was not known; context dropped and event published all the same'}")
    if not known:
        raise SystemExit(1)


def _number() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("number", hide_input=True)).strip()
    return sys.stdin.readline().strip()


async def _refuse(settings: Settings, token: str, act: Act) -> None:
    log = Producer(settings.kafka, client_id="wardstream-erase")
    try:
        await refused(log, "erase", act, token)
    finally:
        await log.close()


async def _token_of(settings: Settings, authority: str, identifier: str) -> str | None:
    vault = await open_vault(settings)
    try:
        authorities = Authorities(settings.deid.authorities, settings.deid.default_authority)
        return await vault.token_of(authorities.system_of(authority), identifier)
    finally:
        await vault.close()


def _labels(settings: Settings) -> LabelStore | None:
    """The store of labels, where one is set; asked for its manifest first, so that nothing is destroyed while it cannot be reached."""
    if not settings.labels.store:
        return None
    found = LabelStore(settings.labels.store)
    found.manifest()
    return found


async def _erase(settings: Settings, token: str, act: Act, kept: LabelStore | None) -> tuple[bool, Erased | None]:
    vault, store = await open_vault(settings), connect(settings.redis)
    log = Producer(settings.kafka, client_id="wardstream-erase")
    try:
        contexts = RedisContextStore(store, prefix=settings.kafka.topic_prefix)
        tokens = await vault.tokens(token) or (token,)
        known = await erase(vault, contexts, KeptInLog(settings.kafka), log, token, act)
        await forget_cards(store, settings.deid.tenant, tokens)
        notes = feedback_store(settings, store)
        for each in tokens:
            await notes.forget(each)
        taken = await asyncio.to_thread(kept.erase, tokens, act.now) if kept is not None else None
        for one in taken.models if taken is not None else ():
            await log.produce(audit_entry(act, "erase", "success", record=one.bundle))
        return known, taken
    finally:
        await log.close()
        await store.aclose()
        await vault.close()
