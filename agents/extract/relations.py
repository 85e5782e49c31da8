"""Relations inside one sentence: which drug a dose belongs to, which test a value belongs to; by position alone.

An attribute goes to the nearest drug before it, else to the first one after it ("20 mg of lisinopril"); a duration only to a
drug before it with no problem between. A value goes to the nearest test before it; each value is used once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agents.extract.rules import ATTRIBUTES, SOURCE
from schemas.findings import Mention, Relation

#: A value further from its test than this many characters is not taken for its result.
_VALUE_REACH = 60


def relate(sentence: Sequence[Mention], make_id: Callable[[str, str, str], str]) -> list[Relation]:
    """Relations among the mentions of one sentence, which stand in text order. ``make_id(type, head id, tail id)``."""
    found: list[Relation] = []
    used: set[str] = set()
    for at, tail in enumerate(sentence):
        head: Mention | None = None
        if tail.type in ATTRIBUTES:
            head = _drug(sentence, at)
            kind = f"medication-{tail.type}"
        elif tail.type == "value":
            head = next((m for m in reversed(sentence[:at]) if m.type == "test"), None)
            if head is not None and (tail.start - head.end > _VALUE_REACH or head.id in used):
                head = None
            kind = "test-value"
        if head is not None:
            used.add(head.id)
            score = min(head.score, tail.score)
            found.append(Relation(id=make_id(kind, head.id, tail.id), type=kind, head=head.id, tail=tail.id, score=score, source=SOURCE))
    return found


def _drug(sentence: Sequence[Mention], at: int) -> Mention | None:
    for mention in reversed(sentence[:at]):
        if mention.type == "medication":
            return mention
        if sentence[at].type == "duration" and mention.type in ("problem", "finding"):
            return None
    if sentence[at].type == "duration":
        return None
    return next((m for m in sentence[at + 1 :] if m.type == "medication"), None)
