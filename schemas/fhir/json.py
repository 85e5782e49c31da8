"""FHIR JSON, read strictly and written exactly: a number keeps the digits and the precision that its sender wrote.

FHIR R4 datatypes, decimal: "implementations SHALL preserve the precision" (http://hl7.org/fhir/R4/datatypes.html#decimal).
Refused beyond what RFC 8259 forbids: duplicate keys (one reader would see another message than the next), numbers outside IEEE
double range, nesting beyond ``max_depth``, anything but UTF-8, anything but one object. One byte order mark before it is ignored, as
RFC 8259 section 8.1 permits and senders on Windows need; it is never written.

No error raised here quotes the input.
"""

from __future__ import annotations

import json as stdlib_json
from decimal import Decimal
from typing import Any

import msgspec

from schemas.errors import MalformedMessage, Reason

#: Base64 of a 45 MiB document; what is larger belongs behind ``Attachment.url``.
MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 64

_BOM = b"\xef\xbb\xbf"
#: Longer numbers cost quadratic time in arithmetic and say nothing: FHIR asks readers for 18 digits.
_MAX_DIGITS = 400
#: Decimal exponent range of an IEEE 754 double.
_MAX_EXPONENT = 308


class WrittenDecimal(Decimal):
    """A decimal that ``str`` would write differently from its sender, such as ``0.0000001`` or ``1e2``."""

    __slots__ = ("written",)
    written: str


def _number(text: str) -> Decimal:
    if len(text) > _MAX_DIGITS:
        raise ValueError
    value = Decimal(text)
    if value and not -_MAX_EXPONENT <= value.adjusted() <= _MAX_EXPONENT:
        raise ValueError
    if str(value) == text:
        return value
    written = WrittenDecimal(text)
    written.written = text
    return written


def _as_written(value: object) -> msgspec.Raw:
    if isinstance(value, WrittenDecimal):
        return msgspec.Raw(value.written.encode())
    raise TypeError(type(value).__name__)


_decoder = msgspec.json.Decoder(float_hook=_number)
_encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=_as_written)


def decode(payload: bytes, *, max_depth: int = MAX_DEPTH, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """One JSON object; fractions become ``Decimal``, everything else the obvious type.

    Args:
        max_depth: levels of objects and arrays; the root object is level 1.

    Raises:
        MalformedMessage: with ``TOO_LARGE``, ``TOO_DEEP`` or ``MALFORMED_FHIR``.
    """
    if len(payload) > max_bytes:
        raise MalformedMessage(Reason.TOO_LARGE)
    payload = payload.removeprefix(_BOM)
    try:
        value = _decoder.decode(payload)
    except RecursionError:
        raise MalformedMessage(Reason.TOO_DEEP) from None
    except (msgspec.MsgspecError, ValueError, ArithmeticError):  # their texts quote the input
        raise MalformedMessage(Reason.MALFORMED_FHIR, detail="not JSON in UTF-8") from None
    if type(value) is not dict:
        raise MalformedMessage(Reason.MALFORMED_FHIR, detail="not a JSON object")
    if _count_keys(value, max_depth) != payload.count(b'":') or _has_spaced_colon(payload):
        _refuse_duplicate_keys(payload)
    return value


def encode(resource: dict[str, Any]) -> bytes:
    """Compact JSON in the order of the dict; decimals as they were written."""
    try:
        return _encoder.encode(resource)
    except OverflowError:  # an integer beyond 64 bits
        return _encoder.encode(_wide(resource))


def _count_keys(root: dict[str, Any], max_depth: int) -> int:
    """Keys in all objects; level by level, because that is the cheapest walk and it measures the depth on the way."""
    keys = 0
    level: list[Any] = [root]
    for _ in range(max_depth):
        deeper: list[Any] = []
        for node in level:
            children = node
            if type(node) is dict:
                keys += len(node)
                children = node.values()
            deeper += [child for child in children if type(child) is dict or type(child) is list]
        if not deeper:
            return keys
        level = deeper
    raise MalformedMessage(Reason.TOO_DEEP)


def _has_spaced_colon(payload: bytes) -> bool:
    """A key's colon need not touch the quote; only then can ``":`` occur less often than there are keys."""
    return any(spaced in payload for spaced in (b" :", b"\t:", b"\n:", b"\r:"))


def _refuse_duplicate_keys(payload: bytes) -> None:
    """Exact, at about twice the cost of decoding; needed only when counting left a doubt."""
    try:
        stdlib_json.loads(payload, object_pairs_hook=_unique_object, parse_int=len, parse_float=len)
    except ValueError:
        raise MalformedMessage(Reason.MALFORMED_FHIR, detail="duplicate key") from None
    except RecursionError:
        raise MalformedMessage(Reason.TOO_DEEP) from None


def _unique_object(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError


def _wide(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _wide(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_wide(child) for child in value]
    return Decimal(value) if type(value) is int else value
