"""Say which model serves: audited first, then one record on ``ops.model.released.v1``."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec

from models.bundle import Manifest, shelf_bundle
from models.store import digest_of
from ops.audited import Act, Log, audit_entry, output_of
from schemas.errors import ConfigurationError
from schemas.ids import derived_id
from schemas.releases import BundleRef, Canary, ModelRelease
from schemas.verdicts import GateVerdict
from streams import topics
from streams.record import Output
from streams.releases import released
from streams.settings import Models, Settings

OVERRIDE: Final = "released without a passing verdict"


#: Header of a verdict's record: the line of its ``.sig`` file, so that who reads the topic can check it as a promotion does.
SIGNATURE: Final = "verdict-signature"


def on_shelf(chosen: Models, name: str) -> BundleRef:
    """What serves where nothing was released. Raises ConfigurationError when the shelf has no such bundle."""
    folder = shelf_bundle(name, chosen.shelf)
    return BundleRef(folder.name, digest_of(folder))


def serving(settings: Settings, name: str) -> BundleRef:
    """The champion of ``name`` as released, or the shelf's. Raises ConfigurationError, BrokerUnavailable."""
    now = released(settings.kafka).get(name)
    return now.champion if now else on_shelf(settings.models, name)


def judged(content: bytes, signature: str, said: GateVerdict, act: Act) -> Output:
    """The record of a verdict: the very bytes that were signed, keyed by the challenger."""
    name = derived_id(act.id, "verdict", ordinal=said.challenger)
    made = output_of(topics.JUDGED, act, name, "", content, key=said.challenger.encode())
    return replace(made, headers=(*made.headers, (SIGNATURE, signature.strip().encode("ascii"))))


def planned(
    manifest: Manifest,
    ref: BundleRef,
    now: ModelRelease | None,
    act: Act,
    *,
    serving: BundleRef,
    share: float | None = None,
    verdict: tuple[GateVerdict, str] | None = None,
    override: bool = False,
) -> ModelRelease:
    """The release that makes ``ref`` champion, or with ``share`` canary beside what serves.

    Args:
        now: what is released now; ``serving``: what serves where nothing was released, the shelf's.
        verdict: the gate's, and its SHA-256.

    Raises:
        ConfigurationError: no verdict, one of another bundle or model, one against another champion, or one that failed; and no override.
    """
    champion = now.champion if now else serving
    lack = _lack(manifest, ref, champion, verdict)
    if lack and not override:
        raise ConfigurationError(path="verdict", detail=lack)
    before = now.previous if now else None
    return ModelRelease(
        id=derived_id(act.id, "release", ordinal=manifest.name),
        name=manifest.name,
        action="promote" if share is None else "canary",
        champion=ref if share is None else champion,
        canary=None if share is None else Canary(bundle=ref, share=share),
        previous=champion if share is None and champion != ref else before,
        time=act.time,
        agent=act.agent,
        verdict=verdict[1] if verdict and not lack else "",
        overridden=OVERRIDE if lack else "",
    )


def rolled_back(now: ModelRelease | None, act: Act) -> ModelRelease:
    """The release that takes the last one back: a canary goes, else the champion before this one returns.

    Raises:
        ConfigurationError: there is nothing to go back to.
    """
    if now is None or (now.canary is None and now.previous is None):
        raise ConfigurationError(path="rollback", detail="there is nothing to go back to")
    champion = now.champion if now.canary is not None else now.previous
    assert champion is not None
    previous = now.previous if now.canary is not None else None
    name = derived_id(act.id, "release", ordinal=now.name)
    return ModelRelease(
        id=name, name=now.name, action="rollback", champion=champion, previous=previous, time=act.time, agent=act.agent
    )


async def release(log: Log, made: ModelRelease, act: Act) -> None:
    """Raises BrokerUnavailable: nothing was released, or audited and not released; repeat it."""
    what = made.canary.bundle.digest if made.canary else made.champion.digest
    record = f"{what}{' override' if made.overridden else ''}"
    await log.produce(audit_entry(act, "rollback" if made.action == "rollback" else "promote", "success", record=record))
    value = msgspec.json.encode(made, order="deterministic")
    await log.produce(output_of(topics.MODEL, act, made.id, "", value, key=made.name.encode()))


def _lack(manifest: Manifest, ref: BundleRef, champion: BundleRef, verdict: tuple[GateVerdict, str] | None) -> str:
    if verdict is None:
        return "the gate's verdict is missing"
    said = verdict[0]
    if said.challenger != ref.digest or said.model != manifest.name:
        return "the verdict is of another bundle"
    if said.champion != champion.digest:
        return "the verdict is against another champion than the one that serves"
    return "" if said.passed else "the gate refused this bundle"
