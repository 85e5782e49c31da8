"""Results and later versions of them, out of order: made here, and read back as a consumer is told to (``docs/how-to/consume-results.md``)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from schemas.fhir.json import decode
from streams.record import Record

#: Potassium of a result and of the version that takes its place, each followed by the message's number.
_RESULT, _LATER = "4.0", "4.5"
_POTASSIUM = b"\rOBX|2|NM|2823-3^Potassium^LN||"
_MARKED = re.compile(r"4\.([05])(\d{5})\Z")
_VERSION = "https://wardstream.org/fhir/StructureDefinition/fact-version"


def corrected(found: Sequence[bytes], numbers: range, again: Collection[int]) -> list[bytes]:
    """``found`` with a later version of each of ``numbers`` that is a result: corrected (``C``) or, every second, reported anew an hour later (``F``).

    By turns it comes twenty messages after what it takes the place of, twenty before it, or after it and the older one once more behind it under a
    number of its own. ``again``: come a second time, byte for byte."""
    places: list[tuple[float, bytes]] = []
    for number, payload in enumerate(found):
        due = float(number)
        if number in numbers and _POTASSIUM in payload:
            payload, later = _versions(payload, number)
            turn = number // numbers.step % 3
            places.append((number + (0.0 if turn == 1 else 20.5), later))
            due += 20.5 if turn == 1 else 0.0
            if turn == 2:
                places.append((number + 40.5, _renamed(payload, number, "AGAIN")))
        places.append((due, payload))
        if number in again:
            places.append((number + 60.5, payload))
    return [payload for _, payload in sorted(places, key=lambda row: row[0])]


def _versions(payload: bytes, number: int) -> tuple[bytes, bytes]:
    head, name, rest = payload.partition(_POTASSIUM)
    rest = rest[rest.index(b"|") :]
    result, later = (head + name + f"{value}{number:05d}".encode() + rest for value in (_RESULT, _LATER))
    if number % 2:
        return result, _renamed(later.replace(b"||||F|||", b"||||C|||"), number, "C")
    time = payload.split(b"|", 7)[6]
    hour_later = (datetime.strptime(time.decode(), "%Y%m%d%H%M%S") + timedelta(hours=1)).strftime("%Y%m%d%H%M%S")
    return result, _renamed(later.replace(time, hour_later.encode()), number, "F")


def _renamed(payload: bytes, number: int, ending: str) -> bytes:
    return payload.replace(f"|SYN-{number}|".encode(), f"|SYN-{number}-{ending}|".encode())


def stale(bundles: Iterable[Record], sent: Iterable[bytes]) -> int:
    """Results that still stand after a later version of them came, and later versions that do not stand."""
    wanted = set()
    for payload in sent:
        value = payload.partition(_POTASSIUM)[2].partition(b"|")[0].decode()
        if (match := _MARKED.match(value)) and match[1] == "5":
            wanted.add(value)
    standing: dict[str, dict[str, Any]] = {}
    for record in bundles:
        for entry in decode(record.value or b"{}").get("entry", ()):
            resource = entry["resource"]
            if resource["resourceType"] != "Observation" or "valueQuantity" not in resource:
                continue
            name = resource["identifier"][0]["value"]
            if name not in standing or _version(resource) >= _version(standing[name]):
                standing[name] = resource
    values = {str(resource["valueQuantity"]["value"]) for resource in standing.values()}
    kept = sum(1 for value in values if (match := _MARKED.match(value)) and match[1] == "0")
    return kept + len(wanted - values)


def _version(resource: dict[str, Any]) -> Decimal:
    return next((Decimal(row["valueDecimal"]) for row in resource.get("extension", ()) if row["url"] == _VERSION), Decimal(0))
