"""CDS Hooks 2.0: from a flag on the stream to a card in an EHR, on a real Redis; the rules of its tokens; feedback without comments; bad requests."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from prometheus_client import generate_latest

from agents import second_check
from agents.feedback.cards_agent import FeedbackCardsStage
from agents.publish.cards import card
from gateway.cds.hooks import MOST_BYTES
from gateway.cds.tokens import Tokens
from schemas.audit import AuditEntry
from schemas.cards import CardFeedback
from schemas.envelope import JSON, DataClass, Envelope
from schemas.errors import ConfigurationError, StoreUnavailable
from schemas.flags import Decision
from schemas.samples import Sample
from streams import topics
from streams.card_index import forget_cards
from streams.record import Record
from streams.settings import CdsIssuer
from streams.stage import Done, Refused
from tests.support.cds import AUTHORITY, BASE, NUMBER, Site, flag, opened, request
from tests.support.decide import findings, note


@pytest.fixture
async def site(redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    async with opened(redis_server, tmp_path, monkeypatch) as made:
        yield made


async def test_a_flag_becomes_a_card_of_its_patient(site: Site) -> None:
    """Found by the prefetched identifier, under any name of its authority; worst first; nobody else's patient sees it."""
    assert isinstance(await site.raised(flag("b", severity="warning"), flag("a")), Done)
    cards = await site.cards()
    assert [one["indicator"] for one in cards] == ["critical", "warning"]
    assert cards[0]["uuid"] == flag("a").id
    assert len(cards[0]["summary"]) < 140
    assert cards[0]["source"]["topic"]["code"] == "labs.critical"
    assert cards[0]["overrideReasons"]
    assert None not in cards[0].values()
    assert "" not in cards[0].values()
    assert [] not in cards[0].values()
    other = request()
    other["prefetch"]["patient"]["identifier"] = [{"system": "urn:oid:1.2.840.99", "value": NUMBER}]
    assert len(await site.cards(prefetch=other["prefetch"])) == 2
    other["prefetch"]["patient"]["identifier"] = [{"system": AUTHORITY, "value": "999"}]
    assert await site.cards(prefetch=other["prefetch"]) == []


async def test_nothing_in_the_store_names_the_patient(site: Site) -> None:
    """Keys and cards: neither number nor name, and beside the number's hash not the token either."""
    raised = flag()
    await site.raised(msgspec.structs.replace(raised, suppress_key=f"{raised.type}|{site.token}|2823-3"))
    keys = [key async for key in site.store.scan_iter(match=f"h:{site.settings.deid.tenant}:*")]
    assert keys
    whole = repr(keys).encode() + b"".join([repr(await site.store.hgetall(key)).encode() for key in keys if b":c:" in key])
    assert NUMBER.encode() not in whole
    assert site.token.encode() not in b"".join([repr(await site.store.hgetall(key)).encode() for key in keys if b":c:" in key])


async def test_whoever_is_identified_for_a_card_has_an_audit_entry(site: Site) -> None:
    """One entry a decision, the same when it comes again, by token; none where nobody was identified."""
    first, without = await site.raised(flag()), await site.raised()
    assert isinstance(first, Done)
    (output,) = first.outputs
    entry = msgspec.json.decode(output.value or b"", type=AuditEntry)
    assert (output.topic, entry.action, entry.recipient, entry.subject) == (topics.AUDIT, "deliver", "cds-hooks", site.token)
    assert without == Done()
    assert await site.raised(flag(), subject="W0000000000000Z") == Done()


async def test_the_same_again_replaces_and_a_withdrawal_takes_away(site: Site) -> None:
    """A card is as new as its flag; a redelivered record changes nothing; a withdrawn flag has no card."""
    first = flag()
    await site.raised(first)
    await site.raised(first)
    assert len(await site.cards()) == 1
    newer = msgspec.structs.replace(first, id=str(uuid.uuid4()), summary="Newer")
    await site.raised(newer)
    assert [one["summary"] for one in await site.cards()] == ["Newer"]
    gone = msgspec.structs.replace(first, id=str(uuid.uuid4()), withdrawn=True)
    await site.raised(gone)
    assert await site.cards() == []


