"""A flag's reason in plain sentences. The evidence is taken out first and put back in afterwards.

A small model cannot be trusted to copy a number. So source and target hold slots, ``[1]``, ``[2]`` ..., in place of what was
measured, named or quoted; the model chooses words and order, and the evidence itself passes by it untouched.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models.generator import Generator
from models.grounding import unsupported

_LISTS: Final[dict[str, Any]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
KINDS: Final[Mapping[str, Any]] = _LISTS["kinds"]
VOCABULARY: Final = frozenset(_LISTS["vocabulary"].split())
SLOTS: Final = tuple(f"[{k}]" for k in range(1, 10))
FILLED: Final = re.compile(r"\[(\d)\]")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one flag rests on: its kind, and the value of each of the kind's slots."""

    kind: str
    values: Mapping[str, str]


def delexicalise(evidence: Evidence) -> tuple[str, tuple[str, ...]]:
    """What the model reads, and the slots' contents in order.

    Raises:
        KeyError: an unknown kind, or a value is missing.
    """
    names = KINDS[evidence.kind]["slots"]
    source = f"{evidence.kind} | " + " ; ".join(f"{name} = {SLOTS[k]}" for k, name in enumerate(names))
    return source, tuple(evidence.values[name] for name in names)


def relexicalise(text: str, slots: Sequence[str]) -> str:
    """Put the evidence back.

    Raises:
        ValueError: the text names a slot that does not exist, or holds a digit that is not one: it was made up.
    """
    bare = FILLED.sub("", text)
    if any(c.isdigit() for c in bare):
        raise ValueError("a number outside the evidence")
    for match in FILLED.finditer(text):
        if not 1 <= int(match.group(1)) <= len(slots):
            raise ValueError("a slot that does not exist")
    return FILLED.sub(lambda m: slots[int(m.group(1)) - 1], text)


def accepted(text: str, evidence: Evidence) -> str | None:
    """The sentence to show, or nothing: refused unless every slot is used and nothing is said that the evidence does not hold."""
    _, slots = delexicalise(evidence)
    if {int(n) for n in FILLED.findall(text)} != set(range(1, len(slots) + 1)):
        return None
    try:
        shown = relexicalise(text, slots)
    except ValueError:
        return None
    return None if unsupported(shown, [*slots, *KINDS[evidence.kind].get("words", ())], vocabulary_of(evidence.kind)) else shown


def vocabulary_of(kind: str) -> frozenset[str]:
    """The plain words that a kind of flag may use: not those that would turn its direction around, or calm where it warns."""
    return VOCABULARY - frozenset(_LISTS["calming"]) - frozenset(_LISTS["directions"].get(kind, ()))


def written(evidence: Evidence, generator: Generator) -> str | None:
    """The model's sentence for the evidence, or nothing where the check refuses it."""
    return accepted(generator.generate(delexicalise(evidence)[0]), evidence)
