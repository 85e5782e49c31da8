"""Why a note is worth a reviewer's time. Pure and deterministic: shares are drawn by a hash of the note's place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agents.feedback.policy import Policy, StreamReason
from schemas.clinical import Fact
from schemas.findings import Findings, Mention
from schemas.flags import Flag, Opinion
from schemas.ids import draw

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
_RARE_NAME = 0.7
_RARE_TYPE = 0.6
_UNFAMILIAR = 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """What the stream has seen before this message. ``rare_types``: of mentions; ``rare_names``: folded names of medications;
    ``drifting``: messages of this sender and kind have shifted."""

    new_sender: bool = False
    drifting: bool = False
    rare_types: frozenset[str] = frozenset()
    rare_names: frozenset[str] = frozenset()


NOTHING = Seen()


@dataclass(frozen=True, slots=True)
class Sign:
    """One reason that holds. ``score`` orders the queue, 1 most informative; ``words`` are fixed words and numbers, none of the note's."""

    reason: StreamReason
    score: float
    words: str


def signs(
    findings: Findings, flags: Sequence[Flag], path: str, policy: Policy, opinions: Sequence[Opinion] = (), seen: Seen = NOTHING
) -> tuple[Sign, ...]:
    """Every reason for which the note at ``path`` should be reviewed, in the policy's order; the strongest sign of each."""
    mentions = [mention for mention in findings.mentions if mention.note == path]
    here = [one for one in opinions if one.note == path]
    found = [*_disagreements(findings, flags, mentions, here), *_uncertain(mentions, here, policy), *_rare(mentions, seen)]
    if seen.new_sender:
        found.append(Sign("new_sender", _UNFAMILIAR, "among the first of its sender"))
    if seen.drifting and draw(findings.origin, path, "drift") < policy.drift.share:
        found.append(Sign("drift", _UNFAMILIAR, "its sender's messages have shifted"))
    best: dict[str, Sign] = {}
    for sign in found:
        if sign.reason not in best or sign.score > best[sign.reason].score:
            best[sign.reason] = sign
    return tuple(best[reason] for reason in policy.priorities if reason in best)


def drawn(findings: Findings, path: str, policy: Policy) -> bool:
    """Whether chance takes the note, whatever else holds."""
    return draw(findings.origin, path) < policy.random.share


def _disagreements(
    findings: Findings, flags: Sequence[Flag], mentions: Sequence[Mention], opinions: Sequence[Opinion]
) -> Iterator[Sign]:
    """Signs that two of the system's opinions cannot both be right."""
    present = {(m.type, folded(m)) for m in mentions if _current(m) and not m.assertion.negated}
    denied = [m for m in mentions if _current(m) and m.assertion.negated]
    if any((m.type, folded(m)) in present for m in denied):
        yield Sign("disagreement", _CONTRADICTION, "says and denies the same")
    if any(_denies(m, findings.facts, flags) for m in denied):
        yield Sign("disagreement", _DENIED, "denies what is coded")
    for one in opinions:
        if one.disagrees:
            yield Sign("disagreement", _MODEL_AGAINST_RULE, f"model against rule {one.type}")
    tails = {relation.tail for relation in findings.relations}
    if any(m.type in _ATTRIBUTES and m.source.startswith(_RULES) and m.id not in tails for m in mentions):
        yield Sign("disagreement", _ORPHAN, "dosage without a drug")


def _uncertain(mentions: Sequence[Mention], opinions: Sequence[Opinion], policy: Policy) -> Iterator[Sign]:
    scores = [m.score for m in mentions if _by_model(m)]
    lowest = min(scores, default=1.0)
    if lowest < policy.uncertain.score_below:
        yield Sign("uncertain", round(1 - lowest, 4), f"score {lowest:.2f}")
    margin = min((abs(2 * one.score - 1) for one in opinions), default=1.0)
    if margin < policy.uncertain.margin_below:
        yield Sign("uncertain", round(1 - margin, 4), f"margin {margin:.2f}")


def _rare(mentions: Sequence[Mention], seen: Seen) -> Iterator[Sign]:
    for mention in mentions:
        if mention.type in seen.rare_types:
            yield Sign("rare", _RARE_TYPE, f"rare type {mention.type}")
        if folded(mention) in seen.rare_names and is_unlinked_name(mention):
            yield Sign("rare", _RARE_NAME, "rare medication without a code")


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


def is_unlinked_name(mention: Mention) -> bool:
    """A medication that no vocabulary knows, or that none was asked about."""
    return mention.type == "medication" and not mention.codes


def folded(mention: Mention) -> str:
    """The mention's words for comparing."""
    return " ".join(mention.text.casefold().split())


def _by_model(mention: Mention) -> bool:
    return not mention.source.startswith(_RULES) and mention.source != _GIVEN
