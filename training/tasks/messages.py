"""Patients' messages: what is asked, and how urgent it looks.

What is asked comes from MedQuAD's question types and from own templates; urgency from own templates alone, since no open data say
it. Both stand in one set of labels that do not exclude each other: ``ask:*`` and ``urgency:*``.
"""

from __future__ import annotations

import re
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from training.data.corpora import Source
from training.data.document import LabelledText
from training.data.meqsum import consumer_questions
from training.tasks.metrics import Scores, class_scores
from training.tasks.texts import kept_apart, part, restyled

_LISTS: Final[dict[str, Any]] = tomllib.loads((Path(__file__).with_suffix(".toml")).read_text(encoding="utf-8"))
#: MedQuAD's question types -> what is asked; types with fewer than ten questions are left out.
_TYPES: Final = {
    "information": "information", "treatment": "treatment", "exams and tests": "diagnosis", "considerations": "treatment",
    "symptoms": "symptom", "susceptibility": "cause", "causes": "cause", "prevention": "prevention", "research": "information",
    "outlook": "information", "stages": "information", "complications": "symptom", "frequency": "information",
}  # fmt: skip
LABELS: Final = (
    *(f"ask:{name}" for name in ("information", "symptom", "cause", "diagnosis", "treatment", "prevention", *_LISTS["ask"])),
    *(f"urgency:{name}" for name in _LISTS["urgency"]),
)
MULTI_LABEL: Final = True
SOURCES: Final = (
    Source("MedQuAD questions", "qa_medquad", "CC BY 4.0", "Ben Abacha and Demner-Fushman 2019"),
    Source("MeQSum questions", "qa_meqsum", "CC BY 4.0", "Ben Abacha and Demner-Fushman 2019"),
)
_SLOT = re.compile(r"\{(\w+)\}")
_FORMS = {"he": "his", "she": "her"}


def _questions(data: Path, *, development: bool) -> list[LabelledText]:
    """MedQuAD's questions, kept apart by file; they are routine by nature."""
    found = []
    for path in sorted((data / "qa_medquad").rglob("*.xml")):
        if kept_apart(path.stem) != development:
            continue
        # The corpus is a trusted local folder; its files hold no entities or external references.
        for number, question in enumerate(ElementTree.parse(path).iter("Question")):  # noqa: S314
            kind = _TYPES.get(question.get("qtype") or "")
            if kind and question.text:
                labels = frozenset({f"ask:{kind}", "urgency:routine"})
                found.append(LabelledText(f"medquad-{path.stem}-{number}", question.text.strip(), labels))
    return found


def _library(data: Path, *, development: bool) -> list[LabelledText]:
    """MeQSum's questions of real people to a library, kept apart by text: routine, since emergencies do not go to libraries."""
    texts = [text for text in consumer_questions(data) if kept_apart(text) == development]
    return [LabelledText(f"meqsum-{k}", text, frozenset({"urgency:routine"})) for k, text in enumerate(texts)]


def _filled(template: str, random: Random) -> str:
    pronoun = random.choice(("he", "she"))
    fixed = {"pron": pronoun, "poss": _FORMS[pronoun]}
    return _SLOT.sub(lambda m: fixed.get(m.group(1)) or random.choice(_LISTS["slots"][m.group(1)]), template)


def _parted(lists: dict[str, Any], *, development: bool) -> dict[str, list[str]]:
    """Templates of one side. Some stand on both axes: what is for development on one is not trained on through the other."""
    apart = {t for axis in ("urgency", "ask") for v in _LISTS[axis].values() for t in part(v["templates"], development=True)}
    return {name: [t for t in v["templates"] if (t in apart) == development] for name, v in lists.items()}


def _messages(count: int, random: Random, *, development: bool) -> list[LabelledText]:
    urgency, ask = (_parted(_LISTS[axis], development=development) for axis in ("urgency", "ask"))
    kinds = {t: f"ask:{name}" for name, lists in _LISTS["ask"].items() for t in lists["templates"]}
    found = []
    for k in range(count):
        if random.random() < 0.6:
            level = random.choice(tuple(urgency))
            template = random.choice(urgency[level])
            asked = kinds.get(template, "ask:symptom" if level != "routine" else "ask:information")
        else:
            level, name = "routine", random.choice(tuple(ask))
            template = random.choice(ask[name])
            asked = f"ask:{name}"
        text = random.choice(_LISTS["slots"]["opening"]) + _filled(template, random)
        text += random.choice(("", ".", "?", "!")) + random.choice(_LISTS["slots"]["closing"])
        labels = frozenset({asked, f"urgency:{level}"})
        found.append(LabelledText(f"message-{'dev' if development else 'train'}-{k}", restyled(text, random), labels))
    return found


def training(data: Path, *, count: int, seed: int) -> dict[str, list[LabelledText]]:
    """MedQuAD's questions of the training files, MeQSum's of the training side, and ``count`` messages."""
    return {
        "medquad": _questions(data, development=False),
        "meqsum": _library(data, development=False),
        "messages": _messages(count, Random(f"messages/{seed}"), development=False),
    }


def development(data: Path, *, seed: int) -> dict[str, list[LabelledText]]:
    """``medquad``: other files; ``meqsum``: other questions; ``templates``: other templates; ``handwritten``: own messages, labelled by hand."""
    own = [LabelledText(f"message-own-{k}", row["text"], frozenset(row["labels"])) for k, row in enumerate(_LISTS["handwritten"])]
    made = _messages(400, Random("messages/development"), development=True)
    return {
        "medquad": _questions(data, development=True),
        "meqsum": _library(data, development=True),
        "templates": made,
        "handwritten": own,
    }


def scores(
    name: str, rows: Sequence[LabelledText], answers: Sequence[Mapping[str, float]], chosen: Sequence[frozenset[str]]
) -> Scores:
    """Figures of one development set, and recall of emergencies with what it costs (``alarms``: routine messages called urgent)."""
    found = class_scores(name, rows, answers, chosen, LABELS)
    routine = [c for r, c in zip(rows, chosen, strict=True) if "urgency:routine" in r.labels]
    alarms = sum("urgency:emergency" in c for c in routine)
    return found | {f"{name}-alarms": {"rate": round(alarms / max(1, len(routine)), 4), "texts": float(len(routine))}}
