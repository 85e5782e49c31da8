"""CDS Hooks: how long an EHR waits for cards at a steady rate of calls, tokens checked.

    python -m benchmarks.cds_hooks [--rate 200] [--seconds 20] [--patients 1000] [--cards 5]

Starts Redis and ``wardstream cds`` as processes of their own on loopback and puts the cards of made-up patients into the store, as the stage
``cards`` does. The caller, in this process, signs every token beforehand (ES384, each used once) and sends ``patient-view`` calls with a
prefetched Patient on a fixed schedule over kept-alive connections; a call that starts late counts its lateness. A fifth of the calls are about
patients without a card.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from agents.publish.cards import card
from ops.stack import make_keyring, settings_of
from schemas.cards import KeptCard
from schemas.flags import Basis, Flag, Rule
from streams import embedded
from streams.card_index import CardIndex
from streams.key_encryption.file import master_key
from streams.keyring import read_keyring
from streams.settings import Settings
from streams.store import connect

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "cds_hooks.json"
ISSUER, AUTHORITY = "https://ehr.example", "NORTHGATE"
VIEW, SIGN = "/cds-services/wardstream-patient-view", "/cds-services/wardstream-order-sign"


def flag(number: int) -> Flag:
    return Flag(
        id=str(uuid.uuid4()), type="labs.critical", kind="rule", severity="critical", subject="", summary=f"Potassium critical ({number})",
        basis=Basis(logic="table", citation="https://example.org/rule"), rule=Rule(id="labs.critical", version="1", sha256="0" * 64),
        suppress_key=f"labs.critical|2823-3|{number}",
    )  # fmt: skip


async def fill(settings: Settings, patients: int, cards: int) -> None:
    index, store = CardIndex(await read_keyring(settings), settings.deid), connect(settings.redis)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    async with store.pipeline(transaction=False) as pipe:
        for patient in range(patients):
            for number in range(cards):
                kept = KeptCard(type="labs.critical", time=now, card=card(flag(number)))
                pipe.hset(index.row(AUTHORITY, str(patient)), str(number), msgspec.json.encode(kept))
        await pipe.execute()
    await store.aclose()


@contextmanager
def door(redis_url: str, directory: Path, base: str) -> Iterator[Settings]:
    (directory / "master.key").write_text(master_key())
    own = {
        "WARDSTREAM_REDIS__URL": redis_url,
        "WARDSTREAM_SECRETS__MASTER_KEY_FILE": str(directory / "master.key"),
        "WARDSTREAM_KAFKA__BOOTSTRAP": "127.0.0.1:1",  # only feedback is written there, and none is given
        "WARDSTREAM_CDS__PORT": base.rpartition(":")[2],
        "WARDSTREAM_CDS__BASE_URL": base,
        "WARDSTREAM_CDS__ISSUERS": json.dumps({ISSUER: {"jwks_file": str(directory / "jwks.json")}}),
    }
    settings = settings_of(own)
    asyncio.run(make_keyring(settings))
    environment = {**os.environ, **own, "PYTHONPATH": str(ROOT), "WARDSTREAM_WORKER__LOG_LEVEL": "ERROR"}
    arguments = [sys.executable, "-c", "from ops.cli import main; main()", "cds"]
    process = subprocess.Popen(arguments, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                if httpx.get(f"{base}/livez", trust_env=False).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            if time.monotonic() > deadline or process.poll() is not None:
                raise SystemExit("the door did not become ready")
            time.sleep(0.1)
        yield settings
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def tokens(key: ec.EllipticCurvePrivateKey, base: str, path: str, count: int) -> list[str]:
    now = int(time.time())
    claims: dict[str, Any] = {"iss": ISSUER, "aud": f"{base}{path}", "iat": now, "exp": now + 300}
    return [jwt.encode({**claims, "jti": str(uuid.uuid4())}, key, "ES384", {"kid": "k"}) for _ in range(count)]


def view(patient: str) -> dict[str, Any]:
    return {
        "hook": "patient-view", "hookInstance": str(uuid.uuid4()), "context": {"userId": "Practitioner/1", "patientId": "p"},
        "prefetch": {"patient": {"resourceType": "Patient", "id": "p", "birthDate": "1950-01-02", "identifier": [{"system": AUTHORITY, "value": patient}]}},
    }  # fmt: skip


def orders(patient: str) -> dict[str, Any]:
    """A draft against a record of 15 medications, 20 problems, 3 allergies and 60 results."""

    def medication(number: int, text: str) -> dict[str, Any]:
        concept = {"text": text}
        return {
            "resourceType": "MedicationRequest",
            "id": f"m{number}",
            "status": "active",
            "subject": {"reference": "Patient/p"},
            "medicationCodeableConcept": concept,
        }

    def bundle(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
        return {"resourceType": "Bundle", "entry": [{"resource": row} for row in rows]}

    drugs = ["Warfarin 5 MG", "Metformin 500 MG", "Lisinopril 10 MG", "Atorvastatin 40 MG", "Amlodipine 5 MG"]
    body = view(patient)
    body["hook"] = "order-sign"
    body["context"]["draftOrders"] = bundle([medication(99, "Ibuprofen 400 MG Oral Tablet") | {"status": "draft"}])
    body["prefetch"] |= {
        "medications": bundle(medication(number, drugs[number % 5]) for number in range(15)),
        "conditions": bundle({"resourceType": "Condition", "id": f"c{n}", "subject": {"reference": "Patient/p"}, "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": f"E{n:02}.9"}]}} for n in range(20)),
        "allergies": bundle({"resourceType": "AllergyIntolerance", "id": f"a{n}", "patient": {"reference": "Patient/p"}, "code": {"text": name}} for n, name in enumerate(("Latex", "Sulfa drugs", "Codeine"))),
        "results": bundle({"resourceType": "Observation", "id": f"o{n}", "status": "final", "effectiveDateTime": "2026-01-02", "subject": {"reference": "Patient/p"}, "code": {"coding": [{"system": "http://loinc.org", "code": "2160-0"}]}, "valueQuantity": {"value": 0.9, "unit": "mg/dL"}} for n in range(60)),
    }  # fmt: skip
    return body


async def load(base: str, path: str, signed: list[str], rate: float, patients: int) -> dict[str, Any]:
    """Each call on its time; latency from when it was due."""
    chance, latencies, failed, cards = random.Random(7), [], 0, 0
    # aiohttp: httpx looks through its whole queue on every answer
    async with aiohttp.ClientSession(base, connector=aiohttp.TCPConnector(limit=64)) as client:
        begun = time.perf_counter() + 0.2

        async def call(number: int, token: str, patient: str) -> None:
            nonlocal failed, cards
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            body = view(patient) if path == VIEW else orders(patient)
            async with client.post(path, json=body, headers={"authorization": f"Bearer {token}"}) as answer:
                got = await answer.json()
            latencies.append(time.perf_counter() - due)
            failed += answer.status != 200
            cards += len(got.get("cards", ()))

        # a fifth beyond those who have cards
        people = [str(chance.randrange(patients + patients // 4)) for _ in signed]
        await asyncio.gather(
            *(call(number, token, person) for number, (token, person) in enumerate(zip(signed, people, strict=True)))
        )
    rows = sorted(latencies)

    def at(share: float) -> float:
        return round(rows[min(len(rows) - 1, int(share * len(rows)))] * 1000, 2)

    return {
        "calls": len(rows), "failed": failed, "cards": cards,
        "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99), "max_ms": round(rows[-1] * 1000, 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--order-rate", type=float, default=30)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--cards", type=int, default=5)
    parser.add_argument("--no-record", action="store_true")
    arguments = parser.parse_args()
    loaded = round(os.getloadavg()[0], 2)
    key = ec.generate_private_key(ec.SECP384R1())
    base = f"http://127.0.0.1:{embedded.free_port()}"
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        public = jwt.get_algorithm_by_name("ES384").to_jwk(key.public_key(), as_dict=True)
        (directory / "jwks.json").write_text(json.dumps({"keys": [{**public, "kid": "k", "alg": "ES384"}]}))
        with (
            embedded.redis_server(directory / "redis") as redis,
            door(f"redis://{redis.address}/0", directory, base) as settings,
        ):
            asyncio.run(fill(settings, arguments.patients, arguments.cards))
            found = {}
            for name_, path, rate in (("patient_view", VIEW, arguments.rate), ("order_sign", SIGN, arguments.order_rate)):
                asyncio.run(load(base, path, tokens(key, base, path, 200), 50, arguments.patients))  # warm
                signed = tokens(key, base, path, int(rate * arguments.seconds))
                found[name_] = {"rate_per_second": rate} | asyncio.run(load(base, path, signed, rate, arguments.patients))
    report = {
        "what": "CDS Hooks calls at a steady rate, ES384 tokens checked: patient-view with cards from Redis; order-sign, where a draft is also judged on a record of 98 resources",
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "load_before": loaded},
        "patients": arguments.patients,
        "cards_each": arguments.cards,
        **found,
    }
    print(json.dumps(report, indent=2))
    if not arguments.no_record:
        RESULT.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
