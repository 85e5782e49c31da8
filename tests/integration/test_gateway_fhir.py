"""The FHIR door: what is stored, what is answered, who may ask, and that no answer quotes its input."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway import body
from gateway.access import PUBLIC, Tokens
from gateway.fhir import FhirDoor
from gateway.http import HttpDoor
from gateway.intake import Intake
from gateway.metrics import GatewayMetrics
from schemas.envelope import DataClass, parse_headers
from tests.support.gateway import ROUTING, MemoryLog, clock

TOKEN = "a-token-of-some-length"
OTHER = "the-next-token-to-come"
AUTH = {"authorization": f"Bearer {TOKEN}"}
FHIR = {**AUTH, "content-type": "application/fhir+json"}
NDJSON = {**AUTH, "content-type": "application/fhir+ndjson"}
MAX_BODY = 20_000


class Site:
    def __init__(self, *, max_in_flight: int = 100, max_in_flight_per_sender: int = 100, tokens: Tokens | None = None) -> None:
        self.log = MemoryLog()
        self.metrics = GatewayMetrics()
        self.parts = {"broker": True, "store": True}
        self.fhir = FhirDoor(
            Intake(self.log, max_in_flight=max_in_flight, clock=clock),
            ROUTING,
            max_depth=16,
            observe=lambda outcome: self.metrics.observe("fhir", outcome),
        )
        door = HttpDoor(
            self.fhir,
            max_body_bytes=MAX_BODY,
            registry=self.metrics.registry,
            readiness=lambda: dict(self.parts),
            max_in_flight_per_sender=max_in_flight_per_sender,
        )
        self.app = door.app(tokens or Tokens([TOKEN, OTHER]))
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://gateway")

    async def post(self, content: Any, path: str = "/fhir", headers: dict[str, str] = FHIR) -> httpx.Response:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        return await self.http.post(path, content=data, headers=headers)


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    async with made.http:
        yield made


def observation(patient: str = "p1", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": "o1",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/{patient}"},
        **more,
    }


def bundle(kind: str, *resources: Any, method: str | None = "POST") -> dict[str, Any]:
    entries = [
        {"resource": resource, **({"request": {"method": method, "url": "x"}} if method else {})} for resource in resources
    ]
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


def issues(response: httpx.Response) -> list[tuple[str, str]]:
    assert response.headers["content-type"].startswith("application/fhir+json")
    outcome = response.json()
    assert outcome["resourceType"] == "OperationOutcome"
    return [(issue["code"], issue["details"]["text"]) for issue in outcome["issue"]]


async def test_one_resource(site: Site) -> None:
    """It is stored as the bytes received, with an envelope that names no patient, and answered 202 with its record id."""
    raw = b'{ "resourceType":"Observation","valueQuantity":{"value":1.50},"subject":{"reference":"Patient/secret-77"}}'
    response = await site.post(raw, "/fhir/Observation")
    assert response.status_code == 202
    (output,) = site.log.stored
    envelope = parse_headers(output.headers)
    assert output.value == raw
    assert (envelope.source, envelope.content_type, envelope.data_class) == (
        "/fhir",
        "application/fhir+json",
        DataClass.RESTRICTED,
    )
    assert envelope.id == envelope.origin == response.headers["x-record-id"]
    assert envelope.time == "2026-03-04T05:06:07.000Z"
    assert "secret" not in repr((output.key, output.headers))


async def test_same_content_gives_the_same_record_id(site: Site) -> None:
    """Sent again, it overwrites downstream."""
    first, second = await site.post(observation()), await site.post(observation())
    assert first.headers["x-record-id"] == second.headers["x-record-id"]
    assert site.log.stored[0] == site.log.stored[1]


async def test_one_patient_one_key(site: Site) -> None:
    """The patient, what is about the patient, and Bundles of both share a key; another patient has another."""
    patient = {"resourceType": "Patient", "id": "p1"}
    for content in (patient, observation(), bundle("collection", patient, observation(), method=None), observation("p2")):
        assert (await site.post(content)).status_code == 202
    keys = [output.key for output in site.log.stored]
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]


async def test_traceparent_is_carried(site: Site) -> None:
    """A well-formed trace context goes into the record, anything else does not."""
    good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await site.post(observation(), headers={**FHIR, "traceparent": good})
    await site.post(observation("p3"), headers={**FHIR, "traceparent": "Doe^Jane"})
    assert [parse_headers(output.headers).traceparent for output in site.log.stored] == [good, None]


@pytest.mark.parametrize("kind", ["collection", "message", "document"])
async def test_bundle_of_one_patient_stays_whole(site: Site, kind: str) -> None:
    """It is one record with the bytes received."""
    content = bundle(kind, {"resourceType": "Patient", "id": "p1"}, observation(), method=None)
    assert (await site.post(content)).status_code == 202
    assert [json.loads(payload or b"") for payload in site.log.payloads] == [content]


async def test_bundle_of_two_patients_is_split(site: Site) -> None:
    """One record per patient, each with its own key."""
    response = await site.post(
        bundle("collection", observation("p1"), observation("p2"), observation("p1", id="o2"), method=None)
    )
    assert response.status_code == 202
    assert len({output.key for output in site.log.stored}) == len(site.log.stored) == 2


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_interactions_answer_each_entry(site: Site, kind: str) -> None:
    """The response Bundle has a status per entry."""
    response = await site.post(bundle(kind, observation("p1"), observation("p2")))
    answer = response.json()
    assert (response.status_code, answer["type"]) == (200, f"{kind}-response")
    assert [entry["response"]["status"] for entry in answer["entry"]] == ["202 Accepted"] * 2


async def test_bad_entry_of_a_batch_stands_alone(site: Site) -> None:
    """The others are stored, the bad one has its OperationOutcome."""
    content = bundle("batch", observation("p1"), {"resourceType": "Nonsense"}, observation("p1", id="o2"))
    content["entry"].append({"request": {"method": "DELETE", "url": "Patient/p1"}})
    answer = (await site.post(content)).json()
    assert [entry["response"]["status"][:3] for entry in answer["entry"]] == ["202", "422", "202", "422"]
    assert len(json.loads(site.log.payloads[0] or b"")["entry"]) == 2


@pytest.mark.parametrize("kind", ["transaction", "collection"])
async def test_bad_entry_refuses_a_whole(site: Site, kind: str) -> None:
    """Where entries do not stand alone nothing is stored."""
    response = await site.post(bundle(kind, observation(), {"resourceType": "Nonsense"}))
    assert (response.status_code, issues(response)) == (422, [("not-supported", "unsupported_resource")])
    assert site.log.stored == []


DEEP = b'{"resourceType":"Observation","extension":' + b'[{"extension":' * 40 + b"[]" + b"}]" * 40 + b"}"


@pytest.mark.parametrize(
    ("content", "status", "text"),
    [
        (b"", 400, "malformed_fhir"),
        (b"CANARY", 400, "malformed_fhir"),
        (b'["CANARY"]', 400, "malformed_fhir"),
        (b'{"resourceType":"Observation","id":NaN}', 400, "malformed_fhir"),
        (b'{"resourceType":"Observation","value":1e999}', 400, "malformed_fhir"),
        (b'{"resourceType":"Observation","CANARY":1,"CANARY":2}', 400, "malformed_fhir"),
        (b'\xef\xbb\xbf{"resourceType":"CANARY"}', 422, "unsupported_resource"),
        ('{"resourceType":"Observation"}'.encode("utf-16"), 400, "malformed_fhir"),
        (b'{"resourceType":"Observation","id":"\\ud800"}', 400, "malformed_fhir"),
        (b'{"resourceType":"Observation","value":' + b"9" * 10_000 + b"}", 400, "malformed_fhir"),
        (b'{"name":"CANARY"}', 400, "malformed_fhir"),
        (b'{"resourceType":"CANARY"}', 422, "unsupported_resource"),
        (b'{"resourceType":"Bundle","type":"CANARY","entry":[{}]}', 422, "unsupported_message_type"),
        (b'{"resourceType":"Bundle","type":"collection"}', 400, "malformed_fhir"),
        (b'{"resourceType":"Bundle","type":"collection","entry":"CANARY"}', 400, "malformed_fhir"),
        (b'{"resourceType":"Bundle","type":"collection","entry":[["CANARY"]]}', 400, "malformed_fhir"),
        (DEEP, 400, "too_deep"),
        (b"[" * 15_000, 400, "malformed_fhir"),
        (b" " * (MAX_BODY + 1), 413, "too_large"),
    ],
)
async def test_bad_input(site: Site, content: bytes, status: int, text: str) -> None:
    """Every fault has its status and code; the answer quotes nothing; nothing is stored."""
    response = await site.post(content)
    assert (response.status_code, issues(response)[0][1]) in {(status, text), (400, "too_deep")}
    assert (response.status_code, issues(response)[0][1]) == (status, text) or content.startswith(b"[[")
    assert b"CANARY" not in response.content
    assert site.log.stored == []


async def test_url_and_content_must_agree(site: Site) -> None:
    """POST /fhir/Patient takes Patients only."""
    assert (await site.post(observation(), "/fhir/Patient")).status_code == 422
    assert (await site.post(observation(), "/fhir/Nonsense")).status_code == 422


@pytest.mark.parametrize(
    "header",
    [
        {"content-type": "text/plain"},
        {"content-type": ""},
        {"content-type": "application/fhir+xml"},
        {"content-type": "application/fhir+json; charset=latin-1"},
        {"content-type": "application/fhir+json", "content-encoding": "gzip"},
    ],
)
async def test_other_content_types(site: Site, header: dict[str, str]) -> None:
    """Anything but FHIR JSON in UTF-8 is 415."""
    response = await site.post(observation(), headers={**AUTH, **header})
    assert (response.status_code, issues(response)) == (415, [("not-supported", "unsupported_content_type")])


async def test_json_content_types(site: Site) -> None:
    """Plain JSON and a UTF-8 charset parameter are taken."""
    for name in ("application/json", 'application/fhir+json; fhirVersion=4.0; charset="UTF-8"'):
        assert (await site.post(observation(), headers={**AUTH, "content-type": name})).status_code == 202


async def test_kafka_away(site: Site) -> None:
    """503 with Retry-After, for a resource, a batch and bulk alike."""
    site.log.failing = True
    for content, headers in ((observation(), FHIR), (bundle("batch", observation()), FHIR), (observation(), NDJSON)):
        response = await site.post(content, headers=headers)
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert issues(response)[0] == ("transient", "broker_unavailable")


async def test_too_much_in_flight() -> None:
    """429 with Retry-After while as much waits as may; the waiting ones are served."""
    site = Site(max_in_flight=1)
    site.log.gate = asyncio.Event()
    async with site.http:
        first = asyncio.create_task(site.post(observation()))
        await asyncio.sleep(0.05)
        second = await site.post(observation("p2"))
        assert (second.status_code, second.headers["retry-after"], issues(second)[0][0]) == (429, "5", "throttled")
        site.log.gate.set()
        assert (await first).status_code == 202


async def test_a_sender_over_its_share_is_told_to_come_back() -> None:
    """429 for the sender whose share is taken, while another token's request is taken; afterwards the first is served again."""
    site = Site(max_in_flight_per_sender=1)
    site.log.gate = asyncio.Event()
    async with site.http:
        first = asyncio.create_task(site.post(observation()))
        await asyncio.sleep(0.05)
        second = await site.post(observation("p2"))
        assert (second.status_code, issues(second)[0][0]) == (429, "throttled")
        other = asyncio.create_task(site.post(observation("p3"), headers=FHIR | {"authorization": f"Bearer {OTHER}"}))
        await asyncio.sleep(0.05)
        site.log.gate.set()
        assert [(await task).status_code for task in (first, other)] == [202, 202]
        assert (await site.post(observation("p2"))).status_code == 202


