"""Draft orders judged while they are drafted: on the call's own data, beside what the stream computed; the PDDI-CDS requests; FHIR reads of listed servers alone."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from schemas.cards import DraftCheck
from tests.support.cds import AUTHORITY, CHECKER, NUMBER, Site, flag, opened

ROOT = Path(__file__).resolve().parents[2]
PDDI = Path(os.environ.get("WARDSTREAM_DATA", ROOT.parent / "shared" / "data")) / "cds_pddi" / "input" / "images" / "requests"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


@pytest.fixture
async def site(redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    async with opened(redis_server, tmp_path, monkeypatch) as made:
        yield made


def ordered(name: str, text: str, *, status: str = "active", patient: str = "p-1") -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest", "id": name, "status": status, "intent": "order", "subject": {"reference": f"Patient/{patient}"},
        "authoredOn": "2024-02-05", "medicationCodeableConcept": {"text": text},
    }  # fmt: skip


def bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in resources]}


def call(hook: str, drafts: list[dict[str, Any]], *selected: str, **prefetch: Any) -> dict[str, Any]:
    """In the shape that the CDS Hooks sandbox sends."""
    context: dict[str, Any] = {
        "userId": "Practitioner/COREPRACTITIONER1", "patientId": "p-1", "encounterId": "e-1", "draftOrders": bundle(*drafts),
    }  # fmt: skip
    if hook == "order-select":
        context["selections"] = list(selected)
    patient = {"resourceType": "Patient", "id": "p-1", "gender": "female", "birthDate": "1971-04-05"}
    return {
        "hook": hook, "hookInstance": str(uuid.uuid4()), "fhirServer": "https://launch.smarthealthit.org/v/r2/fhir", "context": context,
        "prefetch": {"patient": patient} | prefetch,
    }  # fmt: skip


async def answered(site: Site, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await site.post(f"/cds-services/wardstream-{body['hook']}", body)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["cards"]
    return found


async def test_a_draft_against_a_medication_of_the_record(site: Site) -> None:
    """A card before anything is signed, with the suggestion to take the draft away; the same call gives the same card."""
    body = call("order-sign", [ordered("draft-1", "Ibuprofen 400 MG Oral Tablet", status="draft")],
                medications=bundle(ordered("r-1", "Warfarin 5 MG Oral Tablet")))  # fmt: skip
    (card,) = await answered(site, body)
    assert card["indicator"] == "warning"
    assert card["summary"] == "warfarin and ibuprofen together: bleeding"
    assert card["selectionBehavior"] == "at-most-one"
    (suggestion,) = card["suggestions"]
    assert [(one["type"], one["resourceId"]) for one in suggestion["actions"]] == [("delete", "MedicationRequest/draft-1")]
    assert "isRecommended" not in suggestion
    assert card["overrideReasons"]
    again = await answered(site, body | {"hookInstance": str(uuid.uuid4())})
    assert again == [card]


@pytest.mark.parametrize(
    ("drafts", "prefetch", "summary"),
    [
        ([ordered("d", "Amoxicillin 500 MG", status="draft")],
         {"allergies": bundle({"resourceType": "AllergyIntolerance", "id": "a", "patient": {"reference": "Patient/p-1"}, "code": {"text": "Penicillin"}})},
         "amoxicillin is given and an allergy to its class (penicillins) is recorded"),
        ([ordered("d", "Propranolol 40 MG", status="draft")],
         {"conditions": bundle({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p-1"}, "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "J45.909"}]}})},
         "propranolol (non-selective beta blocker) is given and asthma is stated"),
        ([ordered("d", "Simvastatin 20 MG", status="draft")], {"medications": bundle(ordered("r", "Atorvastatin 40 MG"))},
         "atorvastatin and simvastatin are both statins"),
        ([ordered("d", "Warfarin 5 MG", status="draft"), ordered("e", "Naproxen 500 MG", status="draft")], {},
         "warfarin and naproxen together: bleeding"),
    ],
    ids=["allergy", "contraindication", "duplicate", "two drafts"],
)  # fmt: skip
async def test_what_a_draft_is_judged_by(site: Site, drafts: list[Any], prefetch: dict[str, Any], summary: str) -> None:
    """Allergies, problems, current medications, other drafts."""
    cards = await answered(site, call("order-sign", drafts, **prefetch))
    assert [one["summary"] for one in cards] == [summary]


async def test_only_what_is_selected_is_judged(site: Site) -> None:
    """order-select: the new draft beside the older one; an issue between older drafts is not told again."""
    drafts = [
        ordered(name, text, status="draft")
        for name, text in (("a", "Warfarin 5 MG"), ("b", "Naproxen 500 MG"), ("c", "Metformin 500 MG"))
    ]
    assert await answered(site, call("order-select", drafts, "MedicationRequest/c")) == []
    (card,) = await answered(site, call("order-select", drafts, "MedicationRequest/b"))
    assert [one["actions"][0]["resourceId"] for one in card["suggestions"]] == ["MedicationRequest/b"]


async def test_drafts_without_an_id_are_told_apart(site: Site) -> None:
    """An EHR may not have named them yet: each is judged, and there is nothing to suggest their removal by."""
    drafts = [
        {k: v for k, v in ordered("x", text, status="draft").items() if k != "id"}
        for text in ("Warfarin 5 MG", "Naproxen 500 MG")
    ]
    (card,) = await answered(site, call("order-sign", drafts))
    assert card["summary"] == "warfarin and naproxen together: bleeding"
    assert "suggestions" not in card
    assert "selectionBehavior" not in card


async def test_a_record_without_issue_gives_no_card(site: Site) -> None:
    """An issue that the record has without the draft is not the draft's."""
    record = bundle(ordered("r", "Warfarin 5 MG"), ordered("s", "Naproxen 500 MG"))
    assert await answered(site, call("order-sign", [ordered("d", "Metformin 500 MG", status="draft")], medications=record)) == []