async def test_old_cards_are_not_shown_and_an_erasure_leaves_none(site: Site) -> None:
    """After the days of the settings; after ``erase``."""
    await site.raised(flag("old"), time_="2020-01-02T03:04:05.000Z")
    assert await site.cards() == []
    await site.raised(flag("new"))
    assert len(await site.cards()) == 1
    await forget_cards(site.store, site.settings.deid.tenant, [site.token])
    assert await site.cards() == []
    assert isinstance(await site.raised(flag(), subject="Z" * 15), Done)  # nobody behind the token


async def test_order_hooks_answer_with_what_concerns_medicines(site: Site) -> None:
    """A fall has nothing to say beside an order; at a patient's view it has."""
    await site.raised(flag("d", type_="drug.interaction"), flag("k", type_="egfr.drop"), flag("x", type_="fall.risk"))
    for service, hook in (("wardstream-order-select", "order-select"), ("wardstream-order-sign", "order-sign")):
        assert {one["source"]["topic"]["code"] for one in await site.cards(service, hook)} == {"drug.interaction", "egfr.drop"}
    for service, hook in (
        ("wardstream-patient-view", "patient-view"),
        ("wardstream-encounter-start", "encounter-start"),
        ("wardstream-encounter-discharge", "encounter-discharge"),
    ):
        assert len(await site.cards(service, hook)) == 3


async def test_discovery_names_services_with_their_prefetch(site: Site) -> None:
    """As the specification's example shows them."""
    answer = await site.get("/cds-services", site.bearer())
    services = answer.json()["services"]
    assert {one["hook"] for one in services} == {
        "patient-view",
        "order-select",
        "order-sign",
        "encounter-start",
        "encounter-discharge",
    }
    assert all(set(one) == {"id", "hook", "title", "description", "prefetch"} for one in services)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda site: {},
        lambda site: {"authorization": "Basic abc"},
        lambda site: {"authorization": "Bearer not.a.token"},
        lambda site: site.bearer(aud="https://other.example/cds-services"),
        lambda site: site.bearer(aud=f"{BASE}/cds-services/"),
        lambda site: site.bearer(iss="https://evil.example"),
        lambda site: site.bearer(exp=int(time.time()) - 120),
        lambda site: site.bearer(iat=int(time.time()) - 900, exp=int(time.time()) + 900),
        lambda site: site.bearer(jti=None),
        lambda site: site.bearer(jti=""),
        lambda site: site.bearer(iat=None),
        lambda site: site.bearer(exp=None),
        lambda site: site.bearer(header={"kid": "k2"}),
        lambda site: site.bearer(header={"jku": "https://evil.example/jwks"}),
        lambda site: site.bearer(key="a shared secret of some length, which is public", alg="HS256"),
        lambda site: site.bearer(key=rsa.generate_private_key(65537, 2048), alg="RS384"),
        lambda site: site.bearer(key=ec.generate_private_key(ec.SECP384R1())),
        lambda site: {
            "authorization": "Bearer "
            + jwt.encode({"iss": "https://ehr.example", "aud": f"{BASE}/cds-services"}, None, algorithm="none")
        },
    ],
    ids=[
        "none",
        "basic",
        "garbage",
        "audience",
        "slash",
        "issuer",
        "expired",
        "long",
        "jti",
        "empty jti",
        "iat",
        "exp",
        "kid",
        "jku",
        "hmac",
        "other kind",
        "other key",
        "alg none",
    ],
)
async def test_a_token_that_breaks_a_rule_is_refused(site: Site, spoil: Callable[[Site], dict[str, str]]) -> None:
    """Discovery too; the answer says no more than that."""
    answer = await site.get("/cds-services", spoil(site))
    assert (answer.status_code, answer.json()) == (401, {"error": "unauthorized"})


