"""What holds for any message: nothing that names people survives, the output reads again, tokens do not depend on the order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import string
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.deidentify.text.normalise import normalise
from agents.deidentify.text.scrub import find, replace, span_maps
from agents.vault.memory import MemoryVault
from schemas.deidentified import to_original
from schemas.envelope import FHIR_JSON, HL7_V2
from schemas.errors import Poison
from schemas.hl7.er7 import parse
from schemas.message import parse as parse_any
from schemas.message import read_clinical
from tests.support.deid import clean, deidentifier

#: Names that are no words, numbers that are no values.
NAMES = st.text(string.ascii_uppercase, min_size=1, max_size=1).flatmap(
    lambda first: st.text("bcdfghjklmnpqrstvwxz", min_size=5, max_size=9).map(lambda rest: first + rest + "o")
)
NUMBERS = st.integers(10**8, 10**11).map(str)
PLACES = st.sampled_from(
    ["{family}, {given}", "{given} {family}", "Mr. {family}", "{family}'s leg", "MRN {mrn}", "record {mrn} reviewed", "call {phone}", "DOB {dob}",
     "no acute distress", "BP 120/80", "metformin 500 mg", "potassium 5.9"]
)  # fmt: skip
LINES = st.lists(st.lists(PLACES, min_size=1, max_size=4).map(" ; ".join), min_size=1, max_size=4)
#: Where a careless sender may have put what belongs elsewhere.
FIELDS = st.sampled_from(["OBX|9|ST|1^N^L||{family}", "OBX|9|CE|1^N^L||X^{given} {family}^L", "NTE|1||{given} {family} {mrn}", "DG1|1||E11^{family}^I10C",
                          "ZPD|{family}|{mrn}", "OBR|1|{mrn}|{mrn}|1^{family}^L|||20240101", "PV1|1|I|||||^{family}^{given}||||||||||||{mrn}",
                          "AL1|1||X^{family}^L||{given}", "QQQ|{family}", "PV2|||^{given} {family} fell", "OBX|9|NM|1^N^L||{mrn}",
                          "OBX|9|FT|1^N^L||{given}\\.br\\{family}", "IN1|1|{mrn}|{mrn}|{family}", "GT1|1|{mrn}|{family}^{given}"])  # fmt: skip


def patient(family: str, given: str, mrn: str) -> dict[str, str]:
    return {"family": family, "given": given, "mrn": mrn, "phone": "555-010-7788", "dob": "03/14/1961"}


def hl7(person: dict[str, str], lines: list[str], fields: list[str]) -> bytes:
    head = (
        "MSH|^~\\&|A|B|C|D|20240102030405||ORU^R01|CT1|P|2.5.1\r"
        "PID|1||{mrn}^^^NORTH^MR||{family}^{given}||19610314|M|||||{phone}\r"
    )
    body = "".join(f"OBX|{n}|TX|11506-3^Note^LN||{line}||||||F\r" for n, line in enumerate(lines, 1))
    return (head + body + "".join(f"{field}\r" for field in fields)).format(**person).encode()


def survivors(person: dict[str, str], text: str) -> list[str]:
    squeezed = "".join(c for c in text if c.isalnum()).casefold()
    found = [key for key in ("family", "given") if person[key].casefold() in text.casefold()]
    return found + [key for key in ("mrn",) if person[key] in squeezed] + [key for key in ("phone", "dob") if person[key] in text]


@settings(max_examples=60, deadline=None)
@given(NAMES, NAMES, NUMBERS, LINES, st.lists(FIELDS, max_size=4))
def test_nothing_of_the_patient_survives_in_hl7(family: str, given: str, mrn: str, lines: list[str], fields: list[str]) -> None:
    """Wherever the sender put names and numbers, the output holds none of them, reads again, and maps its notes back exactly."""
    person = patient(family, given, mrn)
    payload = hl7(person, lines, fields)
    result = clean(payload)
    assert survivors(person, result.payload.decode()) == []
    out = parse(result.payload)
    assert len(out.all("OBX")) == len(parse(payload).all("OBX"))
    raw = {note.path: note.text for note in read_clinical(parse(payload)).notes}
    for note in read_clinical(out).notes:
        position = clean_position = 0
        for span in result.map.notes.get(note.path, ()):
            if note.path in raw:
                assert raw[note.path][position : span.start] == note.text[clean_position : span.clean_start]
            position, clean_position = span.end, span.clean_end


@settings(max_examples=40, deadline=None)
@given(NAMES, NAMES, NUMBERS, LINES)
def test_nothing_of_the_patient_survives_in_fhir(family: str, given: str, mrn: str, lines: list[str]) -> None:
    """The same for a resource with names in every kind of string."""
    person = patient(family, given, mrn)
    text = "\n".join(lines).format(**person)
    resource = {
        "resourceType": "Observation", "id": f"obs-{mrn}", "status": "final", "code": {"text": f"Seen with {given} {family}"},
        "subject": {"reference": f"Patient/{mrn}", "display": f"{given} {family}"}, "note": [{"text": text, "authorString": family}],
        "valueString": text, "method": {"coding": [{"system": "urn:x", "code": family, "display": family}]},
        "contained": [{"resourceType": "Patient", "id": family, "name": [{"family": family, "given": [given]}],
                       "telecom": [{"system": "phone", "value": person["phone"]}], "birthDate": "1961-03-14"}],
        "performer": [{"display": family}], family.lower(): given, "extension": [{"url": "urn:x", "valueString": family}],
    }  # fmt: skip
    result = clean(json.dumps(resource).encode(), FHIR_JSON)
    assert survivors(person, result.payload.decode()) == []
    assert parse_any(FHIR_JSON, result.payload)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(6)), st.integers(0, 5))
def test_tokens_do_not_depend_on_the_order(order: list[int], split: int) -> None:
    """Six messages of two patients, in any order and any batches: two tokens, each with all of its messages."""
    people = [patient("Axbcdfo", "Bxbcdfo", "500000001"), patient("Cxbcdfo", "Dxbcdfo", "500000002")]
    messages = [hl7(people[n % 2], [f"note {n}"], []) for n in range(6)]
    step, vault = deidentifier(), MemoryVault(seed=5)
    tokens: dict[int, str] = {}
    for batch in (order[:split], order[split:]):
        prepared = [step.prepare(HL7_V2, messages[n]) for n in batch]
        answers = asyncio.run(vault.resolve([row.request for row in prepared]))
        tokens.update({n: step.apply(row, answer).subject for n, row, answer in zip(batch, prepared, answers, strict=True)})
    assert len({tokens[n] for n in (0, 2, 4)}) == len({tokens[n] for n in (1, 3, 5)}) == 1
    assert tokens[0] != tokens[1]


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=120))
def test_any_text_is_scrubbed_with_exact_offsets(text: str) -> None:
    """Spans are in order, inside the text, do not overlap, and lead from the clean text back to themselves."""
    redactions = find(text)
    assert all(a.end <= b.start for a, b in pairwise(redactions))
    assert all(0 <= r.start < r.end <= len(text) for r in redactions)
    cleaned, spans = replace(text, redactions), tuple(span_maps(redactions))
    for redaction, span in zip(redactions, spans, strict=True):
        assert cleaned[span.clean_start : span.clean_end] == redaction.replacement
        assert to_original(spans, span.clean_start, span.clean_end) == (redaction.start, redaction.end)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80))
def test_normalised_offsets_are_monotonic(text: str) -> None:
    """Every normalised character comes from a place in the original, in order."""
    normal = normalise(text)
    if normal.starts is not None:
        assert len(normal.starts) == len(normal.text) + 1
        assert normal.starts == sorted(normal.starts)
        assert normal.starts[-1] == len(text)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_cleaned_or_refused(noise: bytes) -> None:
    """Garbage after a header never raises anything but a refusal."""
    payload = b"MSH|^~\\&|A|B|C|D|20240102||ORU^R01|C1|P|2.5.1\rPID|1||123456^^^N^MR||Axbcdfo^B\r" + noise
    with contextlib.suppress(Poison):
        assert b"Axbcdfo" not in clean(payload).payload
