"""Unique HL7 messages by number and seed: admissions, labs and short notes of a few hundred invented patients."""

from __future__ import annotations

import random
from collections.abc import Iterator

_FAMILY = (
    "Thornquist",
    "Delacroix",
    "Oyelaran",
    "Abernathy",
    "Castellanos",
    "Nakagawa",
    "Lindqvist",
    "Vasquez",
    "Okonjo",
    "Haverford",
)
_GIVEN = ("Adelaide", "Benoit", "Temitope", "Lucien", "Wilhelmina", "Percival", "Ingrid", "Gustav", "Marguerite", "Tobias")
_NOTES = (
    "{name} was seen on {date}. Denies chest pain. History of stroke. Continue metformin 500 mg PO BID.",
    "Pt {name}, MRN {mrn}: shortness of breath, possible pneumonia. No evidence of pulmonary embolism. Start amoxicillin 500 mg TID.",
    "Mr./Ms. {family} called from (360) 555-01{n:02d}. Suicidal ideation denied. Sertraline 50 mg daily, mother had breast cancer.",
)
PATIENTS = 250


def messages(count: int, *, seed: int = 7, notes_share: float = 0.1, patients: int = PATIENTS) -> Iterator[bytes]:
    """``count`` messages in stream order; control ids ``SYN-<number>`` are unique."""
    rng = random.Random(seed)
    clock = [0] * patients
    creatinine = [round(rng.uniform(0.6, 1.3), 2) for _ in range(patients)]
    for number in range(count):
        patient = rng.randrange(patients)
        clock[patient] += rng.randint(30, 600)
        yield _message(number, patient, clock[patient], creatinine, rng, notes_share)


def _message(number: int, patient: int, minutes: int, creatinine: list[float], rng: random.Random, notes_share: float) -> bytes:
    family, given = _FAMILY[patient % 10], _GIVEN[(patient // 10) % 10]
    mrn = f"7{patient:07d}"
    day, rest = divmod(minutes, 1440)
    time = f"2026{1 + (day // 28) % 12:02d}{1 + day % 28:02d}{rest // 60:02d}{rest % 60:02d}00"
    note = rng.random() < notes_share
    kind = "MDM^T02^MDM_T02" if note else "ORU^R01^ORU_R01"
    lines = [
        f"MSH|^~\\&|SYN|LAKEVIEW|WARDSTREAM|NLP|{time}||{kind}|SYN-{number}|P|2.5.1|||AL|NE||UNICODE UTF-8",
        f"PID|1||{mrn}^^^LAKEVIEW^MR||{family}^{given}||19{50 + patient % 45}0{1 + patient % 9}1{patient % 9}|{'FM'[patient % 2]}",
        f"PV1|1|I|4EAST^{patient}^A|||||||||||||||INP|VN-{patient:06d}",
    ]
    if note:
        text = _NOTES[number % len(_NOTES)].format(
            name=f"{given} {family}", family=family, mrn=mrn, date=f"{time[4:6]}/{time[6:8]}/{time[:4]}", n=patient % 100
        )
        lines.append(f"TXA|1|PN|TX|{time}|||||||DOC-{number}")
        lines.append(f"OBX|1|TX|11506-3^Progress note^LN||{text}||||||F")
    else:
        creatinine[patient] = round(min(9.0, max(0.4, creatinine[patient] * rng.uniform(0.8, 1.35))), 2)
        potassium = round(rng.gauss(4.3, 0.8), 1)
        lines.append(f"OBR|1|P-{number}|F-{number}|24323-8^Metabolic panel^LN|||{time}|||||||||||||||{time}||CH|F")
        lines.append(f"OBX|1|NM|2160-0^Creatinine^LN||{creatinine[patient]}|mg/dL^^UCUM|0.5-1.1||||F|||{time}")
        lines.append(f"OBX|2|NM|2823-3^Potassium^LN||{potassium}|mmol/L^^UCUM|3.5-5.1||||F|||{time}")
    return "\r".join([*lines, ""]).encode()
