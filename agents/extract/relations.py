"""Relations inside one sentence: which drug a dose belongs to, which test a value belongs to; by position alone.

An attribute goes to the nearest drug before it, else to the first one after it ("20 mg of lisinopril"); a duration only to a
drug before it with no problem between. A value goes to the nearest test before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agents.extract.causes import causes
from agents.extract.places import places
from agents.extract.rules import ATTRIBUTES, SOURCE
from schemas.findings import Mention, Relation

#: A value further from its test than this many characters is not taken for its result.
_VALUE_REACH = 60


def relate(text: str, sentence: Sequence[Mention], make_id: Callable[[str, str, str], str]) -> list[Relation]:
    """Relations among the mentions of one sentence, which stand in text order. ``make_id(type, head id, tail id)``."""
    found: list[Relation] = []

    def tie(kind: str, head: Mention, tail: Mention) -> None:
        name = make_id(kind, head.id, tail.id)
        score = min(head.score, tail.score)
        found.append(Relation(id=name, type=kind, head=head.id, tail=tail.id, score=score, source=SOURCE))

    drug: Mention | None = None
    test: Mention | None = None
    waiting: list[Mention] = []
    problem_between = False
    for mention in sentence:
        if mention.type == "medication":
            for tail in waiting:
                tie(f"medication-{tail.type}", mention, tail)
            drug, waiting, problem_between = mention, [], False
        elif mention.type in ("problem", "finding"):
            problem_between = True
        elif mention.type == "duration":
            if drug is not None and not problem_between:
                tie("medication-duration", drug, mention)
        elif mention.type in ATTRIBUTES:
            if drug is None:
                waiting.append(mention)
            else:
                tie(f"medication-{mention.type}", drug, mention)
        elif mention.type == "test":
            test = mention
        elif mention.type == "value" and test is not None and mention.start - test.end <= _VALUE_REACH:
            tie("test-value", test, mention)
    for kind, head, tail in (*causes(text, sentence), *places(text, sentence)):
        tie(kind, head, tail)
    return found
