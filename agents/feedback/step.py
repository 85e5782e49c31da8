"""The pure step: a decision in, samples for review out. De-identified text only, with the versions that made the labels."""

from __future__ import annotations

from agents.feedback.policy import Policy, propose
from schemas.flags import Decision
from schemas.ids import derived_id
from schemas.samples import Sample
from streams.settings import Settings

STAGE = "feedback"


def samples(decision: Decision, policy: Policy) -> tuple[Sample, ...]:
    """At most one sample for each note of the message, in the order of the notes."""
    findings = decision.findings
    found: list[Sample] = []
    for note in findings.notes:
        proposal = propose(findings, decision.flags, note.path, policy, decision.opinions)
        if proposal is None or not note.text.strip():
            continue
        spans = {
            flag.id: f"{flag.type}: {flag.summary}"
            for flag in decision.flags
            for span in flag.basis.text_spans
            if span.sha256 == note.sha256
        }
        found.append(
            Sample(
                id=derived_id(decision.id, STAGE, policy=findings.versions.policy, ordinal=note.path),
                origin=findings.origin,
                subject=findings.subject,
                reason=proposal.reason,
                score=proposal.score,
                note=note,
                mentions=tuple(mention for mention in findings.mentions if mention.note == note.path),
                flags=tuple(sorted(spans)),
                summaries=spans,
                versions=findings.versions,
            )
        )
    return tuple(found)


def make_policy(settings: Settings) -> Policy:
    return Policy(settings.feedback.uncertain_below, settings.feedback.random_share)
