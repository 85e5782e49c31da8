"""Seeded generator of the line shapes that no open corpus holds: orders, medication and problem lists, vitals, laboratory
lines, review of systems, telegraphic notes. Every product type is annotated completely in what it makes."""

from __future__ import annotations

from random import Random
from typing import Final

from training.data.document import Document, GoldSpan, flatten
from training.data.labels import ENTITY_TYPES
from training.data.lexicon import Lexicon
from training.data.template import fill

_LISTS: Final = {"finding": "symptoms", "procedure": "procedures", "test": "tests", "anatomy": "anatomy", "form": "forms",
                 "route": "routes", "frequency": "frequencies"}  # fmt: skip
_PLAIN: Final = {
    "frequency_once": (("once", "x1", "x 2", "twice"), "frequency"),
    "dosage_count": (("1", "2", "one", "two", "1-2", "half", "1/2"), "dosage"),
    "normal": (("normal", "unremarkable", "negative", "within normal limits", "WNL", "positive", "abnormal", "stable"), "value"),
    "word_plain": (
        ("stable", "resolved", "chronic", "poorly controlled", "improving", "uncontrolled", "in remission", "worsening"),
        None,
    ),
}
_AMOUNTS: Final = [
    "5",
    "10",
    "20",
    "25",
    "40",
    "50",
    "81",
    "100",
    "200",
    "250",
    "300",
    "325",
    "500",
    "650",
    "750",
    "875",
    "1000",
    "1",
    "2",
    "2.5",
    "0.5",
    "12.5",
    "0.4",
    "1,000",
    "10-20",
    "5/325",
]
_UNITS: Final = [
    "mg",
    "mg",
    "mg",
    "mg",
    "mcg",
    "g",
    "units",
    "mL",
    "ml",
    "mEq",
    "MG",
    "mg/kg",
    "%",
    "puffs",
    "gm",
    "U",
    "grams",
    "mcg/hr",
    "mg/mL",
]
_TIMES: Final = ("days", "day", "weeks", "wks", "months", "hours", "hrs", "years", "d")
_KINDS: Final = ("orders", "sentences", "sentences", "sentences", "vitals", "labs", "problems", "mixed", "mixed")
_PROBLEM_LINES: Final = (
    "{problem}",
    "{problem}",
    "{problem}, {word_plain}",
    "{problem} - {word_plain}",
    "{procedure}",
    "{finding}",
)
_LAB_LINES: Final = ("{a} {v}", "{a}: {v}", "{a} of {v}", "{a} {v} (H)", "{a} was {v}", "{a}={v}", "{a} is {v}, was {w}",
                     "{a} elevated at {v}", "{a} {word}")  # fmt: skip


