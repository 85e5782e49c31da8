"""FHIR readers over any JSON: numbers as written, a result or a coded refusal, parts that read back."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import MalformedMessage, Poison
from schemas.fhir.clinical import fact_time_paths, read_clinical, read_leaf, replace_part
from schemas.fhir.definitions import elements
from schemas.fhir.identity import read_identity
from schemas.fhir.json import decode, encode
from schemas.fhir.references import patients_of, split_by_patient
from schemas.fhir.validate import validate

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?([eE][+-]?[0-9]{1,2})?", fullmatch=True).filter(
    lambda text: text != "-0"
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)

KINDS = ["Observation", "Patient", "Condition", "DocumentReference", "MedicationRequest", "Bundle", "Composition",
         "QuestionnaireResponse", "AllergyIntolerance", "DiagnosticReport", "Binary"]  # fmt: skip
NAMES = sorted({name for kind in [*KINDS, "HumanName", "Reference", "Attachment", "BundleEntry", "Coding", "CodeableConcept", "Dosage",
                                  "ObservationComponent", "CompositionSection", "Narrative", "Quantity", "Extension"]
                for name in elements(kind)})  # fmt: skip
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | texts
    | st.sampled_from(["Patient/1", "#1", "urn:uuid:1", "text/plain", "YQ=="])
)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(NAMES) | texts, inner, max_size=6)


values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | objects(inner), max_leaves=12)
resources = st.builds(lambda kind, body: {**body, "resourceType": kind}, st.sampled_from(KINDS), objects(values))
bundles = st.builds(
    lambda inner: {"resourceType": "Bundle", "entry": [{"resource": resource} for resource in inner]},
    st.lists(resources, max_size=4),
)


@given(numbers)
@FEW
def test_any_fhir_number_is_written_as_it_was_read(number: str) -> None:
    """No digit, sign, exponent or trailing zero is lost."""
    payload = f'{{"value":{number}}}'.encode()
    assert encode(decode(payload)) == payload


@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,\\ \n01eE.-utrfalsn', max_size=60).map(str.encode))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_an_object_or_a_coded_refusal(payload: bytes) -> None:
    """Where the standard library reads an object without duplicates we read the same; nothing else is let in."""
    try:
        ours = decode(payload)
    except MalformedMessage:
        return
    assert json.loads(payload, parse_float=str) == json.loads(encode(ours), parse_float=str)


@given(st.lists(st.tuples(texts, st.integers()), min_size=1, max_size=4), st.sampled_from([":", " :", ": ", "\n:"]))
@FEW
def test_duplicate_keys_are_always_seen(pairs: list[tuple[str, int]], colon: str) -> None:
    """Whatever the keys and the spacing, the payload is refused exactly when a key comes twice."""
    payload = "{" + ",".join(f"{json.dumps(key)}{colon}{value}" for key, value in pairs) + "}"
    unique = len({key for key, _ in pairs}) == len(pairs)
    try:
        decode(payload.encode())
        assert unique
    except MalformedMessage:
        assert not unique


@given(resources | bundles)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_readers_take_any_shape(resource: dict[str, Any]) -> None:
    """Nothing but our own errors, every path resolves, and every fact has its own path."""
    clinical = read_clinical(resource)
    paths = fact_time_paths(resource)
    assert {fact.path for fact in clinical.facts} == set(paths)
    assert len(paths) == len(clinical.facts)
    for note in clinical.notes:
        assert isinstance(read_leaf(resource, note.path), str)
    try:
        read_identity(resource)
    except Poison:
        assert len(patients_of(resource)) > 1
    for part in split_by_patient(resource):
        assert len(patients_of(part)) <= 1
        read_identity(part)


@given(resources | bundles)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_validation_only_ever_accepts_or_refuses(resource: dict[str, Any]) -> None:
    """Any shape gives None or a coded refusal."""
    try:
        validate(resource)
    except Poison:
        return


@given(texts.filter(bool))
@FEW
def test_any_replaced_part_reads_back(text: str) -> None:
    """The clean note is the very text that was put in, whatever stood there before."""
    report: dict[str, Any] = {
        "resourceType": "DiagnosticReport",
        "text": {"status": "additional", "div": "<div>One</div>"},
        "conclusion": "Two",
        "presentedForm": [{"contentType": "text/html", "data": base64.b64encode(b"<p>Three</p>").decode()}],
    }
    paths = [note.path for note in read_clinical(report).notes]
    for path in paths:
        replace_part(report, path, text)
    again = decode(encode(report))
    assert [note.text for note in read_clinical(again).notes] == ([text] * 3 if text.strip() else [])
