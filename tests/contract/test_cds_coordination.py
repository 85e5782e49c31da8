"""PDDI-CDS coordination: what was shown at order-select is left out at order-sign where the client asks for it, and nowhere else."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_cds_orders import PDDI, answered, bundle, call, dosed, ordered, upgraded
from tests.support.cds import AUTHORITY, NUMBER, Site, flag, opened

REMEMBER, LEAVE_OUT = "cache-for-order-sign-filtering", "filter-out-repeated-alerts"
RECORD = {"medications": bundle(ordered("r-1", "Warfarin 5 MG Oral Tablet"))}
WARNING = "warfarin and ibuprofen together: bleeding"
LEFT_OUT = "1 card shown when the order was selected is not repeated"


@pytest.fixture
async def site(redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    async with opened(redis_server, tmp_path, monkeypatch) as made:
        yield made


def asking(hook: str, *drafts: dict[str, Any], option: Any = True, **context: Any) -> dict[str, Any]:
    """The first draft is the selected one; ``context`` replaces fields."""
    body = call(hook, list(drafts), f"MedicationRequest/{drafts[0].get('id')}", **RECORD)
    body["context"] |= context
    name = REMEMBER if hook == "order-select" else LEAVE_OUT
    return body | {"extension": {"pddi-configuration-items": {name: option, "show-evidence-support": True}}}


async def summaries(site: Site, body: dict[str, Any]) -> list[str]:
    return [one["summary"] for one in await answered(site, body)]


IBUPROFEN = ordered("d", "Ibuprofen 400 MG Oral Tablet", status="draft")


async def test_what_was_shown_at_selection_is_left_out_and_counted(site: Site) -> None:
    """Nothing goes in silence: an info card says how many, and takes feedback as any other."""
    assert await summaries(site, asking("order-select", IBUPROFEN)) == [WARNING]
    (card,) = await answered(site, asking("order-sign", IBUPROFEN))
    assert (card["summary"], card["indicator"]) == (LEFT_OUT, "info")
    assert "suggestions" not in card
    assert "overrideReasons" not in card
    answer = await site.post(
        "/cds-services/wardstream-order-sign/feedback", {"feedback": [{"card": card["uuid"], "outcome": "accepted"}]}
    )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("selecting", "signing"),
    [
        ({"option": False}, {}),
        ({"option": "true"}, {}),
        ({}, {"option": False}),
        ({}, {"option": 1}),
        ({}, {"userId": "Practitioner/attending"}),
        ({}, {"encounterId": "e-2"}),
        ({"encounterId": ""}, {}),
    ],
    ids=["not kept", "kept by a word", "not asked", "asked by a number", "another user", "another encounter", "no encounter"],
)
async def test_everything_else_is_shown_again(site: Site, selecting: dict[str, Any], signing: dict[str, Any]) -> None:
    """Not asked for at one of the two, or asked by something else than a boolean; another person, another encounter."""
    assert await summaries(site, asking("order-select", IBUPROFEN, **selecting)) == [WARNING]
    assert await summaries(site, asking("order-sign", IBUPROFEN, **signing)) == [WARNING]


async def test_another_patient_is_another(site: Site) -> None:
    """The same user in the same encounter id, of another patient."""
    await answered(site, asking("order-select", IBUPROFEN))
    body = asking("order-sign", ordered("d", "Ibuprofen 400 MG Oral Tablet", status="draft", patient="p-2"), patientId="p-2")
    body["prefetch"] = {
        "patient": {"resourceType": "Patient", "id": "p-2"},
        "medications": bundle(ordered("r-1", "Warfarin 5 MG Oral Tablet", patient="p-2")),
    }
    assert await summaries(site, body) == [WARNING]


async def test_another_product_another_issue_and_a_changed_dose_are_shown(site: Site) -> None:
    """Only the same words on the same product are a repetition."""
    await answered(site, asking("order-select", IBUPROFEN))
    other = ordered("e", "Ibuprofen 800 MG Oral Tablet", status="draft")
    assert await summaries(site, asking("order-sign", other)) == [WARNING]
    two = [IBUPROFEN, ordered("s", "Simvastatin 20 MG", status="draft"), ordered("t", "Atorvastatin 40 MG", status="draft")]
    found = await summaries(site, asking("order-sign", *two))
    assert sorted(found) == sorted(["atorvastatin and simvastatin are both statins", LEFT_OUT])
    dose = [dosed("k", "Amlodipine", value, "mg") for value in (15, 18)]
    await answered(site, asking("order-select", dose[0]))
    assert LEFT_OUT in await summaries(site, asking("order-sign", dose[0]))
    assert "amlodipine up to 18 mg a day: over the label's maximum of 10 mg" in await summaries(
        site, asking("order-sign", dose[1])
    )


async def test_a_draft_is_known_by_its_product(site: Site) -> None:
    """The EHR may give it another id for the signing, or none."""
    await answered(site, asking("order-select", IBUPROFEN))
    assert await summaries(site, asking("order-sign", IBUPROFEN | {"id": "signed-1"})) == [LEFT_OUT]
    unnamed = {name: value for name, value in IBUPROFEN.items() if name != "id"}
    assert await summaries(site, asking("order-sign", unnamed)) == [LEFT_OUT]


async def test_the_streams_cards_are_left_out_by_their_uuid(site: Site) -> None:
    """A newer flag of the same kind is shown."""
    await site.raised(flag("k", type_="egfr.drop"))

    def named(body: dict[str, Any]) -> dict[str, Any]:
        body["prefetch"]["patient"]["identifier"] = [{"system": AUTHORITY, "value": NUMBER}]
        return body

    assert sorted(await summaries(site, named(asking("order-select", IBUPROFEN)))) == ["Flag k", WARNING]
    assert await summaries(site, named(asking("order-sign", IBUPROFEN))) == [
        "2 cards shown when the order was selected are not repeated"
    ]
    await site.raised(flag("l", type_="egfr.drop"))
    assert "Flag l" in await summaries(site, named(asking("order-sign", IBUPROFEN)))


async def test_what_is_kept_names_nobody_and_ends(site: Site) -> None:
    """A keyed hash of who ordered for whom, digests of cards, gone after a shift."""
    await answered(site, asking("order-select", IBUPROFEN))
    (key,) = [key async for key in site.store.scan_iter(match=f"h:{site.settings.deid.tenant}:o:*")]
    whole = key + repr(await site.store.hgetall(key)).encode()
    assert not any(word in whole for word in (b"COREPRACTITIONER1", b"p-1", b"e-1", b"ibuprofen", b"Ibuprofen"))
    assert 0 < await site.store.ttl(key) <= 12 * 3600


@pytest.mark.skipif(not PDDI.is_dir(), reason="cds_pddi is not there (WARDSTREAM_DATA)")
@pytest.mark.parametrize("coordinated", [True, False])
async def test_the_guides_pair_of_requests(
    redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, coordinated: bool
) -> None:
    """Warfarin and ketorolac, selected and then signed by the same person: repeated where the requests do not ask for coordination."""
    now = datetime.fromisoformat("2020-03-29").replace(tzinfo=UTC).timestamp()
    name = "coordination" if coordinated else "no-coordination"
    async with opened(redis_server, tmp_path, monkeypatch, clock=lambda: now) as site:
        site.door._tokens = None
        first = await answered(site, upgraded(f"warfarin-nsaids-order-select-{name}"))
        signed = upgraded(f"warfarin-nsaids-order-sign-{name}") | {"hookInstance": str(uuid.uuid4())}
        again = [one["summary"] for one in await answered(site, signed)]
    shown = [one["summary"] for one in first]
    assert shown
    assert set(shown).isdisjoint(again) == coordinated
    assert any("not repeated" in one for one in again) == coordinated
