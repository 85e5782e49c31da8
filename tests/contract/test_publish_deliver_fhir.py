"""Delivery to a FHIR server over real sockets: repeatable transactions, patients in order, nothing lost and nothing of people in errors."""

from __future__ import annotations

import itertools
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.responses import Response

from agents.publish.deliver_fhir_agent import DeliverFhirStage
from agents.publish.fhir_sender import ATTEMPTS, LONGEST_DELAY_S, check_address, refusal
from agents.publish.release import release
from agents.publish.transaction import transaction
from schemas.audit import AuditEntry
from schemas.envelope import FHIR_JSON, HL7_V2, DataClass, Envelope, parse_headers
from schemas.errors import ConfigurationError, MalformedMessage, PrivacyViolation, Reason, ReceiverUnavailable
from schemas.fhir.validate import validate
from streams import settings as config
from streams import topics
from streams.record import Record
from streams.settings import Settings
from streams.stage import Done, Outcome, Refused
from tests.support.decide import TOKEN
from tests.support.fhir_server import FhirServer, outcome
from tests.support.publish import RECORD, clinical_message, decided


def bundle(number: int) -> bytes:
    return release(decided(clinical_message(number)), RECORD, application="WARDSTREAM", facility="NLP", oru=False).bundle


BUNDLES = [bundle(number) for number in range(1, 4)]


def record(
    number: int,
    value: bytes | None,
    content_type: str = FHIR_JSON,
    key: str = TOKEN,
    data_class: DataClass = DataClass.RESTRICTED,
) -> Record:
    headers = Envelope(
        id=f"result-{number}",
        source="/agents/publish",
        type=topics.BY_NAME[topics.RESULT].event_type,
        time="2026-03-02T10:15:00Z",
        content_type=content_type,
        data_class=data_class,
        origin=f"origin-{number}",
        subject=key,
    ).headers()
    return Record(topics.RESULT, 0, number, 0, key.encode(), value, headers)


def names(request: dict[str, Any]) -> list[str]:
    return [row["fullUrl"] for row in request["entry"]]


RECORDS = [record(number, value) for number, value in enumerate(BUNDLES)]
SLEPT: list[float] = []


async def sleep(seconds: float) -> None:
    SLEPT.append(seconds)


async def opened(server: FhirServer | str, **more: Any) -> DeliverFhirStage:
    base = server if isinstance(server, str) else server.base
    stage = DeliverFhirStage(Settings(fhir_server=config.FhirServer(base_url=base, timeout_s=5, **more)), sleep=sleep)
    await stage.open()
    SLEPT.clear()
    return stage


def private_key(folder: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> Path:
    path = folder / "client.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def test_the_transaction_is_valid_and_complete() -> None:
    """R4B accepts it; every entry of the collection is in it, each under a request that can be repeated."""
    request = json.loads(transaction(BUNDLES[0]))
    validate(request)
    before = json.loads(BUNDLES[0])["entry"]
    assert [row["fullUrl"] for row in request["entry"]] == [row["fullUrl"] for row in before]
    for row, original in zip(request["entry"], before, strict=True):
        kind, wanted = original["resource"]["resourceType"], row["request"]
        if kind in ("Patient", "Device"):
            assert (wanted["method"], wanted["url"]) == ("POST", kind)
            assert wanted["ifNoneExist"].startswith("identifier=")
        elif "identifier" in original["resource"]:
            assert wanted["method"] == "PUT"
            assert wanted["url"].startswith(f"{kind}?identifier=urn:x-nlp%7C")
        else:
            assert wanted == {"method": "PUT", "url": f"{kind}/{original['resource']['id']}"}
        assert {"id": original["resource"]["id"]} | row["resource"] == original["resource"]


def test_numbers_leave_as_they_are_written() -> None:
    """A trailing zero is precision."""
    whole = b'{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"urn:uuid:1","resource":'
    whole += b'{"resourceType":"Observation","id":"1","valueQuantity":{"value":4.10}}}]}'
    assert b'"value":4.10}' in transaction(whole)


def test_signs_of_a_search_in_an_identifier_are_escaped() -> None:
    """A number with the separators of FHIR search in it finds itself and nothing else."""
    patient = {"resourceType": "Patient", "id": "1", "identifier": [{"system": "urn:a", "value": "A|9,&$"}]}
    whole = {"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": "urn:uuid:1", "resource": patient}]}
    (entry,) = json.loads(transaction(json.dumps(whole).encode()))["entry"]
    assert entry["request"]["ifNoneExist"] == "identifier=urn:a%7CA%5C%7C9%5C%2C%26%5C%24"


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"[]",
        b"{}",
        b'{"resourceType":"Bundle","type":"batch"}',
        b'{"resourceType":"Bundle","type":"collection","entry":[{}]}',
    ],
)
def test_what_is_no_collection_is_malformed(wrong: bytes) -> None:
    """A coded error without the content."""
    with pytest.raises(MalformedMessage):
        transaction(wrong)