async def test_answer_only_after_the_delivery_report(site: Site) -> None:
    """As long as Kafka has not reported there is no response."""
    site.log.gate = asyncio.Event()
    waiting = asyncio.create_task(site.post(observation()))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    site.log.gate.set()
    assert (await waiting).status_code == 202


async def test_bulk(site: Site) -> None:
    """Each line is a record, blank lines and a missing last line end do not matter."""
    lines = [json.dumps(observation(f"p{n}")).encode() for n in range(250)]
    response = await site.post(b"\n\n".join(lines), headers=NDJSON)
    assert (response.status_code, issues(response)) == (202, [("informational", "250 of 250 lines stored, 0 refused")])
    assert site.log.payloads == lines


async def test_bulk_names_bad_lines(site: Site) -> None:
    """Good lines are stored, bad ones named by number and code; the status tells."""
    lines = [json.dumps(observation()).encode(), b"CANARY", json.dumps(observation("p2")).encode(), b'{"resourceType":"CANARY"}']
    response = await site.post(b"\n".join(lines), headers=NDJSON)
    assert response.status_code == 422
    assert [issue.get("expression") for issue in response.json()["issue"]] == [None, ["line 2"], ["line 4"]]
    assert issues(response)[0][1] == "2 of 4 lines stored, 2 refused"
    assert b"CANARY" not in response.content
    assert len(site.log.stored) == 2


