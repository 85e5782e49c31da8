"""What a graph may hold: operators by allow-list, no data in other files, no functions, no graphs inside graphs.

A graph is a program. ONNX Runtime runs whatever it is given, including operators of custom libraries; a tagger or a classifier
needs a few dozen plain ones. Whoever adds a family adds its operators here.

The file is read field by field (protocol buffers, ``onnx.proto`` of ONNX 1.23) without building a model: serving does not need the
onnx package, weights are skipped, and a field that is not known here is refused rather than ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from schemas.errors import ConfigurationError

_ONNX: Final = frozenset(
    """
    Abs Add And Cast Ceil Clip Concat Constant ConstantOfShape Cos CumSum DequantizeLinear Div DynamicQuantizeLinear Einsum Equal Erf Exp EyeLike
    Expand Flatten Floor Gather GatherElements GatherND Gelu Gemm Greater GreaterOrEqual Identity IsNaN LayerNormalization Less
    LessOrEqual Log MatMul MatMulInteger Max Min Mod Mul Neg Not Or Pad Pow QuantizeLinear Range Reciprocal ReduceMax ReduceMean
    ReduceSum Relu Reshape ScatterND Shape Sigmoid Sign Sin Slice Softmax Split Sqrt Squeeze Sub Sum Tanh Tile Transpose Trilu
    Unsqueeze Where Xor
    """.split()  # noqa: SIM905
)
_MICROSOFT: Final = frozenset(
    """
    Attention BiasGelu BiasSplitGelu DynamicQuantizeMatMul EmbedLayerNormalization FastGelu FusedMatMul Gelu MatMulIntegerToFloat
    MultiHeadAttention QAttention QEmbedLayerNormalization SimplifiedLayerNormalization SkipLayerNormalization
    SkipSimplifiedLayerNormalization
    """.split()  # noqa: SIM905
)
ALLOWED: Final = {"": _ONNX, "ai.onnx": _ONNX, "com.microsoft": _MICROSOFT}

#: Fields that only describe, or hold numbers: skipped.
_PLAIN: Final = {
    "model": {1, 2, 3, 4, 5, 6, 8, 14},
    "graph": {2, 10, 11, 12, 13, 14, 16},
    "node": {1, 2, 3, 6, 9},
    "attribute": {1, 2, 3, 4, 7, 8, 9, 13, 14, 15, 20},
    "tensor": {1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16},
    "sparse tensor": {3},
}
#: Fields that are messages, and are read in their turn.
_INNER: Final = {
    ("model", 7): "graph",
    ("graph", 1): "node",
    ("graph", 5): "tensor",
    ("graph", 15): "sparse tensor",
    ("node", 5): "attribute",
    ("attribute", 5): "tensor",
    ("attribute", 10): "tensor",
    ("attribute", 22): "sparse tensor",
    ("attribute", 23): "sparse tensor",
    ("sparse tensor", 1): "tensor",
    ("sparse tensor", 2): "tensor",
}
_REFUSED: Final = {
    ("model", 20): "training graphs are not allowed",
    ("model", 25): "functions are not allowed",
    ("node", 8): "functions are not allowed",
    ("attribute", 21): "functions are not allowed",
    ("attribute", 6): "graphs inside a node are not allowed",
    ("attribute", 11): "graphs inside a node are not allowed",
    ("tensor", 13): "data in other files is not allowed",
}
_OPERATOR, _DOMAIN, _DATA_LOCATION = ("node", 4), ("node", 7), ("tensor", 14)
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
MOST_FIELDS: Final = 1_000_000  # the graphs that ship have a few thousand; keeps the time of a hostile file bounded
_RUNTIME_FORMAT: Final = b"ORTM"  # at byte 4: ONNX Runtime's own format, which is another language


class _Malformed(ValueError):
    """Not the bytes of an ONNX model; or such that may not be loaded."""


def refuse_strange_operators(path: Path, content: bytes | None = None) -> None:
    """Read the graph at ``path`` and check all that it holds.

    Args:
        content: the file's bytes, where the caller has them.

    Raises:
        ConfigurationError: it is no ONNX graph, or holds something that is not allowed.
    """
    try:
        _walk(path.read_bytes() if content is None else content)
    except _Malformed as error:
        raise ConfigurationError(path=str(path), detail=str(error)) from None


def _walk(content: bytes) -> None:
    if content[4:8] == _RUNTIME_FORMAT:
        raise _Malformed("no ONNX graph")
    waiting = [("model", 0, len(content))]
    graphs = seen = 0
    while waiting:
        kind, start, end = waiting.pop()
        names: dict[tuple[str, int], str] = {}
        for number, wire, begins, ends in _fields(content, start, end):
            seen += 1
            if seen > MOST_FIELDS:
                raise _Malformed("too many fields for a model of ours")
            place = (kind, number)
            if number in _PLAIN[kind]:
                continue
            if place in _REFUSED:
                raise _Malformed(_REFUSED[place])
            if place == _DATA_LOCATION:
                if wire != _VARINT or content[begins:ends] != b"\0":
                    raise _Malformed(_REFUSED["tensor", 13])
            elif wire != _LENGTH:
                raise _Malformed("no ONNX graph")
            elif place in (_OPERATOR, _DOMAIN):
                if place in names:  # readers differ in which of two they take
                    raise _Malformed("no ONNX graph")
                names[place] = content[begins:ends].decode("ascii", "replace")
            elif place in _INNER:
                graphs += _INNER[place] == "graph"
                waiting.append((_INNER[place], begins, ends))
            else:
                raise _Malformed("no ONNX graph, or one with fields that are not known")
        if kind == "node":
            _refuse_operator(names.get(_DOMAIN, ""), names.get(_OPERATOR, ""))
    if graphs != 1:
        raise _Malformed("no ONNX graph")


def _refuse_operator(domain: str, operator: str) -> None:
    if operator not in ALLOWED.get(domain, ()):
        raise _Malformed(f"operator {_readable(domain)}::{_readable(operator)} is not allowed")


def _readable(name: str) -> str:
    return "".join(c for c in name[:40] if c.isascii() and (c.isalnum() or c in "._-"))


def _fields(content: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, first byte and end of each field of the message in ``[at, end)``."""
    while at < end:
        tag, at = _varint(content, at, end)
        number, wire = tag >> 3, tag & 7
        begins = at
        if wire == _VARINT:
            _, at = _varint(content, at, end)
        elif wire == _LENGTH:
            length, begins = _varint(content, at, end)
            at = begins + length
        elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
            at += 8 if wire == _EIGHT_BYTES else 4
        else:
            raise _Malformed("no ONNX graph")
        if at > end or not 0 < number < 1 << 29:
            raise _Malformed("no ONNX graph")
        yield number, wire, begins, at


def _varint(content: bytes, at: int, end: int) -> tuple[int, int]:
    """A number in groups of seven bits, lowest first, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _Malformed("no ONNX graph")
