"""A flag as a FHIR resource: DetectedIssue, and RiskAssessment where a score exists. Preliminary, with its whole basis."""

from __future__ import annotations

from decimal import Decimal

from agents.publish.names import ACT_CODE, AIAST, BASIS, FACT, FLAG_TYPES, IDENTIFIER, MISSING, SUPERSEDES, Object, plain
from agents.publish.place import Place, place_span
from schemas.findings import Mention
from schemas.flags import Clearing, Flag, Input

#: http://hl7.org/fhir/R4/valueset-detectedissue-severity.html
_SEVERITY = {"critical": "high", "warning": "moderate", "info": "low"}
#: Preferred binding of DetectedIssue.code (v3-ActCode); every other type has a code of ours alone.
_ACT_CODES = {"drug.allergy": "ALGY", "drug.interaction": "DRG", "drug.duplicate": "DUPTHPY"}


def render_flag(place: Place, flag: Flag, device: str, mentions: dict[str, Mention]) -> Object:
    """One resource; ``device`` is the reference of the rule set's Device, ``mentions`` those of this message by id."""
    return _risk(place, flag, device) if flag.score is not None else _issue(place, flag, device, mentions)


def flag_name(place: Place, flag: Flag) -> str:
    return place.name("DetectedIssue" if flag.score is None else "RiskAssessment", flag.id)


def explanation(flag: Flag) -> str:
    """The basis in words, for those who see the text alone."""
    parts = [flag.summary, f"Basis: {flag.basis.logic}"]
    parts += [input_text(row) for row in flag.basis.inputs]
    parts += [f"{name} {value}" for name, value in sorted(flag.basis.computed.items())]
    parts += [f"threshold {name}: {value}" for name, value in sorted(flag.basis.thresholds.items())]
    parts += [clearing_text(row) for row in flag.basis.clearings]
    if flag.basis.missing:
        parts.append("Not considered: " + ", ".join(flag.basis.missing))
    parts += [flag.intended_use, flag.limitations]
    return plain(" | ".join(part for part in parts if part))


def input_text(row: Input) -> str:
    name = row.display or row.code
    # Input.text is the comparator of a number, else the answer in words.
    value = f"{row.text}{row.value} {row.unit}".strip() if row.value is not None else row.text
    return plain(f"{name}: {value}".strip(": ")) or "see source"


def clearing_text(row: Clearing) -> str:
    if row.at_least is None or row.at_most is None:
        bound = f"at most {row.at_most}" if row.at_least is None else f"at least {row.at_least}"
    else:
        bound = f"{row.at_most}" if row.at_least == row.at_most else f"between {row.at_least} and {row.at_most}"
    return plain(f"Would not fire if {row.name or 'this input'} were {bound} {row.unit}".rstrip())


def _common(place: Place, flag: Flag) -> Object:
    extensions = [_number("computed", name, value) for name, value in sorted(flag.basis.computed.items())]
    extensions += [_number("threshold", name, value) for name, value in sorted(flag.basis.thresholds.items())]
    extensions += [{"url": MISSING, "valueString": what} for what in flag.basis.missing]
    if flag.supersedes:
        earlier = place.identifier(flag.supersedes)[0]["value"]
        extensions.append({"url": SUPERSEDES, "valueIdentifier": {"system": IDENTIFIER, "value": earlier}})
    return {
        "id": flag_name(place, flag),
        "meta": {"security": [AIAST]},
        "identifier": place.identifier(flag.id),
        "extension": extensions,
    }


def _number(role: str, name: str, value: Decimal) -> Object:
    parts: list[Object] = [
        {"url": "role", "valueCode": role},
        {"url": "name", "valueString": name},
        {"url": "value", "valueDecimal": value},
    ]
    return {"url": BASIS, "extension": parts}


def _code(flag: Flag) -> Object:
    coding = [{"system": FLAG_TYPES, "code": flag.type}]
    if flag.type in _ACT_CODES:
        coding.insert(0, {"system": ACT_CODE, "code": _ACT_CODES[flag.type]})
    return {"coding": coding}


def _issue(place: Place, flag: Flag, device: str, mentions: dict[str, Mention]) -> Object:
    common = _common(place, flag)
    time = place.timed("identifiedDateTime", flag.elapsed)
    extensions = [*common.pop("extension"), *time.pop("extension", ())]
    evidence = [_input_evidence(place, row) for row in flag.basis.inputs]
    for span in flag.basis.text_spans:
        place_of = place_span(place, span.note, span.start, span.end, mention=mentions.get(span.mention))
        if place_of is not None:  # a span of an earlier message has no document in this Bundle
            evidence.append({"extension": [place_of]})
    issue: Object = {"resourceType": "DetectedIssue", **common}
    if extensions:
        issue["extension"] = extensions
    issue |= {
        "status": "cancelled" if flag.ended else flag.status,
        "code": _code(flag),
        "severity": _SEVERITY[flag.severity],
        "patient": place.patient,
        **time,
        "author": {"reference": device},
        "detail": explanation(flag),
        "reference": flag.basis.citation,
    }
    if evidence:
        issue["evidence"] = evidence
    return issue


def _input_evidence(place: Place, row: Input) -> Object:
    evidence: Object = {"code": [{"text": input_text(row)}]}
    if not place.subject.original:  # the tokens in fact ids stay out of what goes to people who know the patient
        evidence["detail"] = [{"identifier": {"system": FACT, "value": row.ref}}]
    return evidence


def _risk(place: Place, flag: Flag, device: str) -> Object:
    common = _common(place, flag)
    time = place.timed("occurrenceDateTime", flag.elapsed)
    extensions = [*common.pop("extension"), *time.pop("extension", ())]
    risk: Object = {"resourceType": "RiskAssessment", **common}
    if extensions:
        risk["extension"] = extensions
    return risk | {
        "status": "cancelled" if flag.ended else flag.status,
        "method": {"text": flag.basis.logic},
        "code": _code(flag),
        "subject": place.patient,
        **time,
        "performer": {"reference": device},
        "prediction": [{"outcome": {"text": flag.summary}, "probabilityDecimal": round(flag.score or 0.0, 4)}],
        "note": [{"text": explanation(flag)}],
    }
