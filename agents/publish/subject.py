"""Whom a result is about, as the writers see it: either a token and the patient's own clock, or a released identity and real dates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agents.publish.names import PSEUDED, PSEUDONYM, Object
from schemas.findings import Findings


@dataclass(frozen=True, slots=True, repr=False)
class Subject:
    """
    Attributes:
        realm: tells the ids of the two publications of one decision apart.
        patient: FHIR Patient without id.
        original: spans are in the note as received, and nothing of the de-identified note is published.
        moment: minutes on the patient's clock -> FHIR date or dateTime, empty where no date may be told.
        stamp: the same as HL7 v2 TS.
        labels: security labels besides AIAST.
    """

    realm: str
    patient: Object
    original: bool
    moment: Callable[[int | None], str]
    stamp: Callable[[int | None], str]
    labels: tuple[Object, ...] = ()


def pseudonymous(findings: Findings, tenant: str = "default") -> Subject:
    """The token and nothing that the de-identified message did not hold; calendar dates stay away."""
    patient: Object = {
        "resourceType": "Patient",
        "identifier": [{"system": f"{PSEUDONYM}:{tenant}:research", "value": findings.subject}],
    }
    gender = {"m": "male", "male": "male", "f": "female", "female": "female", "o": "other", "other": "other"}
    if findings.sex.lower() in gender:
        patient["gender"] = gender[findings.sex.lower()]
    return Subject("deid", patient, False, _untold, _untold, (PSEUDED,))


def _untold(elapsed: int | None) -> str:
    return ""
