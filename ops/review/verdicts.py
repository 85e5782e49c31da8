"""From what a reviewer sent to the label that goes to the topic, checked; and the guideline whose version stands in it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from agents.extract.rules import ATTRIBUTES
from ops.audited import Act, audit_entry, output_of
from ops.review.accounts import Account
from schemas.errors import ConfigurationError, MalformedMessage, Reason
from schemas.findings import MENTION_TYPES, Assertion
from schemas.ids import derived_id
from schemas.labels import ADJUDICATED, FlagVerdict, ReviewedLabel, ReviewedSpan
from schemas.samples import Sample
from streams import topics
from streams.record import Output
from training.data.reviewers import edits_of

#: Types of which a note can say that they are absent, another's, or past; the others belong to one of these.
ASSERTED = frozenset(MENTION_TYPES) - ATTRIBUTES - {"value"}
_GUIDELINE = Path(__file__).with_name("guideline.md")
_VERSION = re.compile(r"\bversion\s+([\w.]+)", re.IGNORECASE)
_NOW = Assertion()


class Given(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the page sends: the spans as they stand, all of them. ``adjudicated``: it settles what reviewers disagreed on."""

    sample: str
    spans: tuple[ReviewedSpan, ...]
    flags: dict[str, FlagVerdict] = {}
    adjudicated: bool = False


@dataclass(frozen=True, slots=True)
class Guideline:
    """``version``: the one in its first line, and the digest of the text, which nobody can forget to raise."""

    text: str
    version: str

    @classmethod
    def load(cls, path: Path | None) -> Guideline:
        """Raises ConfigurationError: the file cannot be read."""
        try:
            text = (path or _GUIDELINE).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            raise ConfigurationError(path="review.guideline", detail="the file cannot be read") from None
        named = _VERSION.search(text.partition("\n")[0])
        mark = hashlib.sha256(text.encode()).hexdigest()[:8]
        return cls(text, f"{named[1]}+{mark}" if named else mark)


def prefill(sample: Sample) -> tuple[ReviewedSpan, ...]:
    """The model's spans as a reviewer would have given them."""
    return tuple(
        ReviewedSpan(start=m.start, end=m.end, type=m.type, assertion=m.assertion if m.type in ASSERTED else None)
        for m in sample.mentions
    )


def label_of(
    sample: Sample,
    spans: tuple[ReviewedSpan, ...],
    reviewer: str,
    *,
    guideline: str,
    decided: str,
    flags: dict[str, FlagVerdict] | None = None,
    judged: bool = True,
    adjudicated: bool = False,
) -> ReviewedLabel:
    """The label of one reviewer, complete for all types; a later one of the same reviewer has the same id and takes its place.

    Args:
        reviewer: pseudonym.
        judged: assertions were looked at: a span without one is present, certain, current, the patient's.

    Raises:
        MalformedMessage: a span is empty or leaves the note, two have the same place, or a flag is none of the sample's.
    """
    places = [(span.start, span.end) for span in spans]
    if len(set(places)) < len(places) or any(not 0 <= start < end <= len(sample.note.text) for start, end in places):
        raise MalformedMessage(Reason.SCHEMA_MISMATCH, path="spans")
    if not set(flags or {}) <= set(sample.flags):
        raise MalformedMessage(Reason.SCHEMA_MISMATCH, path="flags")
    name = ADJUDICATED + reviewer if adjudicated else reviewer
    return ReviewedLabel(
        id=derived_id(sample.id, "review", ordinal=name),
        sample=sample.id,
        subject=sample.subject,
        note=sample.note,
        reviewer=name,
        guideline=guideline,
        decided=decided,
        annotated=MENTION_TYPES,
        spans=tuple(sorted((_asserted(span, judged) for span in spans), key=lambda span: (span.start, span.end))),
        flags=flags or {},
        evidence={flag: sample.evidence[flag] for flag in sorted(flags or {}) if flag in sample.evidence},
        edits=edits_of(prefill(sample), spans),
    )


def outputs(label: ReviewedLabel, act: Act) -> tuple[Output, Output]:
    """The audit entry, which goes first, and the label."""
    value = msgspec.json.encode(label, order="deterministic")
    return (
        audit_entry(act, "review", "success", label.subject, record=label.id),
        output_of(topics.LABEL, act, label.id, label.subject, value, key=label.id.encode()),
    )


def erased(label: str, act: Act) -> Output:
    """A record without a value: the label's patient was erased while it was under review."""
    return output_of(topics.LABEL, act, label, "", None, key=label.encode())


def act_of(account: Account, time: str) -> str:
    """Id of one act of reviewing."""
    return derived_id(account.name, "review", ordinal=time)


def _asserted(span: ReviewedSpan, judged: bool) -> ReviewedSpan:
    if span.type not in ASSERTED:
        return ReviewedSpan(start=span.start, end=span.end, type=span.type)
    return msgspec.structs.replace(span, assertion=_NOW) if judged and span.assertion is None else span