async def test_a_replay_leaves_the_server_as_it_was() -> None:
    """The same Bundles by a fresh process: the same resources under the same names; patient and devices are not written again."""
    async with FhirServer() as server:
        states = []
        for _ in range(2):
            stage = await opened(server)
            outcomes = await stage.process(RECORDS)
            await stage.close()
            states.append(json.dumps(server.stored, sort_keys=True))
            for one in outcomes:
                assert isinstance(one, Done)
                entry = msgspec.json.decode(one.outputs[0].value or b"", type=AuditEntry)
                assert (entry.action, entry.subject, entry.recipient) == ("deliver", TOKEN, server.base)
                assert parse_headers(one.outputs[0].headers).data_class is DataClass.INTERNAL
    assert states[0] == states[1]
    assert sum(name.startswith("Patient?") for name in server.writes) == 1
    assert any(name.startswith("DetectedIssue?") for name in server.stored)


def potassium(number: int, value: str, version: int) -> bytes:
    """A released result with one potassium in this version; the report and the fact are the same in all of them."""
    message = clinical_message(number)
    (fact,) = [fact for fact in message.facts if fact.path.startswith("OBX")][:1]
    fact = msgspec.structs.replace(fact, value=Decimal(value), version=version)
    message = msgspec.structs.replace(message, facts=(fact,), mentions=(), relations=())
    return release(decided(message), RECORD, application="WARDSTREAM", facility="NLP", oru=False).bundle


def observed(server: FhirServer) -> list[str]:
    rows = [row for name, row in server.stored.items() if name.startswith("Observation?")]
    return [str(row["valueQuantity"]["value"]) for row in rows if "valueQuantity" in row]


async def delivered(server: FhirServer, *bundles: bytes) -> list[Outcome]:
    """Each in a batch of its own, as the topic has them."""
    stage = await opened(server)
    outcomes = [(await stage.process([record(number, value)]))[0] for number, value in enumerate(bundles)]
    await stage.close()
    return outcomes


@pytest.mark.parametrize("turns", list(itertools.permutations([1, 2, 3])))
async def test_a_late_older_version_does_not_take_a_newer_ones_place(turns: tuple[int, ...]) -> None:
    """Preliminary, final and corrected in whatever order, the last of them twice: the server ends with the corrected one, and points at it."""
    async with FhirServer() as server:
        made = [potassium(turn, f"4.{turn}", turn) for turn in turns]
        outcomes = await delivered(server, *made, made[-1])
        assert observed(server) == ["4.3"]
        assert all(isinstance(one, Done) for one in outcomes)
    told = {row["fullUrl"] for request in server.requests for row in request["entry"]}
    pointed = set(re.findall(r'"reference": "(urn:uuid:[^"]+)"', json.dumps(server.requests)))
    assert pointed <= told, "nothing points at what was left out"


async def test_versions_that_are_not_told_are_written_as_they_come() -> None:
    """Negative control: without the extension the late older one stands."""
    async with FhirServer() as server:
        await delivered(server, potassium(3, "4.3", 0), potassium(1, "4.1", 0))
        assert observed(server) == ["4.1"]
        assert server.searches == []


async def test_what_another_sender_wrote_meanwhile_is_read_again() -> None:
    """Between our look and our write a newer version came: the server refuses ours, we look again and leave it."""
    newest = potassium(3, "4.3", 3)

    async with FhirServer() as server:

        def meanwhile(number: int) -> None:
            if number == 1:
                (name,) = [name for name in server.stored if name.startswith("Observation?")]
                (row,) = [
                    row["resource"] for row in json.loads(newest)["entry"] if row["resource"]["resourceType"] == "Observation"
                ]
                server.stored[name] = row
                server.writes.append(name)

        server.script = meanwhile
        outcomes = await delivered(server, potassium(1, "4.1", 1), potassium(2, "4.2", 2))
        assert observed(server) == ["4.3"]
    assert isinstance(outcomes[1], Done)
    assert len(server.requests) == 3