class OrderLines:
    """Generator; the same seed gives the same documents."""

    def __init__(self, lexicon: Lexicon, seed: int) -> None:
        self._random = Random(seed)
        self._lexicon = lexicon
        self._words = lexicon.words

    def documents(self, count: int) -> list[Document]:
        """``count`` documents of several lines or sentences each."""
        return [self._document(index) for index in range(count)]

    def _document(self, index: int) -> Document:
        random = self._random
        kind = random.choice(_KINDS)
        separators = {"vitals": ("\n", "\n", " ", "; "), "labs": ("\n", "\n", " ", "; "), "orders": ("\n", "\n", " ")}
        separator = random.choice(separators.get(kind, (" ", " ", "\n")))
        bullet = random.choice(("", "", "- ", "* ", "{k}. ", "{k}) ")) if separator == "\n" else ""
        text, spans = "", list[GoldSpan]()
        for k in range(1, random.randint(2, 9)):
            line, found = self._line(
                random.choice(("orders", "sentences", "vitals", "labs", "problems")) if kind == "mixed" else kind
            )
            text += (separator if text else "") + bullet.replace("{k}", str(k))
            spans += [GoldSpan(s.start + len(text), s.end + len(text), s.types) for s in found]
            text += line
        return Document(f"orders-{index}", text, flatten(spans), frozenset(ENTITY_TYPES))

    def _line(self, kind: str) -> tuple[str, list[GoldSpan]]:
        random = self._random
        if kind == "vitals":
            name, _, value = random.choice(self._words["vitals"]).partition(" {")
            template = "{vital}" + random.choice((" ", ": ", " ")) + "{" + value
            return fill(template, lambda slot: (name, "test") if slot == "vital" else self._slot(slot))
        if kind == "labs":
            return fill(random.choice(_LAB_LINES), self._analyte().__getitem__)
        if kind == "problems":
            return fill(random.choice(_PROBLEM_LINES), self._slot)
        return fill(random.choice(self._words[kind]), self._slot)

    def _analyte(self) -> dict[str, tuple[str, str | None]]:
        random = self._random
        name, unit, low, high = random.choice(self._words["analytes"])
        number = f"{random.uniform(low, high):.{0 if high > 60 else random.choice((1, 1, 2))}f}"
        value = number + (random.choice((" ", "")) + unit if unit and random.random() < 0.6 else "")
        word = random.choice(("normal", "elevated", "low", "negative", "positive", "within normal limits"))
        return {
            "a": (name, "test"),
            "v": (value, "value"),
            "w": (f"{random.uniform(low, high):.1f}", "value"),
            "word": (word, "value"),
        }

    def _slot(self, slot: str) -> tuple[str, str | None]:
        random = self._random
        number = random.randint
        if slot in _LISTS:
            return random.choice(self._words[_LISTS[slot]]), slot
        if slot in _PLAIN:
            return random.choice(_PLAIN[slot][0]), _PLAIN[slot][1]
        match slot:
            case "medication":
                return random.choice(self._words["common_drugs"] if random.random() < 0.6 else self._lexicon.drugs), "medication"
            case "problem":
                return random.choice(self._words["problems"] if random.random() < 0.75 else self._lexicon.diseases), "problem"
            case "dosage":
                return random.choice(_AMOUNTS) + random.choice((" ", " ", "")) + random.choice(_UNITS), "dosage"
            case "duration":
                unit = random.choice(_TIMES)
                amount = random.choice((str(number(1, 14)), str(number(1, 30)), "two", "three", "several", "a few", "2-3", "10"))
                return (f"{amount}-{unit.rstrip('s')}" if random.random() < 0.15 else f"{amount} {unit}"), "duration"
            case "bp":
                return f"{number(85, 210)}/{number(45, 120)}" + random.choice(("", "", " mmHg", " mm Hg")), "value"
            case "hr":
                return f"{number(40, 160)}" + random.choice(("", "", " bpm")), "value"
            case "rr":
                return f"{number(8, 36)}", "value"
            case "temp":
                degrees = random.choice((f"{random.uniform(96, 104):.1f}", f"{random.uniform(35.5, 40):.1f}"))
                return degrees + random.choice(("", " F", " C", "F", "°F", "°C")), "value"
            case "spo2":
                return f"{number(78, 100)}" + random.choice(("%", "", " %")), "value"
            case "weight":
                return f"{number(40, 150)}" + random.choice((" kg", " lbs", "kg", "")), "value"
            case "bmi":
                return f"{random.uniform(17, 48):.1f}", "value"
            case "pain":
                return f"{number(0, 10)}/10", "value"
            case "age":
                years = number(18, 89)
                word = random.choice(("man", "woman", "male", "female"))
                return random.choice(
                    (f"{years} yo {random.choice('MF')}", f"{years}-year-old {word}", f"{years}{random.choice('MF')}", "Patient")
                ), None
            case "year":
                return str(number(1985, 2025)), None
            case "n":
                return str(number(0, 90)), None
            case "plain_time":
                return f"{number(1, 8)} weeks", None
        raise KeyError(slot)