async def test_the_streams_cards_stand_beside_and_are_not_said_twice(site: Site) -> None:
    """By the Patient's identifier, as ever."""
    summary = "warfarin and ibuprofen together: bleeding"
    await site.raised(flag("k", type_="egfr.drop"))
    await site.raised(msgspec.structs.replace(flag("d", type_="drug.interaction"), summary=summary))
    body = call(
        "order-sign", [ordered("d", "Ibuprofen 400 MG", status="draft")], medications=bundle(ordered("r", "Warfarin 5 MG"))
    )
    body["prefetch"]["patient"]["identifier"] = [{"system": AUTHORITY, "value": NUMBER}]
    cards = await answered(site, body)
    assert sorted(one["summary"] for one in cards) == ["Flag k", summary]
    assert all(one.get("suggestions") for one in cards if one["summary"] == summary)


async def test_feedback_on_a_suggestion_becomes_a_label_of_its_type(site: Site) -> None:
    """Accepted: the draft was taken away."""
    body = call(
        "order-sign", [ordered("d", "Ibuprofen 400 MG", status="draft")], medications=bundle(ordered("r", "Warfarin 5 MG"))
    )
    (card,) = await answered(site, body)
    row = {"card": card["uuid"], "outcome": "accepted", "acceptedSuggestions": [{"id": card["suggestions"][0]["uuid"]}]}
    assert (await site.post("/cds-services/wardstream-order-sign/feedback", {"feedback": [row]})).status_code == 200
    assert json.loads(site.produced[0].value or b"")["type"] == "drug.interaction"


async def test_nothing_of_a_call_is_kept(site: Site) -> None:
    """Beside the card's uuid and type, the store holds nothing of what the EHR sent."""
    before = {key async for key in site.store.scan_iter(match=f"h:{site.settings.deid.tenant}:*")}
    await answered(
        site,
        call("order-sign", [ordered("d", "Ibuprofen 400 MG", status="draft")], medications=bundle(ordered("r", "Warfarin 5 MG"))),
    )
    new = [key async for key in site.store.scan_iter(match=f"h:{site.settings.deid.tenant}:*") if key not in before]
    values = [await site.store.hvals(key) for key in new if b":s:" in key]
    assert values == [[b"drug.interaction"]]
    assert all(b":s:" in key or b":j:" in key for key in new)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"medications": bundle(ordered("r", "Warfarin 5 MG", patient="p-2"))}, 412),
        ({"x": {"resourceType": "Patient", "id": "p-2"}}, 412),
    ],
)
async def test_another_patients_record_is_refused(site: Site, change: dict[str, Any], status: int) -> None:
    """Two patients in one call is an error of the EHR, never to be guessed over."""
    body = call("order-sign", [ordered("d", "Ibuprofen", status="draft")], **change)
    assert (await site.post("/cds-services/wardstream-order-sign", body)).status_code == status


async def test_another_patients_draft_is_refused(site: Site) -> None:
    """400: the call contradicts itself."""
    body = call("order-sign", [ordered("d", "Ibuprofen", status="draft", patient="p-2")])
    assert (await site.post("/cds-services/wardstream-order-sign", body)).status_code == 400


