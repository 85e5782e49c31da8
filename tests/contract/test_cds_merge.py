"""Two patients become one: the cards of the retired number follow to the survivor, on a real Redis, a real vault and the real door."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.publish.merge_cards_agent import MergeCardsStage
from agents.publish.release import Releaser
from agents.vault.contract import Vault, VaultRequest
from schemas.audit import AuditEntry
from schemas.envelope import JSON, DataClass, Envelope
from schemas.errors import Reason, StoreUnavailable
from schemas.merges import Merge
from streams import topics
from streams.card_index import CardIndex, forget_cards, move_cards
from streams.record import Record
from streams.stage import Done, Refused
from tests.support.cds import AUTHORITY, NUMBER, Site, flag, opened, request
from tests.support.deid import patient_request
from tests.support.keyring import RING

OLD = "900800700"


class Two:
    """The site's patient and another one, whom a message merges into the first."""

    def __init__(self, site: Site, vault: Vault, stage: MergeCardsStage, retired: str) -> None:
        self.site, self.vault, self.stage, self.retired = site, vault, stage, retired

    async def merged(self) -> None:
        """In the vault, as de-identification does it before it tells the others."""
        one, other = (patient_request(name).patients[0] for name in ("l", "m"))
        await self.vault.resolve([VaultRequest(patients=(one, other), retires=1, fallback="message\x1fM1")])

    async def told(self, *, value: bytes | None = None) -> Any:
        merge = Merge(id="m", time="2026-03-02T10:15:00.000Z", survivor=self.site.token, retired=self.retired, delta_minutes=5)
        headers = Envelope(
            id="m", source="/agents/deidentify", type=topics.BY_NAME[topics.MERGED].event_type, time=merge.time,
            content_type=JSON, data_class=DataClass.INTERNAL, origin="o", subject=self.retired,
        ).headers()  # fmt: skip
        row = Record(
            topics.MERGED, 0, 0, 0, self.retired.encode(), msgspec.json.encode(merge) if value is None else value, headers
        )
        (outcome,) = await self.stage.process([row])
        return outcome

    async def seen(self, number: str) -> list[str]:
        """Summaries of the cards that the door shows for the patient of this number."""
        asked = request()
        asked["prefetch"]["patient"]["identifier"] = [{"system": AUTHORITY, "value": number}]
        answer = await self.site.post("/cds-services/wardstream-patient-view", asked)
        assert answer.status_code == 200, answer.text
        return sorted(one["summary"] for one in answer.json()["cards"])


@pytest.fixture
async def two(redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Two]:
    async with opened(redis_server, tmp_path, monkeypatch) as site:
        (made,) = await site.vault.resolve([patient_request("m", identifiers=[(AUTHORITY, OLD)], family="Quillfeather")])
        stage = MergeCardsStage(site.settings, Releaser(site.settings, site.vault))
        await stage.open()
        yield Two(site, site.vault, stage, made.subject)
        await stage.close()


async def test_without_the_stage_the_survivors_number_shows_nothing_of_the_retired_one(two: Two) -> None:
    """The control: what the other tests see is the stage's doing."""
    await two.site.raised(flag("old"), subject=two.retired)
    await two.merged()
    assert await two.seen(NUMBER) == []
    assert await two.seen(OLD) == ["Flag old"]


async def test_cards_follow_to_the_survivor_once(two: Two) -> None:
    """Under every number of the survivor, old and new; told again, nothing changes; the disclosure is audited by token."""
    await two.site.raised(flag("old"), subject=two.retired)
    await two.site.raised(flag("own"))
    await two.merged()
    outcome = await two.told()
    assert await two.seen(NUMBER) == await two.seen(OLD) == ["Flag old", "Flag own"]
    assert await two.told() == outcome
    assert await two.seen(NUMBER) == await two.seen(OLD) == ["Flag old", "Flag own"]
    assert isinstance(outcome, Done)
    (output,) = outcome.outputs
    entry = msgspec.json.decode(output.value or b"", type=AuditEntry)
    assert (output.topic, entry.recipient, entry.subject) == (topics.AUDIT, "cds-hooks", two.retired)


