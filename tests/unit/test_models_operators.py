"""Graphs are programs: only known operators, nothing from elsewhere, nothing hidden inside. Files are built byte by byte here; the
comparison with the onnx package is in ``tests/training``."""

from __future__ import annotations

from pathlib import Path

import pytest

from models import operators
from models.bundle import shelf_bundle
from models.operators import refuse_strange_operators
from schemas.errors import ConfigurationError


def varint(value: int) -> bytes:
    """Protocol buffers' number: seven bits a byte."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def field(number: int, content: bytes | int) -> bytes:
    """A field: bytes with their length, or a number."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def node(operator: str, *more: bytes) -> bytes:
    """A node of a graph."""
    return field(1, field(1, b"x") + field(2, b"y") + field(4, operator.encode()) + b"".join(more))


def model(*of_graph: bytes, more: bytes = b"") -> bytes:
    """A model of version 8 with one graph."""
    return field(1, 8) + field(7, b"".join(of_graph)) + more


ADD = node("Add")
TENSOR = field(1, 1) + field(2, 1) + field(8, b"w") + field(9, b"\0\0\0\0")
ATTRIBUTE = field(1, b"value") + field(20, 4)


def refused(content: bytes) -> str:
    """What the error says."""
    with pytest.raises(ConfigurationError) as caught:
        refuse_strange_operators(Path("a.onnx"), content)
    assert "a.onnx" in str(caught.value)
    return str(caught.value)


def test_plain_graphs_and_the_shelf_pass() -> None:
    """A sum with a constant, and every graph that ships."""
    constant = node("Constant", field(5, ATTRIBUTE + field(5, TENSOR)))
    refuse_strange_operators(Path("a.onnx"), model(ADD, constant, field(5, TENSOR), field(2, b"g")))
    for name in ("wardstream-entities", "wardstream-phi"):
        refuse_strange_operators(shelf_bundle(name) / "model.onnx")


@pytest.mark.parametrize(
    ("operator", "domain"),
    [
        ("Loop", ""),
        ("If", ""),
        ("Scan", ""),
        ("Add", "evil.custom"),
        ("PyOp", "ai.onnx.contrib"),
        ("StringNormalizer", ""),
        ("", ""),
    ],
)
def test_strange_operators_are_named_and_refused(operator: str, domain: str) -> None:
    """Control flow, custom domains and whatever a tagger does not need."""
    assert f"operator {domain}::{operator} is not allowed" in refused(model(ADD, node(operator, field(7, domain.encode()))))


BODY = field(1, field(4, b"Add"))
HIDDEN = {
    "graphs inside a node": [
        model(node("Add", field(5, ATTRIBUTE + field(6, BODY)))),
        model(node("Add", field(5, ATTRIBUTE + field(11, BODY)))),
    ],
    "data in other files": [
        model(ADD, field(5, TENSOR + field(14, 1))),
        model(ADD, field(5, TENSOR + field(13, field(1, b"location") + field(2, b"../secret")))),
        model(node("Constant", field(5, ATTRIBUTE + field(5, TENSOR + field(14, 1))))),
        model(node("Constant", field(5, ATTRIBUTE + field(10, TENSOR + field(14, 1))))),
        model(ADD, field(15, field(1, TENSOR + field(14, 1)))),
        model(ADD, field(15, field(2, TENSOR + field(14, 1)))),
        model(node("Constant", field(5, ATTRIBUTE + field(22, field(1, TENSOR + field(14, 1)))))),
    ],
    "functions": [
        model(ADD, more=field(25, b"")),
        model(node("Add", field(8, b"other"))),
        model(node("Add", field(5, field(21, b"a")))),
    ],
    "training graphs": [model(ADD, more=field(20, b""))],
    "not known": [model(ADD, more=field(99, b"")), model(ADD, field(99, b"")), model(node("Add", field(99, b"")))],
}


@pytest.mark.parametrize(("reason", "content"), [(reason, c) for reason, some in HIDDEN.items() for c in some])
def test_what_could_hide_a_program_or_reach_outside_is_refused(reason: str, content: bytes) -> None:
    """Bodies in attributes, weights in other files wherever a tensor may stand, functions, and fields of later formats."""
    assert reason in refused(content)


NO_GRAPHS = {
    "pickle": b"\x80\x04\x95pickle",
    "noise": b"\xff" * 100,
    "text": b"not a graph at all",
    "nothing": b"",
    "no graph": field(1, 8),
    "two graphs": model(ADD) + field(7, ADD),
    "cut off": model(ADD)[:-1],
    "length beyond the end": field(1, 8) + varint(7 << 3 | 2) + varint(1 << 40),
    "endless number": b"\x08" + b"\xff" * 20,
    "group": varint(7 << 3 | 3) + varint(7 << 3 | 4),
    "graph as a number": field(7, 1),
    "field 0": varint(2) + b"\0",
    "operator twice": model(node("Add", field(4, b"Add"))),
    "runtime's own format": field(2, b"abORTMcd") + model(ADD),
}


@pytest.mark.parametrize("content", NO_GRAPHS.values(), ids=NO_GRAPHS.keys())
def test_other_files_are_no_graphs(content: bytes) -> None:
    """Pickles, noise, broken files, and files that two readers could read differently."""
    assert "no ONNX graph" in refused(content)


def test_a_hostile_file_does_not_take_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a bound on the number of fields."""
    monkeypatch.setattr(operators, "MOST_FIELDS", 100)
    refuse_strange_operators(Path("a.onnx"), model(ADD, field(2, b"g") * 50))
    assert "too many fields" in refused(model(ADD, field(2, b"g") * 100))


def test_the_error_repeats_nothing_unreadable() -> None:
    """An operator's name from the file cannot bring control characters or pages of text into a log."""
    message = refused(model(node("Evil\n\x1b[31m" + "x" * 500)))
    assert "Evil31m" in message
    assert len(message) < 150
