"""Acute states that a note and measured values support together: neither alone is enough.

- ``suspected-sepsis``: infection is suspected in the text, and two SIRS criteria, or two of qSOFA, or lactate above 2 mmol/L
  (Bone et al. 1992; Singer et al. 2016).
- ``hyperkalemia-with-signs``: potassium of 6.0 mmol/L or more, and weakness, palpitations or ECG changes in the text.
- ``kidney-injury-on-nephrotoxin``: creatinine 1.5 times the lowest of seven days or 0.3 mg/dL above it (KDIGO 2012 stage 1), and a
  nephrotoxic drug being given in the text.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from models.bundle import NumberInput
from training.data.corpora import Source
from training.data.document import LabelledText
from training.tasks import flags
from training.tasks.metrics import Scores, class_scores
from training.tasks.texts import background, part, restyled

_LISTS: Final[dict[str, Any]] = tomllib.loads((Path(__file__).with_suffix(".toml")).read_text(encoding="utf-8"))
NUMBERS: Final = tuple(msgspec.convert(row, NumberInput) for row in _LISTS["numbers"])
LABELS: Final = ("suspected-sepsis", "hyperkalemia-with-signs", "kidney-injury-on-nephrotoxin")
MULTI_LABEL: Final = True
SOURCES: Final[tuple[Source, ...]] = flags.SOURCES
MISSING: Final = 0.3
_HEART, _BREATHS, _OXYGEN, _HEAT, _PRESSURE, _COMA, _WHITE, _LACTATE, _CREATININE, _LOWEST, _POTASSIUM = range(len(NUMBERS))
_SLOT = re.compile(r"\{(\w+)\}")
_STATEMENTS: Final = {
    "suspected-sepsis": flags._LISTS["suspected-infection"],
    "hyperkalemia-with-signs": _LISTS["statements"]["hyperkalemia"],
    "kidney-injury-on-nephrotoxin": _LISTS["statements"]["nephrotoxin"],
}


def by_numbers(values: Sequence[float]) -> frozenset[str]:
    """The states whose numeric half holds; what is missing (NaN) supports nothing."""
    heart, breaths, heat, white = (values[k] for k in (_HEART, _BREATHS, _HEAT, _WHITE))
    sirs = (heat > 38 or heat < 36) + (heart > 90) + (breaths > 20) + (white > 12 or white < 4)
    qsofa = (breaths >= 22) + (values[_PRESSURE] <= 100) + (values[_COMA] < 15)
    rise = values[_CREATININE] - values[_LOWEST] >= 0.3 or values[_CREATININE] >= 1.5 * values[_LOWEST]
    holds = (sirs >= 2 or qsofa >= 2 or values[_LACTATE] > 2, values[_POTASSIUM] >= 6.0, rise)
    return frozenset(name for name, yes in zip(LABELS, holds, strict=True) if yes)


def _drawn(random: Random, ill: float) -> tuple[float, ...]:
    """Values of one patient, each missing with probability ``MISSING``; ``ill`` of them far from their mean."""
    values = []
    for number in NUMBERS:
        spread = number.std * (1.8 if random.random() < ill else 0.6)
        places = 0 if number.std >= 5 else 1
        value = round(min(number.high, max(number.low, random.gauss(number.mean, spread))), places)
        values.append(math.nan if random.random() < MISSING else value)
    if random.random() < 0.5:  # the pair of creatinines belongs together
        values[_LOWEST] = round(random.uniform(0.6, 1.6), 1)
        values[_CREATININE] = round(
            values[_LOWEST] * random.choice((1.0, 1.1, 1.3, 1.5, 1.8, 2.5)) + random.choice((0.0, 0.1)), 1
        )
    if random.random() < 0.4:
        values[_POTASSIUM] = round(random.uniform(5.2, 7.2), 1)
    return tuple(values)


def _filled(template: str, random: Random) -> str:
    lists = _LISTS["slots"] | flags._LISTS["slots"]
    return _SLOT.sub(lambda m: random.choice(lists[m.group(1)]), template)


def _rows(data: Path, count: int, random: Random, *, development: bool) -> list[LabelledText]:
    plain = [s for s in background(data, development=development) if not flags._CUES.search(s)]
    chosen = {
        name: {side: part(lists[side], development=development) for side in ("yes", "no")} for name, lists in _STATEMENTS.items()
    }
    found = []
    for k in range(count):
        values = _drawn(random, random.choice((0.1, 0.3, 0.6)))
        said, parts = set(), []
        for name in LABELS:
            draw = random.random()
            if draw < 0.45:
                said.add(name)
                parts.append(_filled(random.choice(chosen[name]["yes"]), random))
            elif draw < 0.8:
                parts.append(_filled(random.choice(chosen[name]["no"]), random))
        parts += random.sample(plain, random.choice((0, 1, 2, 4)))
        random.shuffle(parts)
        text = restyled(" ".join(parts) or random.choice(plain), random)
        found.append(LabelledText(f"vitals-{'dev' if development else 'train'}-{k}", text, by_numbers(values) & said, values))
    return found


def training(data: Path, *, count: int, seed: int) -> dict[str, list[LabelledText]]:
    """``count`` notes with values; a state is a label where both halves hold."""
    return {"vitals": _rows(data, count, Random(f"vitals/{seed}"), development=False)}


def development(data: Path, *, seed: int) -> dict[str, list[LabelledText]]:
    """Statements, background and values never used in training."""
    return {"templates": _rows(data, 800, Random("vitals/development"), development=True)}


def scores(
    name: str, rows: Sequence[LabelledText], answers: Sequence[Mapping[str, float]], chosen: Sequence[frozenset[str]]
) -> Scores:
    """Figures of the model, and of the rule that sees the numbers alone (the named peer)."""
    found = class_scores(name, rows, answers, chosen, LABELS)
    numeric = [by_numbers(row.numbers) for row in rows]
    sure = [{label: float(label in one) for label in LABELS} for one in numeric]
    alone = class_scores(name, rows, sure, numeric, LABELS)[f"{name}-all"]
    return found | {f"{name}-numbers-rule": {"f1": alone["f1"], "macro_f1": alone["macro_f1"], "support": alone["support"]}}