async def test_a_server_that_may_not_be_searched_is_told_by_a_dead_letter() -> None:
    """Without the search nobody could tell what is newer: nothing is written."""
    async with FhirServer(may_search=False) as server:
        (one,) = await delivered(server, potassium(1, "4.1", 1))
        assert server.stored == {}
    assert isinstance(one, Refused)
    assert (one.error.reason, one.error.path) == (Reason.RECEIVER_REFUSED, "OperationOutcome.issue.forbidden")


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
async def test_later_is_asked_again_with_growing_waits(status: int) -> None:
    """Until the server takes it."""
    async with FhirServer(lambda n: outcome(status, "transient") if n < 2 else None) as server:
        stage = await opened(server)
        (one,) = await stage.process(RECORDS[:1])
        await stage.close()
    assert isinstance(one, Done)
    assert len(server.requests) == 3
    assert 0.25 <= SLEPT[0] <= 0.5 <= SLEPT[1] <= 1.0


async def test_the_wait_that_the_server_asks_for_is_kept_within_bounds() -> None:
    """Retry-After in seconds counts, an hour does not; a date is passed over."""
    waits = ["7", "3600", "Wed, 21 Oct 2026 07:28:00 GMT"]
    async with FhirServer(lambda n: outcome(429, "throttled", **{"retry-after": waits[n]}) if n < 3 else None) as server:
        stage = await opened(server)
        await stage.process(RECORDS[:1])
        await stage.close()
    assert SLEPT[:2] == [7, LONGEST_DELAY_S]
    assert SLEPT[2] <= 2


async def test_a_server_that_stays_busy_holds_the_patient_and_loses_nothing() -> None:
    """The batch comes again; what the server took before is not sent again, also not what another patient had in it."""
    async with FhirServer(lambda n: outcome(503, "transient") if 2 <= n < 2 + ATTEMPTS else None) as server:
        stage = await opened(server)
        await stage.process([record(9, BUNDLES[2], key="other")])
        with pytest.raises(ReceiverUnavailable):
            await stage.process(RECORDS[:3])
        outcomes = await stage.process([*RECORDS[:3], record(9, BUNDLES[2], key="other")])
        await stage.close()
    assert all(isinstance(one, Done) for one in outcomes)
    sent = [BUNDLES[2], BUNDLES[0], *[BUNDLES[1]] * (ATTEMPTS + 1), BUNDLES[2]]
    assert [names(request) for request in server.requests] == [names(json.loads(transaction(one))) for one in sent]


async def test_a_bundle_that_the_server_stumbles_over_is_refused_and_the_others_pass() -> None:
    """500 for one Bundle as often as it is sent, while the server takes transactions: a dead letter; the patient's next Bundle is stored."""
    async with FhirServer(lambda n: outcome(500, "exception") if n < ATTEMPTS else None) as server:
        stage = await opened(server)
        outcomes = await stage.process(RECORDS[:2])
        await stage.close()
        devices = [row["resource"]["resourceType"] for row in server.requests[ATTEMPTS]["entry"]]
    assert isinstance(outcomes[0], Refused)
    assert (outcomes[0].error.reason, outcomes[0].error.path) == (Reason.RECEIVER_REFUSED, "http.500")
    assert isinstance(outcomes[1], Done)
    assert set(devices) == {"Device"}, "what is asked with tells of no patient"


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_server_that_takes_nothing_is_waited_for(status: int) -> None:
    """However long: no dead letter."""
    async with FhirServer(lambda _: outcome(status, "exception")) as server:
        stage = await opened(server)
        with pytest.raises(ReceiverUnavailable):
            await stage.process(RECORDS[:2])
        await stage.close()


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "invalid"), (403, "forbidden"), (412, "multiple-matches"), (422, "business-rule"), (501, "not-supported")],
)
async def test_a_refusal_is_a_dead_letter_with_the_servers_code(status: int, code: str) -> None:
    """At once, without the server's words; the patient's next Bundle is sent."""
    async with FhirServer(lambda n: outcome(status, code) if n == 0 else None) as server:
        stage = await opened(server)
        outcomes = await stage.process(RECORDS[:2])
        await stage.close()
    assert isinstance(outcomes[0], Refused)
    assert outcomes[0].error.reason is Reason.RECEIVER_REFUSED
    assert outcomes[0].error.path == f"OperationOutcome.issue.{code}"
    assert "Testperson" not in str(outcomes[0].error)
    assert isinstance(outcomes[1], Done)
    assert len(server.requests) == 2