async def test_with_nothing_to_judge_by_there_is_no_empty_answer(site: Site) -> None:
    """412: no record, one draft, no number of the patient. "No cards" would be read as "no issue"."""
    body = call("order-sign", [ordered("d", "Ibuprofen", status="draft")])
    assert (await site.post("/cds-services/wardstream-order-sign", body)).status_code == 412


@pytest.mark.parametrize(
    "junk",
    [None, 3, "x", [], {}, {"resourceType": "Bundle", "entry": 4}, {"resourceType": "MedicationRequest", "id": 7, "status": []}],
)
async def test_junk_in_the_prefetch_gives_an_answer(site: Site, junk: Any) -> None:
    """What cannot be read says nothing; the rest is judged."""
    body = call(
        "order-sign", [ordered("d", "Ibuprofen", status="draft")], medications=bundle(ordered("r", "Warfarin 5 MG")), junk=junk
    )
    assert len(await answered(site, body)) == 1


class Ehr:
    """A FHIR server that answers searches; ``asked``: paths with their tokens."""

    def __init__(self, answers: dict[str, Any], delay: float = 0.0, status: int = 200) -> None:
        self.answers, self.delay, self.status = answers, delay, status
        self.asked: list[tuple[str, str]] = []

    async def _any(self, request: Request) -> Response:
        self.asked.append(
            (request.url.path + ("?" + request.url.query if request.url.query else ""), request.headers.get("authorization", ""))
        )
        await asyncio.sleep(self.delay)
        kind = request.url.path.split("/")[2]
        return JSONResponse(self.answers.get(kind, bundle()), self.status)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        app = Starlette(routes=[Route("/{path:path}", self._any)])
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off"))
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/fhir"
        server.should_exit = True
        await task


def reading(base: str, **authorization: Any) -> dict[str, Any]:
    body = call("order-sign", [ordered("d", "Ibuprofen 400 MG", status="draft")])
    given = {"access_token": "opaque", "token_type": "Bearer"} | authorization
    return body | {"fhirServer": base, "fhirAuthorization": given}


