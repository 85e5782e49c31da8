"""Decision-support flags that a note's text supports: statements put into free clinical texts, among hard look-alikes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from schemas.flags import FLAG_OF_CLASS
from schemas.labels import ReviewedLabel
from training.data.corpora import Source
from training.data.document import LabelledText
from training.tasks.metrics import Scores, class_scores
from training.tasks.texts import background, part, restyled

_LISTS: Final[dict[str, Any]] = tomllib.loads((Path(__file__).with_suffix(".toml")).read_text(encoding="utf-8"))
LABELS: Final = tuple(name for name in _LISTS if name not in ("slots", "handwritten"))
MULTI_LABEL: Final = True
SOURCES: Final = (
    Source("ACI-Bench notes", "dialog_aci_bench", "CC BY 4.0", "Yim et al. 2023"),
    Source("MTS-Dialog section texts", "dialog_mts_dialog", "CC BY 4.0", "Ben Abacha et al. 2023"),
    Source("MACCROBAT 2020 texts", "ner_maccrobat2020", "CC BY 4.0", "Caufield et al., figshare 10.6084/m9.figshare.9764942.v2"),
)
_CLASS_OF_FLAG: Final = {flag: name for name, flag in FLAG_OF_CLASS.items() if name in LABELS}
#: Characters on either side of a flag's evidence that go into its text: a sentence or two, as the made texts have.
_AROUND: Final = 200
_SLOT = re.compile(r"\{(\w+)\}")
#: Background sentences that may support a flag by themselves are left out: their label would be wrong.
_CUES = re.compile(
    r"suicid|self-harm|\bfall|\bfell\b|gait|infect|pneumonia|sepsis|septic|cellulitis|antibiotic|fever|febrile|abscess|bleed|hemorrh|haemorrh|"
    r"melena|hematur|allerg|anaphyla|hives|rash|pain|noncomplian|adheren|compliant|embol|pneumothorax|dissection|hematoma|infarct|"
    r"aneurysm|ischemi|culture|cillin|mycin|warfarin|heparin|torsion|obstruction|perforat",
    re.IGNORECASE,
)
_FORMS = {"he": ("his", "him", "himself"), "she": ("her", "her", "herself")}


def _filled(template: str, random: Random) -> str:
    pronoun = random.choice(_LISTS["slots"]["pron"])
    poss, obj, refl = _FORMS[pronoun]
    fixed = {"pron": pronoun, "poss": poss, "obj": obj, "refl": refl}
    chosen: dict[str, str] = dict(fixed)
    return _SLOT.sub(lambda m: chosen.setdefault(m.group(1), random.choice(_LISTS["slots"].get(m.group(1), ["it"]))), template)


def _templates(development: bool) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    yes = {name: part(_LISTS[name]["yes"], development=development) for name in LABELS}
    no = {name: part(_LISTS[name]["no"], development=development) for name in LABELS}
    return yes, no


def _notes(data: Path, count: int, random: Random, *, development: bool) -> list[LabelledText]:
    yes, no = _templates(development)
    plain = [s for s in background(data, development=development) if not _CUES.search(s)]
    found = []
    for k in range(count):
        labels = set(random.sample(LABELS, random.choice((0, 0, 1, 1, 1, 2, 3))))
        if not development and k % 8:  # a statement by itself: what decides is learned much sooner than in the midst of a note
            found.append(_alone(f"flags-train-{k}", yes, no, random))
            continue
        parts = [_filled(random.choice(yes[name]), random) for name in sorted(labels)]
        others = [name for name in LABELS if name not in labels]
        parts += [_filled(random.choice(no[name]), random) for name in random.sample(others, random.randint(0, 3))]
        parts += random.sample(plain, random.choice((0, 0, 1, 2, 4, 8)))
        random.shuffle(parts)
        text = random.choice((" ", " ", "\n")).join(parts) or random.choice(plain)
        found.append(LabelledText(f"flags-{'dev' if development else 'train'}-{k}", restyled(text, random), frozenset(labels)))
    return found


def _alone(name: str, yes: Mapping[str, list[str]], no: Mapping[str, list[str]], random: Random) -> LabelledText:
    label, holds = random.choice(LABELS), random.random() < 0.5
    text = _filled(random.choice((yes if holds else no)[label]), random)
    return LabelledText(name, restyled(text, random), frozenset({label} if holds else ()))


def training(data: Path, *, count: int, seed: int) -> dict[str, list[LabelledText]]:
    """``count`` texts: seven of eight are one statement, the others notes of none to three supported flags among look-alikes."""
    return {"flags": _notes(data, count, Random(f"flags/{seed}"), development=False)}


def development(data: Path, *, seed: int) -> dict[str, list[LabelledText]]:
    """``templates``: statements and background never used in training; ``handwritten``: own short notes, labelled by hand."""
    made = _notes(data, 600, Random("flags/development"), development=True)
    own = [LabelledText(f"flags-own-{k}", row["text"], frozenset(row["labels"])) for k, row in enumerate(_LISTS["handwritten"])]
    return {"templates": made, "handwritten": own}


def reviewed(labels: Iterable[ReviewedLabel]) -> list[LabelledText]:
    """What reviewers said of flags, one text a verdict: the words around the evidence, and of the flag's class alone whether it holds.

    Left out: verdicts ``unsure``, flags without evidence in the note, types that no class stands for. A wrong flag's evidence is the look-alike
    that misled the rule, so that it teaches as much as a right one's.
    """
    found = []
    for label in labels:
        for name, verdict in sorted(label.flags.items()):
            evidence = label.evidence.get(name)
            known = None if evidence is None else _CLASS_OF_FLAG.get(evidence.type)
            if evidence is None or known is None or verdict == "unsure" or not evidence.spans:
                continue
            text = _passages(label.note.text, evidence.spans)
            holds = frozenset({known} if verdict == "right" else ())
            found.append(LabelledText(f"reviewed-{label.id}-{name}", text, holds, judged=frozenset({known})))
    return found


def _passages(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """The text around each span, cut between words; passages that touch are one."""
    cut: list[list[int]] = []
    for start, end in sorted(spans):
        first = 0 if start <= _AROUND else text.rfind(" ", 0, start - _AROUND) + 1
        last = text.find(" ", min(len(text), end + _AROUND))
        if cut and first <= cut[-1][1]:
            cut[-1][1] = max(cut[-1][1], len(text) if last < 0 else last)
        else:
            cut.append([first, len(text) if last < 0 else last])
    return "\n".join(text[first:last] for first, last in cut)


def scores(
    name: str, rows: Sequence[LabelledText], answers: Sequence[Mapping[str, float]], chosen: Sequence[frozenset[str]]
) -> Scores:
    """Figures of one development set."""
    return class_scores(name, rows, answers, chosen, LABELS)