async def test_a_later_flag_of_the_survivor_replaces_or_ends_what_came_along(two: Two) -> None:
    """The same thing has the same place under either token."""
    first = msgspec.structs.replace(flag("k"), suppress_key=f"aki.kdigo|{two.retired}|")
    await two.site.raised(first, subject=two.retired)
    await two.merged()
    await two.told()
    later = {"id": str(uuid.uuid4()), "suppress_key": f"aki.kdigo|{two.site.token}|", "summary": "Newer"}
    await two.site.raised(msgspec.structs.replace(first, **later))
    assert await two.seen(NUMBER) == await two.seen(OLD) == ["Newer"]
    await two.site.raised(msgspec.structs.replace(first, **later | {"id": str(uuid.uuid4())}, withdrawn=True))
    assert await two.seen(NUMBER) == await two.seen(OLD) == []


async def test_of_two_cards_on_one_thing_the_newer_stays(two: Two) -> None:
    """Whichever token it was raised under."""
    for name, retired_time, own_time, expected in (
        ("a", "2026-11-01T00:00:00.000Z", "2026-11-02T00:00:00.000Z", "own"),
        ("b", "2026-11-02T00:00:00.000Z", "2026-11-01T00:00:00.000Z", "old"),
    ):
        for token, time_, summary in ((two.retired, retired_time, "old"), (two.site.token, own_time, "own")):
            one = msgspec.structs.replace(
                flag(f"{name}{summary}"), suppress_key=f"t|{token}|{name}", summary=f"{name}:{expected == summary}"
            )
            await two.site.raised(one, subject=token, time_=time_)
    await two.merged()
    await two.told()
    index = CardIndex(RING, two.site.settings.deid)
    for number in (NUMBER, OLD):
        found = [
            msgspec.json.decode(card)["card"]["summary"] for card in await two.site.store.hvals(index.row(AUTHORITY, number))
        ]
        assert sorted(found) == ["a:True", "b:True"]


async def test_a_flag_that_was_on_its_way_goes_to_the_survivor(two: Two) -> None:
    """The retired token's decision is read after the merge: its card lies under the survivor's numbers, and an erasure reaches it."""
    await two.merged()
    await two.told()
    await two.site.raised(flag("late"), subject=two.retired)
    assert await two.seen(NUMBER) == await two.seen(OLD) == ["Flag late"]
    await forget_cards(two.site.store, two.site.settings.deid.tenant, [two.site.token])
    assert await two.seen(NUMBER) == await two.seen(OLD) == []


async def test_cards_of_nobody_go(two: Two) -> None:
    """The survivor was erased meanwhile: nothing of either is left."""
    await two.site.raised(flag("old"), subject=two.retired)
    await two.merged()
    await two.vault.erase(two.site.token)
    assert await two.told() == Done()
    assert await two.seen(OLD) == await two.seen(NUMBER) == []


async def test_a_record_that_is_no_merge_is_refused(two: Two) -> None:
    """With the field that is wrong, and nothing is touched."""
    await two.site.raised(flag("old"), subject=two.retired)
    for value, path in (
        (b"{}", "value"),
        (b'{"schema":"merge.v1","id":"m","time":"t","survivor":"x","retired":"x","delta_minutes":0}', "retired"),
    ):
        outcome = await two.told(value=value)
        assert isinstance(outcome, Refused)
        assert (outcome.error.reason, outcome.error.path) == (Reason.SCHEMA_MISMATCH, path)
    assert await two.seen(OLD) == ["Flag old"]


async def test_a_move_that_somebody_disturbs_is_made_again(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card written between reading and writing is not lost; who disturbs it every time holds the record up."""
    await two.site.raised(flag("old"), subject=two.retired)
    await two.merged()
    index, tenant = CardIndex(RING, two.site.settings.deid), two.site.settings.deid.tenant
    rows = [index.row(AUTHORITY, number) for number in (NUMBER, OLD)]
    disturbed = 0
    plain = two.site.store.pipeline

    def pipeline(*arguments: Any, **named: Any) -> Any:
        made = plain(*arguments, **named)
        read = made.hgetall

        async def hgetall(name: str) -> Any:
            nonlocal disturbed
            found = await read(name)
            if disturbed:
                disturbed -= 1
                await two.site.raised(flag(f"meanwhile{disturbed}"))
            return found

        made.hgetall = hgetall
        return made

    monkeypatch.setattr(two.site.store, "pipeline", pipeline)
    disturbed = 1
    await move_cards(two.site.store, tenant, two.retired, two.site.token, rows, 60)
    assert await two.seen(NUMBER) == ["Flag meanwhile0", "Flag old"]
    disturbed = 1000
    with pytest.raises(StoreUnavailable):
        await move_cards(two.site.store, tenant, two.retired, two.site.token, rows, 60)
