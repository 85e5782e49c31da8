"""The pure step: a decision in, candidates for review out; an admitted candidate becomes a sample. De-identified text only, with the versions
that made the labels and all the reasons."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import msgspec

from agents.feedback.policy import Policy
from agents.feedback.reasons import NOTHING, Seen, drawn, signs
from schemas.cards import Outcome
from schemas.findings import FindingsNote
from schemas.flags import Decision, Flag
from schemas.ids import derived_id, draw
from schemas.samples import FlagEvidence, Sample, SampleReason

STAGE = "feedback"

#: The second leak check: the kind of identifier that a finished text seems to hold, empty for none.
Check = Callable[[str], str]

_OVERRIDDEN, _ACCEPTED = 0.9, 0.2


class Proposal(msgspec.Struct, frozen=True):
    """Why a sample was taken; kept by the store, so that the message gets the same answer when it comes again."""

    reason: SampleReason
    score: float
    why: tuple[str, ...]
    selection: str


class Limit(msgspec.Struct, frozen=True):
    """``count`` (day, reason, sender, patient or random; ``counter`` the whole name) may reach ``most``."""

    cause: str
    counter: str
    most: int


class Way(msgspec.Struct, frozen=True):
    """One budget that could pay for a sample, and what the sample would say then."""

    proposal: Proposal
    limits: tuple[Limit, ...]


class Candidate(msgspec.Struct, frozen=True):
    """``sample`` lacks its reason, ``day`` is the receipt's (ISO 8601), ``ways`` are tried in order; without any it is taken only if it was before."""

    sample: Sample
    day: str
    ways: tuple[Way, ...]


def candidates(decision: Decision, policy: Policy, seen: Seen = NOTHING) -> Iterator[Candidate]:
    """At most one candidate for each note of the message, in the order of the notes."""
    findings = decision.findings
    for note in findings.notes:
        if not note.text.strip():
            continue
        found = signs(findings, decision.flags, note.path, policy, decision.opinions, seen)
        score = max((sign.score for sign in found), default=0.0)
        words = tuple(f"{sign.reason}: {sign.words}" for sign in found)
        sample, day = sample_of(decision, note), findings.time[:10]
        ways = []
        if drawn(findings, note.path, policy):
            why = (f"random: share {policy.random.share:g}", *words)
            ways.append(
                Way(Proposal("random", score, why, policy.selection), (Limit("random", "random", policy.random.per_day),))
            )
        ways += [
            Way(Proposal(sign.reason, score, words, policy.selection), _limits(policy, sign.reason, sample, day))
            for sign in found
        ]
        if ways:
            yield Candidate(sample, day, tuple(ways))


def proposals_of_comparison(published: Decision, shadow: Decision, policy: Policy) -> Iterator[Candidate]:
    """Notes of one message about which the challenger of a shadow replay says otherwise than the published champion, for the reason
    ``disagreement``; the champion's mentions are the prefilled labels. ``score`` is the share of the mentions that differ."""
    notes = {note.path: note.sha256 for note in shadow.findings.notes}
    for note in published.findings.notes:
        if not note.text.strip() or notes.get(note.path) != note.sha256:
            continue
        champion, challenger = (
            {(m.type, m.start, m.end, m.assertion) for m in one.findings.mentions if m.note == note.path}
            for one in (published, shadow)
        )
        if champion == challenger:
            continue
        differing, total = len(champion ^ challenger), len(champion | challenger)
        why = (f"disagreement: challenger adds {len(challenger - champion)}, loses {len(champion - challenger)}",)
        sample, day = sample_of(published, note), published.findings.time[:10]
        proposal = Proposal("disagreement", round(differing / total, 4), why, policy.selection)
        yield Candidate(sample, day, (Way(proposal, _limits(policy, "disagreement", sample, day)),))


def sample_of(decision: Decision, note: FindingsNote) -> Sample:
    """The sample of one note, without a reason yet. Its id depends on message, note and policy of de-identification alone."""
    findings = decision.findings
    cited = {flag.id: flag for flag in decision.flags if note in notes_of(flag, (note,))}
    return Sample(
        id=derived_id(decision.id, STAGE, policy=findings.versions.policy, ordinal=note.path),
        origin=findings.origin,
        subject=findings.subject,
        reason="random",
        score=0.0,
        note=note,
        mentions=tuple(mention for mention in findings.mentions if mention.note == note.path),
        flags=tuple(sorted(cited)),
        summaries={name: f"{flag.type}: {flag.summary}" for name, flag in cited.items()},
        evidence={name: _evidence(flag, note) for name, flag in cited.items()},
        versions=findings.versions,
        sender=findings.sender,
    )


def _evidence(flag: Flag, note: FindingsNote) -> FlagEvidence:
    places = {(span.start, span.end) for span in flag.basis.text_spans if span.sha256 == note.sha256}
    return FlagEvidence(type=flag.type, spans=tuple(sorted(places)))


def admitted(sample: Sample, proposal: Proposal, weak: dict[str, Outcome] | None = None) -> Sample:
    """The sample as it is proposed; ``weak``: what clinicians did with its flags so far."""
    return msgspec.structs.replace(
        sample,
        reason=proposal.reason,
        score=proposal.score,
        why=proposal.why,
        selection=proposal.selection,
        weak=weak or {},
    )


def flagged(decision: Decision) -> Iterator[tuple[Flag, tuple[Sample, ...]]]:
    """The flags that a card can show, each with the notes behind it: those that it cites, else every note of its message."""
    findings = decision.findings
    for flag in decision.flags:
        if flag.ended:
            continue
        notes = notes_of(flag, findings.notes) or findings.notes
        found = tuple(sample_of(decision, note) for note in notes if note.text.strip())
        if found:
            yield flag, found


def notes_of(flag: Flag, notes: Sequence[FindingsNote]) -> tuple[FindingsNote, ...]:
    """Those of ``notes`` in which the flag's evidence stands."""
    cited = {span.sha256 for span in flag.basis.text_spans}
    return tuple(note for note in notes if note.sha256 in cited)


def for_card(sample: Sample, day: str, outcome: Outcome, reason: str, card: str, policy: Policy) -> Candidate:
    """A note whose card a clinician answered; without a way where the policy's share leaves it out, so that it is proposed again only where
    it was before. ``day``: of its message's receipt."""
    share = policy.cards.overridden if outcome == "overridden" else policy.cards.accepted
    why = f"{outcome}: {reason}" if reason else f"{outcome}: share {share:g}"
    proposal = Proposal(outcome, _OVERRIDDEN if outcome == "overridden" else _ACCEPTED, (why,), policy.selection)
    way = Way(proposal, _limits(policy, outcome, sample, day))
    return Candidate(sample, day, (way,) if draw(card, sample.note.path) < share else ())


def _limits(policy: Policy, reason: SampleReason, sample: Sample, day: str) -> tuple[Limit, ...]:
    """What the budget says of one more sample of this patient and sender for this reason."""
    budget = policy.budget
    patient = hashlib.sha256(f"{day}\x1f{sample.subject}".encode()).hexdigest()[:16]
    found = [
        Limit("day", "day", budget.per_day),
        Limit("reason", f"reason:{reason}", budget.per_reason[reason]),
        Limit("patient", f"patient:{patient}", budget.per_patient),
    ]
    if sample.sender:
        found.append(Limit("sender", f"sender:{sample.sender}", budget.per_sender))
    return tuple(found)
