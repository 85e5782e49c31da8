"""The assertion lexicon as data: ``assertion.toml`` compiled to a token trie; ``version`` says which rules made a finding."""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import Literal

from schemas.errors import ConfigurationError
from schemas.findings import MENTION_TYPES

Axis = Literal["negated", "possible", "historical", "hypothetical", "family", "recent", "patient", "none", "stop"]
AXES: tuple[Axis, ...] = ("negated", "possible", "historical", "hypothetical", "family", "recent", "patient", "none", "stop")
TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]|_")

_NUMBER = "<n>"
_FILE = Path(__file__).with_name("assertion.toml")
_NUMBERS = frozenset((
    "a", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "fifteen", "twenty",
    "thirty", "forty", "fifty", "several", "few", "many", "couple",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """``window`` 0 is unlimited; ``axes`` are those that a stop ends or a "none" phrase masks (all when it names none)."""

    axis: Axis
    forward: bool = True
    window: int = 0
    final: bool = False
    axes: frozenset[str] = frozenset()
    through: bool = False


@dataclass(slots=True)
class Node:
    """One step of the trie; ``rules`` hold what a phrase ending here means."""

    children: dict[str, Node] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    number: Node | None = None


@dataclass(frozen=True, slots=True)
class SectionDefault:
    axis: str
    types: frozenset[str]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """``version`` is the file's own version plus the first 12 hex digits of its SHA-256."""

    version: str
    root: Node
    clause_verbs: frozenset[str]
    clause_passive: frozenset[str]
    clause_axes: frozenset[str]
    sections: dict[str, SectionDefault]


def tokens(text: str, start: int = 0, end: int | None = None) -> tuple[list[str], list[int], list[int]]:
    """Lower-case tokens of ``text[start:end]`` with their start and end offsets in ``text``."""
    words: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for match in TOKEN.finditer(text, start, len(text) if end is None else end):
        word = match.group().lower()
        words.append(word.replace("’", "'") if "’" in word else word)
        starts.append(match.start())
        ends.append(match.end())
    return words, starts, ends


def matches(root: Node, words: list[str], at: int) -> list[tuple[int, tuple[Rule, ...]]]:
    """All phrases that begin at token ``at``: (end token, rules), shortest first."""
    found: list[tuple[int, tuple[Rule, ...]]] = []
    states = [root]
    for end in range(at, len(words)):
        word = words[end]
        following: list[Node] = []
        for state in states:
            child = state.children.get(word)
            if child is not None:
                following.append(child)
            if state.number is not None and is_number(word):
                following.append(state.number)
        if not following:
            break
        found.extend([(end + 1, state.rules) for state in following if state.rules])
        states = following
    return found


def is_number(word: str) -> bool:
    """Whether ``<n>`` stands for it."""
    return word.isdigit() or word in _NUMBERS


@cache
def lexicon() -> Lexicon:
    """The shipped lexicon, read once."""
    return load(_FILE)


def load(path: Path) -> Lexicon:
    """Raises ConfigurationError naming the file when it is not a lexicon of this form."""
    raw = path.read_bytes()
    try:
        table = tomllib.loads(raw.decode())
        root = Node()
        classes: dict[str, list[str]] = table["classes"]
        for row in table["rule"]:
            if row["axis"] not in AXES or row["direction"] not in ("forward", "backward"):
                raise ValueError
            rule = Rule(
                axis=row["axis"],
                forward=row["direction"] == "forward",
                window=row.get("window", 0),
                final=row.get("final", False),
                axes=frozenset(row.get("axes", ())),
                through=row.get("through", False),
            )
            for phrase in _expanded(row["phrases"], classes):
                _add(root, phrase, rule)
        for row in table["stop"]:
            for phrase in row["phrases"]:
                _add(root, phrase, Rule("stop", axes=frozenset(row.get("axes", ()))))
        sections = {}
        for row in table["section"]:
            types = frozenset(row["types"])
            if row["axis"] not in AXES or not types <= frozenset(MENTION_TYPES):
                raise ValueError
            sections[row["name"]] = SectionDefault(row["axis"], types)
        clause = table["clause"]
        return Lexicon(
            version=f"{table['version']}+{hashlib.sha256(raw).hexdigest()[:12]}",
            root=root,
            clause_verbs=frozenset(clause["verbs"]),
            clause_passive=frozenset(clause["passive"]),
            clause_axes=frozenset(clause["axes"]),
            sections=sections,
        )
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(path=path.name, detail="not an assertion lexicon") from None


def _expanded(phrases: list[str], classes: dict[str, list[str]]) -> list[str]:
    """Each phrase with every ``{class}`` in it replaced by each of the class's words."""
    found: list[str] = []
    for phrase in phrases:
        parts = [classes[part[1:-1]] if part.startswith("{") else [part] for part in phrase.split()]
        found.extend(" ".join(choice) for choice in product(*parts))
    return found


def _add(root: Node, phrase: str, rule: Rule) -> None:
    node = root
    for word in _phrase_tokens(phrase):
        if word == _NUMBER:
            if node.number is None:
                node.number = Node()
            node = node.number
        else:
            node = node.children.setdefault(word, Node())
    if rule not in node.rules:
        node.rules += (rule,)


def _phrase_tokens(phrase: str) -> list[str]:
    words: list[str] = []
    for part in phrase.lower().split():
        words.extend([part] if part == _NUMBER else TOKEN.findall(part))
    return words
