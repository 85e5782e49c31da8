"""Every regular expression of ours, and strings made from its own parse tree that make a backtracking engine work hardest.

A pattern is found where it is made: in a process of its own ``re._compile`` is listened to while all our modules are imported, and what is
written as a constant argument of ``re.search`` and its kin is read from the source. How a pattern is used (``match``, ``fullmatch``, or a search
at every position) is read from the source too, by the name that it is bound to.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import pkgutil
import re
import signal
import string
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("schemas", "streams", "models", "agents", "gateway", "ops")
SIZE = 100_000
_ANCHORED = frozenset({"match", "fullmatch"})
_CALLS = frozenset({"search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer", "compile"})
#: What hostile text is made of when a pattern's own pieces are not enough.
_PLAIN = ("a", " ", "0", "A", ".", ",", "-", "\n", "Aa ", "1.", "a,", "- ", "é", "\\", "(", "<a ", "&#")
_ENDS = ("", "\x00", "!")


#: Modules whose patterns never see more than so many characters, and why. Site's own files and sources of ours are no hostile input.
BOUNDED = {
    "agents/extract/runs.py": 500,  # what stands between two mentions: runs.REACH, marks apart
    "agents/extract/causes.py": 500,
    "agents/extract/places.py": 500,
    "agents/extract/relations.py": 500,
    "agents/publish/relatives.py": 300,  # what stands before a mention
    "agents/deidentify/text/recognizers/person.py": 500,  # windows around a sign: signs.Near
    "agents/extract/linking/sources.py": 500,  # lines of released vocabularies
    "schemas/fhir/generate_definitions.py": 500,  # annotations of a library
}


class TooLong(Exception):
    """The time limit of one match has passed."""


def modules() -> Iterator[str]:
    for package in PACKAGES:
        yield package
        found = importlib.import_module(package)
        yield from (row.name for row in pkgutil.walk_packages(found.__path__, f"{package}."))


def compiled_at_import() -> dict[tuple[str | bytes, int], str]:
    """(pattern, flags) -> file in which it was made. Call it once, in a fresh process."""
    found: dict[tuple[str | bytes, int], str] = {}
    original: Callable[..., Any] = re._compile  # type: ignore[attr-defined]

    def listening(pattern: Any, flags: Any) -> Any:
        made = original(pattern, flags)
        frame: FrameType | None = sys._getframe(2)
        if frame is not None and isinstance(made, re.Pattern):
            file = Path(frame.f_code.co_filename)
            if file.is_relative_to(ROOT) and file.relative_to(ROOT).parts[0] in PACKAGES:
                found.setdefault((made.pattern, made.flags), str(file.relative_to(ROOT)))
        return made

    re._compile = listening  # type: ignore[attr-defined]
    try:
        for name in modules():
            importlib.import_module(name)
    finally:
        re._compile = original  # type: ignore[attr-defined]
    return found


def written_in_calls() -> dict[tuple[str | bytes, int], str]:
    """Patterns that stand as constants in calls of ``re``, compiled with the flags that stand beside them."""
    found: dict[tuple[str | bytes, int], str] = {}
    for file, tree in _sources():
        for node in ast.walk(tree):
            if _is_call_of_re(node) and isinstance(node, ast.Call) and isinstance(node.args[0], ast.Constant):
                flags = 0
                for part in (*node.args[1:], *(word.value for word in node.keywords)):
                    for name in ast.walk(part):
                        if isinstance(name, ast.Attribute) and isinstance(getattr(re, name.attr, None), re.RegexFlag):
                            flags |= getattr(re, name.attr)
                pattern = node.args[0].value
                if isinstance(pattern, str | bytes):
                    found.setdefault((pattern, re.compile(pattern, flags).flags), file)
    return found


def anchored_uses() -> set[tuple[str, str]]:
    """(file, line-free text of the module constant's pattern) of what is only ever matched at a given place: at the start of the text, of a line
    or where something else ended."""
    uses: dict[tuple[str, str], set[str]] = {}
    names: dict[tuple[str, str], str] = {}
    found: set[tuple[str, str]] = set()
    for file, tree in _sources():
        module = importlib.import_module(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                uses.setdefault((file, node.value.id), set()).add(node.attr)
            elif isinstance(node, ast.Call):  # handed to something else: used in any way
                for argument in node.args:
                    if isinstance(argument, ast.Name):
                        uses.setdefault((file, argument.id), set()).add("search")
                if _is_call_of_re(node) and isinstance(node.func, ast.Attribute) and node.func.attr in _ANCHORED:
                    found.add((file, str(getattr(node.args[0], "value", ""))))
        names |= {(file, name): str(made.pattern) for name, made in vars(module).items() if isinstance(made, re.Pattern)}
    # a public name may be used by another module: only private ones can be judged here
    return found | {
        (file, text)
        for (file, name), text in names.items()
        if name.startswith("_") and uses.get((file, name), {"search"}) <= _ANCHORED
    }


def attacks(pattern: str | bytes, flags: int, size: int = SIZE) -> Iterator[str]:
    """Strings of ``size`` that pump each unbounded part of the pattern behind what leads to it, with ends that do not match."""
    text = pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern
    tree = _parser.parse(text, flags & ~re.UNICODE if isinstance(pattern, bytes) else flags)
    pumps = {(before[-200:], pump) for before, pump in _pumps(list(tree), "") if pump}
    pumps |= {("", pump) for _, pump in pumps} | {("", plain) for plain in _PLAIN}
    whole = _sample(list(tree))
    if whole:
        pumps.add(("", whole))
        pumps.add(("", whole[:-1] or whole))
    for before, pump in sorted(pumps):
        for end in _ENDS:
            yield (before + pump * (size // len(pump)))[: size - len(end)] + end


def longest(pattern: str | bytes, flags: int, *, anchored: bool, limit_s: float, size: int = SIZE) -> float:
    """Processor seconds of the slowest attack; infinite above ``limit_s``. In the main thread only."""

    def give_up(_number: int, _frame: object) -> None:
        raise TooLong

    binary = isinstance(pattern, bytes)
    made = re.compile(pattern, flags & ~re.UNICODE if binary else flags)
    before = signal.signal(signal.SIGVTALRM, give_up)
    worst = 0.0
    try:
        for attack in attacks(pattern, flags, size):
            subject: Any = attack.encode("latin-1", "replace") if binary else attack
            signal.setitimer(signal.ITIMER_VIRTUAL, limit_s)
            begun = time.process_time()
            try:
                if anchored:
                    made.match(subject)
                    made.fullmatch(subject)
                else:
                    for _ in made.finditer(subject):
                        pass
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            worst = max(worst, time.process_time() - begun)
    except TooLong:
        return float("inf")
    finally:
        signal.signal(signal.SIGVTALRM, before)
    return worst


def judged(size: int, limit_s: float) -> list[tuple[float, str, str]]:
    """(seconds of the slowest attack, file, pattern) of each pattern, the slowest first. Call it once, in a fresh process."""
    found = compiled_at_import()
    for row, file in written_in_calls().items():
        found.setdefault(row, file)
    anchored = anchored_uses()
    rows = []
    for (pattern, flags), file in found.items():
        at_a_place = (file, str(pattern)) in anchored
        seconds = longest(pattern, flags, anchored=at_a_place, limit_s=limit_s, size=min(size, BOUNDED.get(file, size)))
        rows.append((seconds, file, str(pattern)))
    return sorted(rows, reverse=True)


def _sources() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def _is_call_of_re(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in _CALLS
        and bool(node.args)
    )


def _pumps(tree: list[Any], before: str) -> Iterator[tuple[str, str]]:
    """(what leads there, one turn) of every repeat that may turn often."""
    for code, argument in tree:
        if code in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            _, most, body = argument
            if most is sre.MAXREPEAT or most > 20:
                for turn in _samples(list(body)):
                    yield before, turn
            yield from _pumps(list(body), before)
        elif code is sre.SUBPATTERN:
            yield from _pumps(list(argument[-1]), before)
        elif code is sre.ATOMIC_GROUP:
            yield from _pumps(list(argument), before)
        elif code is sre.BRANCH:
            for branch in argument[1]:
                yield from _pumps(list(branch), before)
        elif code in (sre.ASSERT, sre.ASSERT_NOT):
            yield from _pumps(list(argument[1]), before)
        before += _sample([(code, argument)])


def _samples(tree: list[Any]) -> list[str]:
    """A few strings that the tree matches: with each branch of the first choice, and at one and two turns of inner repeats."""
    found = [_sample(tree), _sample(tree, more=1)]
    for place, (code, argument) in enumerate(tree):
        inner = list(argument[-1]) if code is sre.SUBPATTERN else [(code, argument)]
        for row in inner:
            if row[0] is sre.BRANCH:
                rest = _sample(tree[:place]), _sample(tree[place + 1 :])
                found += [rest[0] + _sample(list(branch)) + rest[1] for branch in row[1][1][:8]]
    return [text for text in dict.fromkeys(found) if text]


def _sample(tree: list[Any], more: int = 0) -> str:
    found = ""
    for code, argument in tree:
        if code is sre.LITERAL:
            found += chr(argument)
        elif code is sre.NOT_LITERAL:
            found += "a" if argument != ord("a") else "b"
        elif code is sre.ANY:
            found += "a"
        elif code is sre.IN:
            found += _member(argument)
        elif code is sre.BRANCH:
            found += _sample(list(argument[1][0]), more)
        elif code is sre.SUBPATTERN:
            found += _sample(list(argument[-1]), more)
        elif code is sre.ATOMIC_GROUP:
            found += _sample(list(argument), more)
        elif code in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            least, most, body = argument
            found += _sample(list(body), more) * min(least + more if most is sre.MAXREPEAT else max(least, min(more, most)), 50)
    return found


def _member(parts: list[Any]) -> str:
    negated = any(code is sre.NEGATE for code, _ in parts)
    if not negated:
        for code, argument in parts:
            if code is sre.LITERAL:
                return chr(argument)
            if code is sre.RANGE:
                return chr(argument[0])
            if code is sre.CATEGORY:
                return {
                    sre.CATEGORY_DIGIT: "0",
                    sre.CATEGORY_SPACE: " ",
                    sre.CATEGORY_WORD: "a",
                    sre.CATEGORY_NOT_DIGIT: "a",
                    sre.CATEGORY_NOT_SPACE: "a",
                    sre.CATEGORY_NOT_WORD: "-",
                }[argument]
    for candidate in string.ascii_letters + " 0-.,;:_\n" + string.punctuation + "é":
        if not any(_has(code, argument, candidate) for code, argument in parts):
            return candidate
    return chr(0x10FFFF)


def _has(code: Any, argument: Any, character: str) -> bool:
    if code is sre.LITERAL:
        return bool(ord(character) == argument)
    if code is sre.RANGE:
        return bool(argument[0] <= ord(character) <= argument[1])
    if code is sre.CATEGORY:
        named = {
            sre.CATEGORY_DIGIT: r"\d", sre.CATEGORY_NOT_DIGIT: r"\D", sre.CATEGORY_SPACE: r"\s", sre.CATEGORY_NOT_SPACE: r"\S",
            sre.CATEGORY_WORD: r"\w", sre.CATEGORY_NOT_WORD: r"\W",
        }[argument]  # fmt: skip
        return re.match(named, character) is not None
    return False


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Seconds of the slowest attack on each regular expression of ours.")
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--limit", type=float, default=1.0)
    arguments = parser.parse_args()
    sys.stdout.write(json.dumps(judged(arguments.size, arguments.limit), indent=1) + "\n")