async def test_a_token_is_good_once(site: Site) -> None:
    """The named ``jku`` is fine; used again, it is a replay."""
    headers = site.bearer(header={"jku": "https://ehr.example/jwks"})
    assert (await site.get("/cds-services", headers)).status_code == 200
    assert (await site.get("/cds-services", headers)).status_code == 401


async def test_without_the_store_nobody_is_believed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a token was used cannot be told: 503."""

    async def away(*_: Any, **__: Any) -> bool:
        raise StoreUnavailable(path="redis")

    monkeypatch.setattr(site.store, "set", away)
    assert (await site.get("/cds-services", site.bearer())).status_code == 503


async def test_feedback_becomes_a_weak_label_without_the_comment(site: Site) -> None:
    """Accepted and overridden, by a reason of ours; what a person typed is not kept; sent again it has the same id."""
    await site.raised(flag())
    path, name = "/cds-services/wardstream-patient-view/feedback", (await site.cards())[0]["uuid"]
    rows = [
        {
            "card": name,
            "outcome": "accepted",
            "acceptedSuggestions": [{"id": str(uuid.uuid4())}],
            "outcomeTimestamp": "2026-01-02T03:04:05Z",
        },
        {
            "card": name,
            "outcome": "overridden",
            "overrideReason": {"reason": {"code": "known"}, "userComment": "Mrs. Quillfeather knows"},
        },
        {"card": name, "outcome": "overridden", "overrideReason": {"reason": {"code": "Mrs. Quillfeather"}}},
    ]
    assert (await site.post(path, {"feedback": rows})).status_code == 200
    assert (await site.post(path, {"feedback": rows[:1]})).status_code == 200
    labels = [msgspec.json.decode(output.value or b"", type=CardFeedback) for output in site.produced]
    assert [(one.outcome, one.reason) for one in labels] == [
        ("accepted", ""),
        ("overridden", "known"),
        ("overridden", "other"),
        ("accepted", ""),
    ]
    assert labels[0].id == labels[3].id
    assert {one.type for one in labels} == {"labs.critical"}
    text = generate_latest(site.door.registry).decode()
    assert 'outcome="overridden",service="wardstream-patient-view",type="labs.critical"} 2.0' in text
    assert {output.topic for output in site.produced} == {topics.FEEDBACK}
    assert b"Quillfeather" not in b"".join(output.value or b"" for output in site.produced)


async def test_an_answer_at_the_door_becomes_a_weak_label_of_the_note(site: Site) -> None:
    """From the flag on the stream over its card and the clinician's answer to a sample for review, each stage reading what the one before wrote."""
    settings = site.settings.model_copy(update={"cds": site.settings.cds.model_copy(update={"enabled": True})})
    message = findings(1, 0, **note("Potassium is high."), subject=site.token)
    decision = Decision(id="d1", findings=message, flags=(flag(),))
    headers = Envelope(
        id="d1", source="/t", type="t", time=message.time, content_type=JSON, data_class=DataClass.INTERNAL, origin=message.origin
    ).headers()  # fmt: skip
    stage, cards = second_check.build(settings), FeedbackCardsStage(settings)
    await stage.open()
    await cards.open()
    await stage.process([Record(topics.RAISED, 0, 0, 0, b"k", msgspec.json.encode(decision), headers)])
    await site.raised(flag())
    row = {"card": (await site.cards())[0]["uuid"], "outcome": "overridden", "overrideReason": {"reason": {"code": "wrong"}}}
    assert (await site.post("/cds-services/wardstream-patient-view/feedback", {"feedback": [row]})).status_code == 200
    (told,) = site.produced
    (done,) = await cards.process([Record(told.topic, 0, 0, 0, told.key, told.value, told.headers)])
    assert isinstance(done, Done)
    (output,) = done.outputs
    sample = msgspec.json.decode(output.value or b"", type=Sample)
    assert (sample.note.text, sample.weak, sample.reason) == ("Potassium is high.", {flag().id: "overridden"}, "overridden")
    await stage.close()
    await cards.close()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda body: body | {"hook": "order-sign"}, 400),
        (lambda body: body | {"hookInstance": "no uuid"}, 400),
        (lambda body: {k: v for k, v in body.items() if k != "hookInstance"}, 400),
        (lambda body: body | {"context": None}, 400),
        (lambda body: body | {"context": {"userId": "u", "patientId": 7}}, 400),
        (lambda body: body | {"context": {"patientId": "p-1"}}, 400),
        (lambda body: body | {"context": {"userId": ["u"], "patientId": "p-1"}}, 400),
        (lambda body: body | {"prefetch": None}, 412),
        (lambda body: body | {"prefetch": {"patient": {"resourceType": "Patient", "identifier": 5}}}, 412),
        (lambda body: body | {"prefetch": {"patient": {"resourceType": "Patient", "identifier": {"value": "1"}}}}, 412),
        (lambda body: body | {"prefetch": {"patient": {"resourceType": "Observation"}}}, 412),
        (
            lambda body: (
                body | {"prefetch": {"patient": {"resourceType": "Patient", "id": "another", "identifier": [{"value": "1"}]}}}
            ),
            412,
        ),
        (lambda body: body | {"prefetch": {"patient": {"resourceType": "Patient", "identifier": [None, 3, {"value": 9}]}}}, 412),
        (lambda body: [body], 400),
        (lambda body: b"{not json", 400),
        (lambda body: b"\xff\xfe", 400),
        (lambda body: b'{"a": "' + b"x" * MOST_BYTES + b'"}', 413),
        (lambda body: b"[" * 100_000, 400),
    ],
)
async def test_a_bad_request_gets_a_status_and_nothing_back(site: Site, change: Callable[[Any], Any], status: int) -> None:
    """412 where the prefetch is of no use, 400 and 413 otherwise; nothing of the request in the answer."""
    answer = await site.post("/cds-services/wardstream-patient-view", change(request()))
    assert answer.status_code == status, answer.text
    assert NUMBER not in answer.text


