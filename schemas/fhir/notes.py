"""The readable text of resources: documents, comments, conclusions, narratives, instructions."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import Literal

from schemas.attachments import Format, decode_base64, open_attachment
from schemas.clinical import Coding, Note, NotePart
from schemas.errors import MalformedMessage, Reason
from schemas.fhir.values import Object, codings, is_prose, one_coding, string
from schemas.fhir.walk import Node, contents, parent_of, read_leaf, set_leaf, walk
from schemas.markup import html_to_text, text_to_xhtml
from schemas.scan import OpenScan, Scan

#: Elements of type string that hold running text, as (type, element); every markdown element is one anyway.
_TEXT_STRINGS = frozenset({
    ("DiagnosticReport", "conclusion"), ("ClinicalImpression", "description"), ("ClinicalImpression", "summary"),
    ("CommunicationPayload", "contentString"), ("CommunicationRequestPayload", "contentString"),
    ("AllergyIntoleranceReaction", "description"), ("DocumentReference", "description"), ("ImagingStudy", "description"),
    ("ImagingStudySeries", "description"), ("ServiceRequest", "patientInstruction"), ("Dosage", "text"),
    ("Dosage", "patientInstruction"), ("MedicationAdministrationDosage", "text"), ("CarePlan", "description"),
    ("CarePlanActivityDetail", "description"), ("Appointment", "comment"), ("Appointment", "description"), ("Task", "description"),
    ("NutritionOrderOralDiet", "instruction"), ("NutritionOrderEnteralFormula", "administrationInstruction"),
    ("BodyStructure", "description"), ("RiskAssessment", "mitigation"), ("DetectedIssue", "detail"),
})  # fmt: skip

#: Values that are a word or a number as often as they are text.
_MIXED_STRINGS = frozenset({
    ("Observation", "valueString"), ("ObservationComponent", "valueString"), ("QuestionnaireResponseItemAnswer", "valueString"),
})  # fmt: skip

#: http://hl7.org/fhir/R4/valueset-narrative-status.html: ``generated`` says nothing that the structured data does not say.
_REPEATS_DATA = frozenset({"generated", "empty"})


@dataclass(slots=True)
class Notes:
    """``refused``: path -> reason code of an attachment or narrative that cannot be opened; ``scans``: path -> the pages behind the text."""

    open_scan: OpenScan | None = None
    scans: dict[str, Scan] = field(default_factory=dict)
    found: list[Note] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)


def read_notes(root: Object, open_scan: OpenScan | None = None) -> Notes:
    """Notes in the order of the message, those of contained resources included; scanned pages only with ``open_scan``."""
    notes = Notes(open_scan)
    for path, resource, _ in contents(root):
        _Reader(notes, resource).read(path)
    return notes


def replace_part(root: Object, path: str, text: str) -> None:
    """Put ``text`` at the leaf of a note part, so that reading again gives exactly ``text``.

    An attachment becomes ``text/plain; charset=utf-8`` without size, hash and url; a narrative becomes one ``pre``. An empty text
    removes the element, because FHIR has no empty strings.

    Raises:
        KeyError: nothing stands at ``path``.
        ValueError: not a path.
    """
    read_leaf(root, path)
    holder, name = parent_of(root, path), path.rpartition(".")[2]
    if not text:
        if name in holder:
            del holder[name]
        return
    if name == "data":
        for stale in ("size", "hash", "url", "_data", "_size", "_hash", "_url", "_contentType"):
            holder.pop(stale, None)
        holder["contentType"] = "text/plain; charset=utf-8"
        # a reader takes the first byte order mark away
        marked = f"\ufeff{text}" if text.startswith("\ufeff") else text
        holder["data"] = base64.b64encode(marked.encode()).decode()
    elif name == "div":
        holder["div"] = text_to_xhtml(text)
    else:
        set_leaf(root, path, text)


#: An attachment that is, or whose holder is, one of several.
_LISTED = re.compile(r"(.+)\.([A-Za-z]+)\[\d+\](?:\.([A-Za-z]+))?\.data")


def add_picture(root: Object, path: str, data: bytes, media_type: str) -> str | None:
    """One more attachment in the list that holds the one at ``path``, with this picture or PDF; the new path. ``None`` where the
    resource has room for one only. Raises KeyError when nothing stands at ``path``."""
    read_leaf(root, path)
    match = _LISTED.fullmatch(path)
    if match is None:
        return None
    holder, name, key = match.groups()
    rows = parent_of(root, f"{holder}.{name}")[name]
    attachment: Object = {"contentType": media_type, "data": base64.b64encode(data).decode()}
    rows.append({key: attachment} if key else attachment)
    return f"{holder}.{name}[{len(rows) - 1}]{f'.{key}' if key else ''}.data"


class _Reader:
    """Notes of one resource; resources inside it are read on their own."""

    def __init__(self, notes: Notes, resource: Object) -> None:
        self._notes = notes
        self._resource = resource
        self._kind = string(resource, "resourceType")
        self._codes = codings(resource.get("type")) if self._kind != "Bundle" else ()
        self._codes = self._codes or codings(resource.get("code"))
        self._author = _author(resource)
        self._sections: dict[str, Object] = {}

    def read(self, path: str) -> None:
        for node in walk(self._resource, path, nested=False):
            if node.type == "CompositionSection":
                self._sections[node.path] = node.value
            elif node.type == "Attachment":
                self._attachment(f"{node.path}.data", node.value)
            elif isinstance(node.value, str):
                self._leaf(node)
        if self._kind == "Binary":
            self._attachment(f"{path}.data", self._resource)

    def _leaf(self, node: Node) -> None:
        place = (node.parent_type, node.name.rpartition(".")[2])
        if node.type == "xhtml":
            self._narrative(node)
        elif node.type == "markdown" or place in _TEXT_STRINGS or (place in _MIXED_STRINGS and is_prose(node.value)):
            self._add(node.path, node.value, "plain", self._codes)

    def _attachment(self, path: str, holder: Object) -> None:
        data = holder.get("data")
        if not isinstance(data, str) or not data:
            return
        try:
            opened = open_attachment(decode_base64(data), string(holder, "contentType"), self._notes.open_scan)
        except MalformedMessage as error:
            self._notes.refused[path] = error.reason.value
            return
        if opened is None:
            self._notes.refused[path] = Reason.UNSUPPORTED_CONTENT_TYPE.value
            return
        self._add(path, opened.text, opened.format, self._codes)
        if opened.scan is not None and opened.text.strip():
            self._notes.scans[path] = opened.scan
        self._notes.used.add(f"{path.removesuffix('.data')}.contentType")

    def _narrative(self, node: Node) -> None:
        section = self._sections.get(node.path.removesuffix(".text.div"))
        # a section without entries has nothing that its narrative could be generated from
        if string(node.parent, "status") in _REPEATS_DATA and (section is None or section.get("entry")):
            return
        self._add(node.path, html_to_text(node.value), "narrative", _section_codes(section) if section else self._codes)

    def _add(self, path: str, text: str, form: Format, codes: tuple[Coding, ...]) -> None:
        self._notes.used.add(path)
        if text.strip():
            part = NotePart(path=path, start=0, end=len(text))
            status = string(self._resource, "docStatus") or string(self._resource, "status")
            self._notes.found.append(
                Note(path=path, text=text, parts=(part,), format=form, codes=codes, status=status, author=self._author)
            )


def _section_codes(section: Object) -> tuple[Coding, ...]:
    titled = one_coding({"display": section.get("title")})
    return codings(section.get("code")) or ((titled,) if titled else ())


def _author(resource: Object) -> Literal["", "patient", "relative"]:
    """Of a message whose sender is the patient or one of theirs."""
    sender = resource.get("sender") if resource.get("resourceType") == "Communication" else None
    reference = string(sender, "reference") if isinstance(sender, dict) else ""
    kind = re.match(r"(?:.*/)?(Patient|RelatedPerson)/", reference)
    return "" if kind is None else "patient" if kind[1] == "Patient" else "relative"
