"""One hospital with CDS Hooks on a real Redis: a patient in a vault, the stage that writes cards, the door with its tokens."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette

from agents.decide.ruleset import RuleSet
from agents.order_check import OrderChecker
from agents.publish.cards_agent import CardsStage
from agents.publish.release import Releaser
from agents.vault.memory import MemoryVault
from gateway.cds.fhir import FhirReader
from gateway.cds.hooks import CdsDoor
from gateway.cds.server import ShownInStore, fetch
from gateway.cds.tokens import Tokens
from schemas.deidentified import DeidMap
from schemas.envelope import JSON, DataClass, Envelope
from schemas.flags import Basis, Decision, Flag, Rule
from streams import topics
from streams.card_index import CardIndex
from streams.record import Output, Record
from streams.settings import Cds, CdsIssuer, Deid, Settings
from streams.store import Store, connect
from tests.support.decide import findings
from tests.support.deid import patient_request
from tests.support.keyring import RING

CHECKER = OrderChecker(RuleSet.load())
BASE = "https://cds.example/ward"
NUMBER, AUTHORITY = "100200300", "NORTHGATE"


def flag(name: str = "f", *, type_: str = "labs.critical", severity: Any = "critical", **rest: Any) -> Flag:
    return Flag(
        id=str(uuid.uuid5(uuid.NAMESPACE_OID, name)), type=type_, kind="rule", severity=severity, subject="", summary=f"Flag {name}",
        basis=Basis(logic="table", citation="https://example.org/rule"), rule=Rule(id=type_, version="1", sha256="0" * 64),
        suppress_key=f"{type_}|t|{name}", **rest,
    )  # fmt: skip


@dataclass
class Site:
    """One patient in a vault, the stage that writes cards, and the door."""

    store: Store
    settings: Settings
    stage: CardsStage
    token: str
    key: Any
    door: CdsDoor
    app: Starlette
    vault: MemoryVault
    produced: list[Output] = field(default_factory=list)
    number: int = 0

    async def raised(self, *flags: Flag, time_: str | None = None, subject: str | None = None) -> Any:
        """The stage reads one decision."""
        self.number += 1
        subject = subject or self.token
        when = time_ or time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        made = msgspec.structs.replace(findings(self.number, 0), subject=subject, time=when)
        decision = Decision(id=str(self.number), findings=made, flags=flags)
        envelope = Envelope(
            id=str(self.number), source="/agents/decide", type="t", time=when, content_type=JSON, data_class=DataClass.INTERNAL, origin="o",
            subject=subject, deid_map=msgspec.json.encode(DeidMap()),
        )  # fmt: skip
        (outcome,) = await self.stage.process(
            [Record(topics.RAISED, 0, self.number, 0, subject.encode(), msgspec.json.encode(decision), envelope.headers())]
        )
        return outcome

    def bearer(
        self,
        path: str = "/cds-services",
        *,
        header: dict[str, Any] | None = None,
        key: Any = None,
        alg: str = "ES384",
        **claims: Any,
    ) -> dict[str, str]:
        now = int(time.time())
        rows = {
            "iss": "https://ehr.example",
            "aud": f"{BASE}{path}",
            "iat": now,
            "exp": now + 120,
            "jti": str(uuid.uuid4()),
        } | claims
        rows = {name: value for name, value in rows.items() if value is not None}
        return {
            "authorization": "Bearer " + jwt.encode(rows, key or self.key, algorithm=alg, headers={"kid": "k1"} | (header or {}))
        }

    async def get(self, path: str, headers: dict[str, str]) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://cds") as client:
            return await client.get(path, headers=headers)

    async def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://cds") as client:
            return await client.post(path, content=content, headers=self.bearer(path) if headers is None else headers)

    async def cards(
        self, service: str = "wardstream-patient-view", hook: str = "patient-view", **body: Any
    ) -> list[dict[str, Any]]:
        answer = await self.post(f"/cds-services/{service}", request(hook) | body)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["cards"]
        return found


def request(hook: str = "patient-view") -> dict[str, Any]:
    return {
        "hook": hook, "hookInstance": str(uuid.uuid4()), "fhirServer": "https://ehr.example/fhir",
        "context": {"userId": "Practitioner/1", "patientId": "p-1", "encounterId": "e-1", "selections": ["MedicationRequest/1"], "draftOrders": {"resourceType": "Bundle"}},
        "prefetch": {"patient": {"resourceType": "Patient", "id": "p-1", "identifier": [{"system": AUTHORITY, "value": NUMBER}]}},
    }  # fmt: skip


@asynccontextmanager
async def opened(
    redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, clock: Callable[[], float] = time.time, **cds: Any
) -> AsyncIterator[Site]:
    """The site on a real Redis; ``cds`` are settings of its own."""
    key = ec.generate_private_key(ec.SECP384R1())
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [jwk | {"kid": "k1", "alg": "ES384"}]}))
    base = Settings()
    settings = base.model_copy(
        update={
            "redis": base.redis.model_copy(update={"url": redis_server}),
            "deid": Deid(tenant=uuid.uuid4().hex, authorities={"urn:oid:1.2.840.99": AUTHORITY}),
            "cds": Cds(
                base_url=BASE,
                issuers={"https://ehr.example": CdsIssuer(jwks_file=tmp_path / "jwks.json", jku="https://ehr.example/jwks")},
                **cds,
            ),
        }
    )
    vault = MemoryVault(seed=3)
    (answer,) = await vault.resolve([patient_request("l", identifiers=[(AUTHORITY, NUMBER)], family="Quillfeather")])

    async def ring(_: Settings) -> Any:
        return RING

    monkeypatch.setattr("agents.publish.cards_agent.read_keyring", ring)
    stage = CardsStage(settings, Releaser(settings, vault))
    await stage.open()
    store = connect(settings.redis)

    async def seen(name: str, seconds: int) -> bool:
        return bool(await store.set(f"h:{settings.deid.tenant}:j:{name}", b"1", nx=True, ex=seconds))

    made: Site

    async def produce(output: Output) -> None:
        made.produced.append(output)

    async def read(rows: Any) -> list[bytes]:
        return await fetch(store, rows)

    client = httpx.AsyncClient(trust_env=False)
    door = CdsDoor(
        settings.cds, CardIndex(RING, settings.deid), Tokens(settings.cds.issuers, seen), read, produce, ShownInStore(store, settings.deid.tenant, settings.cds.days),
        check=CHECKER.check, reader=FhirReader(settings.cds.fhir_servers, 2.0, client), clock=clock,
    )  # fmt: skip
    made = Site(store, settings, stage, answer.subject, key, door, door.app(), vault)
    yield made
    await client.aclose()
    await stage.close()
    await store.aclose()