async def test_orders_of_another_type_are_refused(site: Site) -> None:
    """Selections are a list, draft orders a Bundle."""
    for name in ("selections", "draftOrders"):
        body = request("order-select")
        body["context"][name] = "x"
        assert (await site.post("/cds-services/wardstream-order-select", body)).status_code == 400


async def test_unknown_services_and_bad_feedback(site: Site) -> None:
    """404; 400, for a card that was never shown too."""
    assert (await site.post("/cds-services/nobody", request())).status_code == 404
    for rows in (
        [],
        "x",
        [3],
        [{"card": "1", "outcome": "accepted"}],
        [{"card": str(uuid.uuid4()), "outcome": "ignored"}],
        [{"card": str(uuid.uuid4()), "outcome": "accepted"}],
    ):
        assert (await site.post("/cds-services/wardstream-patient-view/feedback", {"feedback": rows})).status_code == 400
    assert site.produced == []


async def test_a_damaged_record_is_a_dead_letter(site: Site) -> None:
    """The stage goes on."""
    headers = Envelope(
        id="1",
        source="s",
        type="t",
        time="2026",
        content_type=JSON,
        data_class=DataClass.INTERNAL,
        origin="o",
        subject=site.token,
    ).headers()
    (outcome,) = await site.stage.process([Record(topics.RAISED, 0, 1, 0, b"k", b"{", headers)])
    assert isinstance(outcome, Refused)


def test_a_site_without_keys_does_not_start(tmp_path: Path) -> None:
    """A JWKS file that cannot be read or holds nothing."""
    for text in ("", "{}", '{"keys": []}', '{"keys": [{"kid": "a", "kty": "oct", "k": "AAAA"}]}'):
        (tmp_path / "jwks.json").write_text(text)
        with pytest.raises(ConfigurationError):
            Tokens({"e": CdsIssuer(jwks_file=tmp_path / "jwks.json")}, lambda *_: None)  # type: ignore[arg-type, return-value]


def test_a_long_summary_is_cut_below_the_limit() -> None:
    """Fewer than 140 characters."""
    assert len(card(msgspec.structs.replace(flag(), summary="x" * 200)).summary) == 139