async def test_what_the_prefetch_lacks_is_read_from_a_listed_server(
    redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the call's own token, only the keys that are missing; a card as from a prefetch."""
    ehr = Ehr({"MedicationRequest": bundle(ordered("r", "Warfarin 5 MG"))})
    async with ehr.running() as base, opened(redis_server, tmp_path, monkeypatch, fhir_servers=(base,)) as site:
        (card,) = await answered(site, reading(base + "/"))
        assert "bleeding" in card["summary"]
        assert {token for _, token in ehr.asked} == {"Bearer opaque"}
        assert "/fhir/MedicationRequest?patient=p-1&status=active" in {path for path, _ in ehr.asked}
        assert not any("/fhir/Patient/" in path for path, _ in ehr.asked)


async def test_a_server_that_is_not_listed_is_never_read(
    redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the call says; neither is a listed one without a token, nor with an id that would leave its place in the path."""
    ehr = Ehr({"MedicationRequest": bundle(ordered("r", "Warfarin 5 MG"))})
    async with ehr.running() as base, opened(redis_server, tmp_path, monkeypatch, fhir_servers=(base,)) as site:
        for server in (
            base + "/x",
            base.replace("127.0.0.1", "localhost"),
            base + "@evil.example",
            "https://evil.example/fhir",
            7,
        ):
            assert (
                await site.post("/cds-services/wardstream-order-sign", reading(base) | {"fhirServer": server})
            ).status_code == 412
        assert (await site.post("/cds-services/wardstream-order-sign", reading(base, access_token=""))).status_code == 412
        body = reading(base)
        body["context"]["patientId"] = "p-1/../../admin"
        body["prefetch"] = {}
        body["context"]["draftOrders"] = bundle()
        assert (await site.post("/cds-services/wardstream-order-sign", body)).status_code == 400
        assert ehr.asked == []


@pytest.mark.parametrize(("delay", "status"), [(2.0, 200), (0.0, 500), (0.0, 302)])
async def test_a_server_that_does_not_answer_is_412(
    redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delay: float, status: int
) -> None:
    """Late, broken, elsewhere: the specification's answer is that the data could not be had."""
    ehr = Ehr({}, delay, status)
    async with ehr.running() as base, opened(redis_server, tmp_path, monkeypatch, fhir_servers=(base,)) as site:
        site.door._reader._timeout_s = 0.2  # type: ignore[union-attr]
        answer = await site.post("/cds-services/wardstream-order-sign", reading(base))
        assert answer.status_code == 412


EXPECTED = {
    "warfarin-nsaids-order-select-coordination": ("critical", "a risk factor is recorded"),
    "warfarin-nsaids-order-select-no-coordination": ("critical", "a risk factor is recorded"),
    "warfarin-nsaids-order-sign-coordination": ("critical", "a risk factor is recorded"),
    "warfarin-nsaids-order-sign-no-coordination": ("critical", "a risk factor is recorded"),
    "multi-update-draft-orders-1": ("critical", "a risk factor is recorded"),
    "multi-update-draft-orders-3": ("critical", "a risk factor is recorded"),
    "digoxin-cyclosporine-order-select-coordination": ("info", "level low"),
    "digoxin-cyclosporine-order-select-no-coordination": ("info", "level low"),
    "digoxin-cyclosporine-order-sign-coordination": ("info", "level low"),
    "digoxin-cyclosporine-order-sign-no-coordination": ("info", "level low"),
    "multi-update-draft-orders-2": ("info", "level low"),
    "multi-update-draft-orders-4": ("info", "level low"),
    "request-digoxin-cyclosporine-scenario-01": ("warning", "digoxin toxicity"),
    "request-digoxin-cyclosporine-scenario-02": ("warning", "digoxin toxicity"),
    "request-warfarin-nsaid-scenario-01": ("info", "topical diclofenac"),
    "request-warfarin-nsaid-scenario-02": ("warning", "gastroprotection is given"),
}


def upgraded(name: str) -> dict[str, Any]:
    """A PDDI-CDS request in the shape of CDS Hooks 2.0: the retired hook, a user in the context, ids that agree with each other."""
    text = (PDDI / f"{name}.json").read_text("utf-8").replace("\u200b", "").replace("Patient/patient-", "Patient/")
    body: dict[str, Any] = json.loads(text)
    context = body["context"]
    context.setdefault("userId", body.get("user", "Practitioner/example"))
    context["patientId"] = context["patientId"].removeprefix("Patient/")
    if body["hook"] == "medication-prescribe":
        body["hook"] = "order-sign"
        context["draftOrders"] = context.pop("medications")
        body["prefetch"] = context.pop("prefetch", body.get("prefetch", {})) | {
            k: context.pop(k) for k in list(context) if k.startswith("item")
        }
    return body | {"hookInstance": str(uuid.uuid4())}


@pytest.mark.skipif(not PDDI.is_dir(), reason="cds_pddi is not there (WARDSTREAM_DATA)")
@pytest.mark.parametrize("name", sorted(EXPECTED))
async def test_the_requests_of_the_pddi_guide(
    name: str, redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HL7 PDDI-CDS: each of its 16 requests gives the answer of its artefact for the context that the request holds."""
    moments = {"multi-update-draft-orders-2": "2020-04-29", "multi-update-draft-orders-4": "2020-04-29"}
    now = datetime.fromisoformat(moments.get(name, "2020-03-29")).replace(tzinfo=UTC).timestamp()
    async with opened(redis_server, tmp_path, monkeypatch, clock=lambda: now) as site:
        site.door._tokens = None  # tokens are of now, results of the guide's day
        cards = await answered(site, upgraded(name))
    severity, words = EXPECTED[name]
    found = [(one["indicator"], one["summary"]) for one in cards if words in one["summary"]]
    assert [indicator for indicator, _ in found] == [severity], [one["summary"] for one in cards]


def test_every_request_of_the_guide_is_expected() -> None:
    if PDDI.is_dir():
        assert {file.stem for file in PDDI.glob("*.json")} == set(EXPECTED)


def test_an_age_is_at_least_what_the_birth_date_says() -> None:
    """A bare year gives the least age: 65 is not over 65."""

    def summary(born: str) -> str:
        record = (ordered("r", "Warfarin 5 MG"),)
        asked = DraftCheck(record=record, drafts=(), chosen=(ordered("d", "Ibuprofen 400 MG"),), birth_date=born)
        (found,) = CHECKER.check(asked, datetime(2026, 7, 1, tzinfo=UTC))
        return found.card.indicator

    assert [summary(born) for born in ("1960", "1960-07-01", "1960-06-30", "1959-07-02", "1959", "", "junk")] == [
        "warning", "critical", "critical", "critical", "critical", "warning", "warning",
    ]  # fmt: skip


async def test_the_sandbox_calls_from_its_page(redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of the listed origin may ask (CORS); its calls carry a Patient without a number of ours and get an answer; another origin may not."""
    page = "https://sandbox.cds-hooks.org"
    async with opened(redis_server, tmp_path, monkeypatch, origins=(page,), authority=AUTHORITY) as site:
        transport = httpx.ASGITransport(site.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://cds") as client:
            path = "/cds-services/wardstream-patient-view"
            asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
            preflight = await client.options(path, headers={"origin": page} | asks)
            assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, page)
            assert (await client.options(path, headers={"origin": "https://evil.example"} | asks)).status_code == 400
            body = {
                "hookInstance": str(uuid.uuid4()), "hook": "patient-view", "fhirServer": "https://launch.smarthealthit.org/v/r2/fhir",
                "context": {"patientId": "smart-1288992", "userId": "Practitioner/COREPRACTITIONER1"},
                "prefetch": {"patient": {"resourceType": "Patient", "id": "smart-1288992", "name": [{"family": "Doe"}], "active": True}},
            }  # fmt: skip
            answer = await client.post(path, json=body, headers={"origin": page} | site.bearer(path))
            assert (answer.status_code, answer.json()) == (200, {"cards": []})
            assert answer.headers["access-control-allow-origin"] == page


def dosed(name: str, text: str, value: Any, unit: str = "", **repeat: Any) -> dict[str, Any]:
    """A draft with a coded dose and timing."""
    dose = {"value": value} | ({"unit": unit} if unit else {})
    timing = {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"} | repeat}
    return ordered(name, text, status="draft") | {
        "dosageInstruction": [{"timing": timing, "doseAndRate": [{"doseQuantity": dose}]}]
    }


@pytest.mark.parametrize(
    ("draft", "expected"),
    [
        (dosed("d", "Ketorolac", 60, "mg", frequency=2), None),
        (dosed("d", "Ketorolac", 60.1, "mg", frequency=2), ("warning", "ketorolac up to 120.2 mg a day: over the label's maximum of 120 mg")),
        (dosed("d", "Acetaminophen 500 MG Oral Tablet", 2, period=4, periodUnit="h"),
         ("warning", "acetaminophen up to 6000 mg a day: over the label's maximum of 4000 mg")),
        (dosed("d", "Amlodipine 10 MG Oral Tablet", 3, "tablet"),
         ("critical", "amlodipine up to 30 mg a day: more than twice the label's maximum of 10 mg")),
        (dosed("d", "Amlodipine 10 MG Oral Tablet", 30, "mL"), None),
        (ordered("d", "Amlodipine 10 MG Oral Tablet", status="draft"), None),
    ],
    ids=["at the limit", "just over", "tablets every four hours", "over twice", "unknown unit", "no dose"],
)  # fmt: skip
async def test_the_dose_of_a_draft_is_held_against_the_label(
    site: Site, draft: dict[str, Any], expected: tuple[str, str] | None
) -> None:
    """Dose times frequency over the maximum of the table: a card with the limit, and the suggestion to take the draft away; it needs no record."""
    answer = await site.post("/cds-services/wardstream-order-sign", call("order-sign", [draft]))
    if expected is None:
        assert answer.status_code == 412  # one draft without a record: nothing else can be judged
        body = call("order-sign", [draft], medications=bundle(ordered("r", "Lisinopril 10 MG")))
        assert await answered(site, body) == []
        return
    (card,) = answer.json()["cards"]
    assert (card["indicator"], card["summary"]) == expected
    assert len(card["summary"]) < 140
    assert "threshold daily dose above (mg)" in card["detail"]
    assert [one["actions"][0]["resourceId"] for one in card["suggestions"]] == ["MedicationRequest/d"]


async def test_only_the_doses_of_chosen_drafts_are_judged(site: Site) -> None:
    """An older draft's dose and one of the record are not told again beside a new draft; a child's is not judged."""
    drafts = [dosed("a", "Ketorolac", 500, "mg"), dosed("b", "Amlodipine", 5, "mg")]
    record = bundle(dosed("r", "Tramadol", 900, "mg") | {"status": "active"})
    assert await answered(site, call("order-select", drafts, "MedicationRequest/b", medications=record)) == []
    (card,) = await answered(site, call("order-select", drafts, "MedicationRequest/a", medications=record))
    assert card["source"]["topic"]["code"] == "drug.dose"
    child = call("order-select", drafts, "MedicationRequest/a", medications=record)
    child["prefetch"]["patient"]["birthDate"] = "2025-01-01"
    assert await answered(site, child) == []