async def test_bulk_is_larger_than_one_body(site: Site) -> None:
    """The body cap holds for a line, not for the stream."""
    line = json.dumps(observation(note=[{"text": "x" * 5000}])).encode()
    assert (await site.post(b"\n".join([line] * 20), headers=NDJSON)).status_code == 202
    long = await site.post(line + b"\n" + b"x" * (MAX_BODY + 1), headers=NDJSON)
    assert (long.status_code, issues(long)[0][1]) == (413, "too_large")
    assert len(site.log.stored) == 21


async def test_bulk_without_lines(site: Site) -> None:
    """An empty body is an error, not a success of nothing."""
    assert (await site.post(b"\n \n", headers=NDJSON)).status_code == 400


async def test_slow_body(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not come ends with 408."""
    monkeypatch.setattr(body, "DEADLINE_S", 0.1)

    async def drip() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(5)

    response = await site.http.post("/fhir", content=drip(), headers=FHIR)
    assert (response.status_code, issues(response)[0][0]) == (408, "timeout")


async def test_budget_of_bodies(site: Site) -> None:
    """Many large bodies at a time are throttled, and their room is given back."""
    started = asyncio.Event()
    release = asyncio.Event()

    async def hold() -> AsyncIterator[bytes]:
        yield b" " * (MAX_BODY - 100)
        started.set()
        await release.wait()
        yield json.dumps(observation(id="o9"))[:0].encode() or b" "

    holders = [asyncio.create_task(site.http.post("/fhir", content=hold(), headers=FHIR)) for _ in range(body.BUDGET_BODIES)]
    await started.wait()
    await asyncio.sleep(0.05)
    assert (await site.post(b" " * 1000)).status_code == 429
    release.set()
    assert {response.status_code for response in await asyncio.gather(*holders)} == {400}
    assert (await site.post(observation())).status_code == 202


# Who may ask.

EXPECTED = {
    ("GET", "/livez"): 200,
    ("GET", "/readyz"): 200,
    ("GET", "/metrics"): 200,
    ("GET", "/fhir/metadata"): 200,
    ("POST", "/fhir"): 202,
    ("POST", "/fhir/{type_name}"): 202,
}


async def test_every_route_is_in_the_access_table(site: Site) -> None:
    """A route that nobody has thought about is found here."""
    routes = {
        (method, getattr(route, "path", ""))
        for route in site.app.routes
        for method in (getattr(route, "methods", None) or {"?"}) - {"HEAD"}
    }
    assert routes == set(EXPECTED)
    assert {path for _, path in EXPECTED if "fhir" not in path or "metadata" in path} == PUBLIC


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong-wrong-wrong-wrong",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"bearer {TOKEN[:-1]}",
    ],
)
async def test_without_a_valid_token(site: Site, authorization: str | None) -> None:
    """Every path that is not public is 401, also one that does not exist; nothing is stored."""
    headers = {"content-type": "application/fhir+json"} | ({} if authorization is None else {"authorization": authorization})
    content = json.dumps(observation()).encode()
    for method, path in [*EXPECTED, ("GET", "/nothing"), ("PUT", "/fhir/Patient/1"), ("GET", "/fhir/metadata/")]:
        response = await site.http.request(method, path.replace("{type_name}", "Observation"), content=content, headers=headers)
        public = path in PUBLIC
        assert response.status_code == (200 if public else 401), path
        if not public:
            assert response.headers["www-authenticate"].startswith("Bearer")
            assert issues(response)[0][0] == "login"
    assert site.log.stored == []


async def test_with_either_token(site: Site) -> None:
    """The token and the one that is being rotated in are both good."""
    for token in (TOKEN, "the-next-token-to-come"):
        headers = {"content-type": "application/fhir+json", "authorization": f"bearer {token}"}
        for (method, path), status in EXPECTED.items():
            url = path.replace("{type_name}", "Observation")
            response = await site.http.request(method, url, content=json.dumps(observation()), headers=headers)
            assert response.status_code == status


async def test_two_authorization_headers_are_refused(site: Site) -> None:
    """Ambiguity is no permission."""
    headers = [("authorization", f"Bearer {TOKEN}"), ("authorization", "Bearer x"), ("content-type", "application/fhir+json")]
    assert (await site.http.post("/fhir", content=b"{}", headers=headers)).status_code == 401


async def test_unknown_paths_and_methods(site: Site) -> None:
    """404 and 405 are OperationOutcomes too."""
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("POST", "/fhir/Patient/1", 404),
        ("POST", "/fhir/..%2f", 404),
        ("GET", "/fhir", 405),
        ("PUT", "/fhir/Patient", 405),
        ("POST", "/fhir/metadata", 404),
        ("POST", "/fhir/$import", 404),
    ):
        response = await site.http.request(method, path, headers=FHIR, content=b"{}")
        assert (response.status_code, len(issues(response))) == (status, 1), path


async def test_probes(site: Site) -> None:
    """Ready while Kafka answers; a store that is away only degrades."""
    assert (await site.http.get("/readyz")).json() == {"status": "ready", "broker": "ok", "store": "ok"}
    site.parts["store"] = False
    degraded = await site.http.get("/readyz")
    assert (degraded.status_code, degraded.json()["status"]) == (200, "degraded")
    site.parts["broker"] = False
    assert (await site.http.get("/readyz")).status_code == 503
    assert (await site.http.get("/livez")).status_code == 200


async def test_metrics_count_outcomes(site: Site) -> None:
    """Outcomes are counted by code."""
    await site.post(observation())
    await site.post(b"CANARY")
    text = (await site.http.get("/metrics")).text
    assert 'wardstream_gateway_messages_total{door="fhir",outcome="stored"} 1.0' in text
    assert 'wardstream_gateway_messages_total{door="fhir",outcome="malformed_fhir"} 1.0' in text
    assert "CANARY" not in text


async def test_capability_statement_is_valid(site: Site) -> None:
    """It validates against fhir.resources and names what is taken."""
    from fhir.resources.R4B.capabilitystatement import CapabilityStatement

    answer = (await site.http.get("/fhir/metadata")).json()
    CapabilityStatement.model_validate(answer)
    assert "Observation" in {row["type"] for row in answer["rest"][0]["resource"]}


async def test_answers_are_valid_fhir(site: Site) -> None:
    """OperationOutcomes and response Bundles validate against fhir.resources."""
    from fhir.resources.R4B.bundle import Bundle
    from fhir.resources.R4B.operationoutcome import OperationOutcome

    OperationOutcome.model_validate((await site.post(observation())).json())
    OperationOutcome.model_validate((await site.post(b"{")).json())
    Bundle.model_validate((await site.post(bundle("batch", observation(), {"resourceType": "No"}))).json())
