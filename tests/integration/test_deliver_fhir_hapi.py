"""Released results into a real FHIR server: HAPI's JPA server, read back over its REST API."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
import pytest

from agents.publish.deliver_fhir_agent import DeliverFhirStage
from agents.publish.release import release
from schemas.findings import Assertion, Findings
from streams import settings as config
from streams.settings import Settings
from streams.stage import Done
from tests.contract.test_publish_deliver_fhir import potassium, record
from tests.support.publish import RECORD, clinical_message, decided

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def bundle(message: Findings) -> bytes:
    return release(decided(message), RECORD, application="WARDSTREAM", facility="NLP", oru=False).bundle


async def deliver(base: str, value: bytes) -> None:
    """By a fresh process's stage, so that nothing of the last time is remembered."""
    stage = DeliverFhirStage(Settings(fhir_server=config.FhirServer(base_url=base, timeout_s=60)))
    await stage.open()
    try:
        (outcome,) = await stage.process([record(1, value)])
    finally:
        await stage.close()
    assert isinstance(outcome, Done), outcome


def stored(client: httpx.Client, kinds: set[str]) -> list[dict[str, Any]]:
    """All that the server holds of these types; asked anew, because it keeps the answers to searches for a while."""
    rows = []
    for kind in sorted(kinds):
        answer = client.get(f"/{kind}", params={"_count": "200"}, headers={"cache-control": "no-cache"}).raise_for_status().json()
        assert "next" not in {link["relation"] for link in answer["link"]}
        rows += [entry["resource"] for entry in answer["entry"]]
    return rows


def told(resource: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """What it says, apart from ids and what servers write into ``meta``; references by the identifiers of what they point at."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: names.get(row, row) if name == "reference" else plain(row) for name, row in value.items()}
        return [plain(row) for row in value] if isinstance(value, list) else value

    meta = {name: value for name, value in resource.get("meta", {}).items() if name in ("security", "profile", "tag")}
    found: dict[str, Any] = plain({name: value for name, value in resource.items() if name not in ("id", "meta")})
    return found | ({"meta": meta} if meta else {})


def named(resource: dict[str, Any]) -> str:
    """Type and first identifier that means something outside its message; what has none, by its id."""
    rows = resource.get("identifier", [])
    row = next((row for row in (rows if isinstance(rows, list) else [rows]) if "system" in row and "value" in row), None)
    return f"{resource['resourceType']}|{resource['id'] if row is None else row['value']}"


def sent(value: bytes) -> dict[str, dict[str, Any]]:
    rows = json.loads(value)["entry"]
    names = {row["fullUrl"]: named(row["resource"]) for row in rows}
    return {named(row["resource"]): told(row["resource"], names) for row in rows}


def read_back(client: httpx.Client, wanted: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    rows = stored(client, {row["resourceType"] for row in wanted.values()})
    names = {f"{row['resourceType']}/{row['id']}": named(row) for row in rows}
    found = {named(row): told(row, names) for row in rows}
    assert len(found) == len(rows), "one resource of each name"
    return found


async def test_stored_once_read_back_and_updated(hapi_server: str) -> None:
    """Sent twice: each resource is there once and says what was sent. A result that changed takes the place of what it was."""
    message = clinical_message()
    mentions = list(message.mentions)
    mentions[6] = msgspec.structs.replace(mentions[6], assertion=Assertion())
    before, after = bundle(message), bundle(msgspec.structs.replace(message, mentions=tuple(mentions)))
    was, now = sent(before), sent(after)
    assert [name.partition("|")[0] for name in was if was[name] != now[name]] == ["Condition"]
    with httpx.Client(base_url=hapi_server, timeout=60, trust_env=False) as client:
        await deliver(hapi_server, before)
        await deliver(hapi_server, before)
        assert read_back(client, was) == was
        patients = client.get("/Patient", params={"identifier": "urn:oid:2.16.840.1.113883.19.5|4711"}).json()
        assert patients["total"] == 1

        await deliver(hapi_server, after)
        assert read_back(client, now) == now
        kinds = {row["resourceType"] for row in now.values()}
        rewritten = [row["resourceType"] for row in stored(client, kinds) if row["meta"]["versionId"] != "1"]
        assert rewritten == ["Condition"], "what did not change was not written again"


async def test_a_late_older_version_of_a_fact_is_left_out(hapi_server: str) -> None:
    """The first, its correction, and then one that is older than the correction: the server writes the correction over what was read there, and the last not at all."""
    made = [potassium(7, f"4.{version}", version) for version in (1, 3, 2)]
    name = next(row["resource"] for row in json.loads(made[0])["entry"] if row["resource"]["resourceType"] == "Observation")
    (identifier,) = name["identifier"]
    with httpx.Client(base_url=hapi_server, timeout=60, trust_env=False) as client:
        values = []
        for value in made:
            await deliver(hapi_server, value)
            (entry,) = client.get(
                "/Observation",
                params={"identifier": f"{identifier['system']}|{identifier['value']}"},
                headers={"cache-control": "no-cache"},
            ).json()["entry"]
            values.append((str(entry["resource"]["valueQuantity"]["value"]), entry["resource"]["meta"]["versionId"]))
    assert [value for value, _ in values] == ["4.1", "4.3", "4.3"]
    first, second, third = (version for _, version in values)  # what number HAPI begins with is its own affair
    assert first != second == third