async def test_a_redirect_is_not_followed() -> None:
    """Results go to the server that was named or nowhere."""
    async with (
        FhirServer() as elsewhere,
        FhirServer(lambda n: Response(status_code=307, headers={"location": elsewhere.base})) as server,
    ):
        stage = await opened(server)
        (one,) = await stage.process(RECORDS[:1])
        await stage.close()
    assert isinstance(one, Refused)
    assert elsewhere.requests == []


@pytest.mark.parametrize(
    "body", [b"", b"no", b"\xff", b"[]", b'{"issue":[]}', b'{"issue":[{"code":"Ada Testperson"}]}', b'{"issue":[{"code":[]}]}']
)
def test_an_answer_that_is_no_outcome_is_not_repeated(body: bytes) -> None:
    """Only codes of the value set are."""
    assert refusal(body) == "OperationOutcome"


async def test_a_server_that_is_down_holds_everything_back() -> None:
    """No outcome, no dead letter."""
    stage = await opened("http://127.0.0.1:1/fhir")
    with pytest.raises(ReceiverUnavailable):
        await stage.process(RECORDS)
    await stage.close()


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
async def test_smart_backend_services(tmp_path: Path, algorithm: str) -> None:
    """One token for many Bundles, by an assertion that the server can verify; a token that it forgot is fetched anew."""
    key = rsa.generate_private_key(65537, 2048) if algorithm == "RS384" else ec.generate_private_key(ec.SECP384R1())
    async with FhirServer(key=key.public_key(), algorithm=algorithm) as server:
        stage = await opened(
            server, token_url=server.token_url, client_id="ws", client_key_file=private_key(tmp_path, key), client_key_id="k1"
        )
        await stage.process(RECORDS[:2])
        assert len(server.assertions) == 1
        server.tokens.clear()
        (one,) = await stage.process(RECORDS[2:])
        await stage.close()
    assert isinstance(one, Done)
    first, second = server.assertions
    assert first["iss"] == first["sub"] == "ws"
    assert first["jti"] != second["jti"]
    assert first["header"] == {"alg": algorithm, "kid": "k1", "typ": "JWT"}
    assert (first["form"]["grant_type"], first["form"]["scope"]) == ("client_credentials", "system/*.cus")


async def test_a_client_that_the_token_endpoint_does_not_know_loses_nothing(tmp_path: Path) -> None:
    """The record is not at fault: it waits."""
    key = ec.generate_private_key(ec.SECP384R1())
    async with FhirServer(key=ec.generate_private_key(ec.SECP384R1()).public_key()) as server:
        stage = await opened(server, token_url=server.token_url, client_id="ws", client_key_file=private_key(tmp_path, key))
        with pytest.raises(ReceiverUnavailable):
            await stage.process(RECORDS[:1])
        await stage.close()
    assert server.requests == []


async def test_a_weak_key_is_refused_at_the_start(tmp_path: Path) -> None:
    """P-256 is not what the standard asks of every server."""
    key = private_key(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(ConfigurationError):
        await opened("https://fhir.example", token_url="https://auth.example/token", client_id="ws", client_key_file=key)


@pytest.mark.parametrize(
    "url", ["", "fhir.example", "http://fhir.example/r4", "https://u:p@fhir.example", "https://fhir.example?x=1", "ftp://x"]
)
def test_addresses_that_are_refused(url: str) -> None:
    """Without TLS nothing leaves this machine."""
    with pytest.raises(ConfigurationError):
        check_address(url, "fhir_server.base_url")


async def test_without_a_server_the_stage_refuses_to_start() -> None:
    """The setting is named."""
    with pytest.raises(ConfigurationError) as caught:
        await DeliverFhirStage(Settings()).open()
    assert caught.value.path == "fhir_server.base_url"


async def test_hl7_passes_and_a_record_of_another_class_halts() -> None:
    """The first has its own stage; the second is not for this one."""
    stage = await opened("http://127.0.0.1:1/fhir")
    assert await stage.process([record(1, b"MSH|", HL7_V2)]) == [Done()]
    (erased,) = await stage.process([record(1, None)])
    assert isinstance(erased, Refused)
    with pytest.raises(PrivacyViolation):
        await stage.process([record(1, BUNDLES[0], data_class=DataClass.INTERNAL)])
    await stage.close()
