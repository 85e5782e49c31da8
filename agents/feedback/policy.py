"""Which notes are worth a reviewer's time. Pure and deterministic: the random share is drawn by a hash of the note's place."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.clinical import Fact
from schemas.findings import Findings, Mention
from schemas.flags import Flag, Opinion
from schemas.samples import SampleReason

#: Mentions of these sources are no model's opinion.
_RULES = "rules/"
_GIVEN = "given"
#: Attributes that make no sense without a drug: found by rule where the model saw none, one of the two is wrong.
_ATTRIBUTES = frozenset({"dosage", "route", "frequency", "duration"})
#: What a flag is about, so that a sentence denying it can be seen to contradict structured input (ICD-10-CM).
_FLAG_CODES = {"suicide.ideation": ("R45.851", "T14.91")}

_CONTRADICTION = 1.0
#: A classifier and the rule of the same flag say different things of the note.
_MODEL_AGAINST_RULE = 0.9
_DENIED = 0.95
_ORPHAN = 0.8


@dataclass(frozen=True, slots=True)
class Policy:
    """``uncertain_below``: a model's score under it is uncertain; ``random_share`` of all notes, 0 to 1."""

    uncertain_below: float
    random_share: float


@dataclass(frozen=True, slots=True)
class Proposal:
    """``score`` orders the queue, 1 most informative."""

    reason: SampleReason
    score: float


def propose(
    findings: Findings, flags: Sequence[Flag], path: str, policy: Policy, opinions: Sequence[Opinion] = ()
) -> Proposal | None:
    """Whether the note at ``path`` should be reviewed, and why; disagreement before uncertainty before chance."""
    mentions = [mention for mention in findings.mentions if mention.note == path]
    against = _MODEL_AGAINST_RULE if any(one.disagrees and one.note == path for one in opinions) else 0.0
    disagreement = max(_disagreement(findings, flags, mentions), against)
    if disagreement:
        return Proposal("disagreement", disagreement)
    uncertain = [m.score for m in mentions if _by_model(m) and m.score < policy.uncertain_below]
    if uncertain:
        return Proposal("uncertain", round(1 - min(uncertain), 4))
    if draw(findings.origin, path) < policy.random_share:
        return Proposal("random", 0.0)
    return None


def draw(origin: str, path: str) -> float:
    """A number in [0, 1) that is the same for the same note whenever it is drawn."""
    digest = hashlib.sha256(f"{origin}\x1f{path}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def _disagreement(findings: Findings, flags: Sequence[Flag], mentions: Sequence[Mention]) -> float:
    """The strongest sign that two of the system's opinions cannot both be right; 0 for none."""
    signs = [0.0]
    present = {(m.type, _folded(m)) for m in mentions if _current(m) and not m.assertion.negated}
    denied = [m for m in mentions if _current(m) and m.assertion.negated]
    if any((m.type, _folded(m)) in present for m in denied):
        signs.append(_CONTRADICTION)
    if any(_denies(m, findings.facts, flags) for m in denied):
        signs.append(_DENIED)
    tails = {relation.tail for relation in findings.relations}
    if any(m.type in _ATTRIBUTES and m.source.startswith(_RULES) and m.id not in tails for m in mentions):
        signs.append(_ORPHAN)
    return max(signs)


def _denies(mention: Mention, facts: Sequence[Fact], flags: Sequence[Flag]) -> bool:
    """The text denies what a coded problem of the same message states, or what a flag was raised for from structured input."""
    codes = {coding.code for coding in mention.codes if coding.code}
    stated = {c.code for fact in facts if fact.kind == "problem" and not fact.retracted for c in fact.codes}
    if codes & stated:
        return True
    flagged = [code for flag in flags if flag.basis.inputs and not flag.withdrawn for code in _FLAG_CODES.get(flag.type, ())]
    return any(code.startswith(wanted) for code in codes for wanted in flagged)


def _current(mention: Mention) -> bool:
    assertion = mention.assertion
    return not (assertion.historical or assertion.hypothetical or assertion.family or assertion.possible)


def _folded(mention: Mention) -> str:
    return " ".join(mention.text.casefold().split())


def _by_model(mention: Mention) -> bool:
    return not mention.source.startswith(_RULES) and mention.source != _GIVEN
