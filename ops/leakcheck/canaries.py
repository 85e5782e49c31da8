"""Canary patients: invented, marked and seeded, and the messages that carry them on every path, error paths included."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import dataclass
from pathlib import Path

from ops.messages import Format, MessageFile

#: Syllables that no drug, disease or place begins or ends with; a canary's name is in no list of names.
_SYLLABLES = ("quor", "vex", "zim", "throl", "quib", "wox", "yarn", "plov", "gruz", "zeph")
_DIGITS = "0123456789"
#: Larger than the doors accept by default (4 MiB a frame).
OVERSIZE_BYTES = 5 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Canary:
    """One invented patient with a relative; ``values`` by kind is what must be found nowhere."""

    family: str
    given: str
    relative: str
    mrn: str
    ssn: str
    phone: str
    email: str
    street: str
    birth: str
    run: str

    @property
    def values(self) -> dict[str, str]:
        return {
            "family name": self.family, "given name": self.given, "relative": self.relative, "record number": self.mrn, "ssn": self.ssn,
            "phone": self.phone, "email": self.email, "street": self.street, "birth date": self.birth,
        }  # fmt: skip

    def __repr__(self) -> str:
        return "<Canary>"


def canaries(count: int, seed: int) -> list[Canary]:
    """``count`` patients, the same for a seed; another seed for another run, since doors refuse a control id seen before."""
    source = random.Random(seed)  # noqa: S311 - invented people, not secrets
    run = _digits(source, 8)
    return [_canary(source, run) for _ in range(count)]


def _canary(source: random.Random, run: str) -> Canary:
    family, given, relative = (_name(source) for _ in range(3))
    birth = f"19{source.randint(50, 89)}{source.randint(1, 12):02}{source.randint(1, 28):02}"
    return Canary(
        family=family,
        given=given,
        relative=relative,
        mrn="9" + _digits(source, 9),
        ssn=f"9{_digits(source, 2)}-{_digits(source, 2)}-{_digits(source, 4)}",
        phone=f"({source.randint(201, 989)})555-{_digits(source, 4)}",
        email=f"{family.lower()}.{given.lower()}@example.org",
        street=f"{source.randint(100, 9999)} {_name(source)} Row",
        birth=birth,
        run=run,
    )


def _name(source: random.Random) -> str:
    return "".join(source.sample(_SYLLABLES, 3)).capitalize()


def _digits(source: random.Random, count: int) -> str:
    return "".join(source.choice(_DIGITS) for _ in range(count))


def messages(canary: Canary, number: int) -> list[MessageFile]:
    """Everything that is posted for one canary, named by path; ``kafka/`` goes straight to the received topic."""
    head = f"PID|1||{canary.mrn}^^^CANARY^MR||{canary.family}^{canary.given}||{canary.birth}|F|||{canary.street}^^Zimtown^OH^44123||" \
           f"{canary.phone}~^NET^Internet^{canary.email}|||||{canary.ssn}\r" \
           f"NK1|1|{canary.family}^{canary.relative}|SPO|{canary.street}|{canary.phone}\rPV1|1|I|W1^1^1\r"  # fmt: skip
    text = note(canary)

    def hl7(name: str, kind: str, body: str, *, route: str = "", version: str = "2.5.1") -> MessageFile:
        # the name of the path is in the control id: what is refused because of it must not be told by it
        msh = f"MSH|^~\\&|CANARY|SITE|WS|SITE|20240102030405+0000||{kind}|C{canary.run}{number}{name}|P|{version}\r"
        return _file(f"{name}.hl7", "hl7v2", (msh + body).encode(), route)

    packed = base64.b64encode(text.encode()).decode()
    obx = f"OBR|1|P{number}^E|F{number}^L|11506-3^Note^LN|||20240102\rOBX|1|TX|11506-3^Note^LN||{text}||||||F\r"
    found = [
        hl7("admit", "ADT^A01^ADT_A01", head),
        hl7("note", "ORU^R01^ORU_R01", head + obx),
        hl7("attachment", "ORU^R01^ORU_R01", head + obx + f"OBX|2|ED|11506-3^Note^LN||^TEXT^plain^Base64^{packed}||||||F\r"),
        hl7("withheld", "ORU^R01^ORU_R01", head + obx + f"OBX|2|ED|11506-3^Note^LN||^IM^png^Base64^{packed}||||||F\r"),
        hl7("segments", "ORU^R01^ORU_R01", head + obx + f"ZPI|1|{canary.family}|{text}\rQQQ|{canary.mrn}|{canary.family}\r"),
        hl7("merge", "ADT^A40^ADT_A39", head.split("NK1")[0] + f"MRG|8{canary.mrn[1:]}^^^CANARY^MR||||||{canary.family}^{canary.given}\r"),
        hl7("type", f"{canary.family}^{canary.given}", head),
        hl7("version", "ADT^A01^ADT_A01", head, version=canary.mrn),
        hl7("straight", "ORU^R01^ORU_R01", head + obx, route="kafka"),
        _file("damaged.hl7", "hl7v2", f"MSH{canary.family}{text}".encode(), "kafka"),
        _file("noheader.hl7", "hl7v2", head.encode()),
        _file("charset.hl7", "hl7v2", b"MSH|^~\\&|A|B|C|D|2024||ADT^A01|" + f"X{canary.run}{number}".encode() + b"|P|2.5.1||||||UNICODE UTF-8\r"
              + head.encode().replace(canary.given.encode(), canary.given.encode() + b"\xff\xfe"), "kafka"),
        _file("bundle.json", "fhir", json.dumps(bundle(canary)).encode()),
        _file("broken.json", "fhir", json.dumps(bundle(canary)).encode()[:-20]),
        _file("invalid.json", "fhir", json.dumps({"resourceType": "Patient", "birthDate": canary.family, "id": canary.email}).encode()),
        _file("unsupported.json", "fhir", json.dumps({"resourceType": canary.family, "id": canary.mrn, "text": text}).encode()),
        _file("broken-straight.json", "fhir", json.dumps(bundle(canary)).encode()[:-20], "kafka"),
    ]  # fmt: skip
    if number == 0:
        found.append(hl7("oversize", "ORU^R01^ORU_R01", head + obx + f"NTE|1||{canary.family} " + "x" * OVERSIZE_BYTES + "\r"))
    return found


def note(canary: Canary) -> str:
    """Free text with every identifier, on one line."""
    birth = canary.birth
    return (
        f"Mrs. {canary.family}, {canary.given} (MRN {canary.mrn}, SSN {canary.ssn}, DOB {birth[4:6]}/{birth[6:]}/{birth[:4]}) reports chest "
        f"pain. {canary.given.upper()} {canary.family.upper()} lives at {canary.street} with {canary.relative}; call {canary.phone} or "
        f"{canary.email}. Continue metformin 500 mg."
    )


def bundle(canary: Canary) -> dict[str, object]:
    """Patient, relative and a report with an attachment."""
    packed = base64.b64encode(f"<html><body><p>{note(canary)}</p></body></html>".encode()).decode()
    birth = f"{canary.birth[:4]}-{canary.birth[4:6]}-{canary.birth[6:]}"
    who = {"family": canary.family, "given": [canary.given]}
    patient = {
        "resourceType": "Patient", "id": f"p{canary.mrn}", "name": [who], "birthDate": birth, "address": [{"line": [canary.street]}],
        "identifier": [{"system": "urn:canary", "value": canary.mrn}, {"system": "http://hl7.org/fhir/sid/us-ssn", "value": canary.ssn}],
        "telecom": [{"system": "phone", "value": canary.phone}, {"system": "email", "value": canary.email}],
        "contact": [{"name": {"family": canary.family, "given": [canary.relative]}}],
        "extension": [{"url": f"http://example.org/{canary.family}", "valueString": note(canary)}],
    }  # fmt: skip
    report = {
        "resourceType": "DiagnosticReport", "id": f"r{canary.mrn}", "status": "final", "code": {"text": "Note"},
        "subject": {"reference": f"Patient/p{canary.mrn}", "display": f"{canary.given} {canary.family}"}, "conclusion": note(canary),
        "presentedForm": [{"contentType": "text/html", "data": packed, "title": canary.family}],
    }  # fmt: skip
    entries = [{"fullUrl": f"http://x/{r['resourceType']}/{r['id']}", "resource": r} for r in (patient, report)]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def _file(name: str, kind: Format, payload: bytes, route: str = "") -> MessageFile:
    return MessageFile(Path(name), kind, payload, route)
