"""FHIR JSON: refused by code, kept as written."""

from __future__ import annotations

from decimal import Decimal

import pytest

from schemas.errors import MalformedMessage, Reason
from schemas.fhir.json import decode, encode

DEEP = 100_000


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"a":' * DEEP, Reason.TOO_DEEP),
        (b'{"a":[' * 60 + b"1" + b"]}" * 60, Reason.TOO_DEEP),
        (b'{"a":' + b"1" * 1_000_000 + b"}", Reason.MALFORMED_FHIR),
        (b'{"a":0.' + b"1" * 1_000_000 + b"}", Reason.MALFORMED_FHIR),
        (b'{"a":1e999}', Reason.MALFORMED_FHIR),
        (b'{"a":1e-999}', Reason.MALFORMED_FHIR),
        (b'{"a":1e99999999999999999999}', Reason.MALFORMED_FHIR),
        (b'{"a":NaN}', Reason.MALFORMED_FHIR),
        (b'{"a":-Infinity}', Reason.MALFORMED_FHIR),
        (b'{"a":"\\ud800"}', Reason.MALFORMED_FHIR),
        (b'{"a":"\\ud800x"}', Reason.MALFORMED_FHIR),
        (b'{"a":"\xed\xa0\x80"}', Reason.MALFORMED_FHIR),
        (b'{"a":"\xff"}', Reason.MALFORMED_FHIR),
        (b'\xef\xbb\xbf\xef\xbb\xbf{"a":1}', Reason.MALFORMED_FHIR),
        ('{"a":1}'.encode("utf-16"), Reason.MALFORMED_FHIR),
        ('{"a":1}'.encode("utf-32-le"), Reason.MALFORMED_FHIR),
        (b'{"a":1} {"b":2}', Reason.MALFORMED_FHIR),
        (b'{"a":01}', Reason.MALFORMED_FHIR),
        (b'{"a":"\x01"}', Reason.MALFORMED_FHIR),
        (b"[]", Reason.MALFORMED_FHIR),
        (b'"a"', Reason.MALFORMED_FHIR),
        (b"", Reason.MALFORMED_FHIR),
    ],
)  # fmt: skip
def test_what_is_no_fhir_json_is_refused_by_code(payload: bytes, reason: Reason) -> None:
    """Each kind of broken or hostile JSON has its reason code."""
    with pytest.raises(MalformedMessage) as caught:
        decode(payload)
    assert caught.value.reason is reason


def test_one_byte_order_mark_is_ignored_and_never_written() -> None:
    """RFC 8259, 8.1: a reader may; a mark does not hide a duplicate key."""
    assert encode(decode(b'\xef\xbb\xbf{"a":1.00}')) == b'{"a":1.00}'
    with pytest.raises(MalformedMessage):
        decode(b'\xef\xbb\xbf{"a":1,"a":2}')


@pytest.mark.parametrize(
    "payload",
    [
        b'{"id":"1","id":"2"}',
        b'{"id" :"1","id":"2"}',
        b'{"id"\n:"1","id"\t:"2"}',
        b'{"\\u0069d":"1","id":"2"}',
        b'{"a":{"b":[{"c":1,"c":1}]}}',
        b'{"a":"\\":","b" :1,"b":2}',
    ],
)
def test_a_duplicate_key_is_refused_however_it_is_spelled(payload: bytes) -> None:
    """Two readers must not see two messages in one payload."""
    with pytest.raises(MalformedMessage) as caught:
        decode(payload)
    assert caught.value.reason is Reason.MALFORMED_FHIR


@pytest.mark.parametrize("payload", [b'{"a":"b\\": c","d":1}', b'{"a":"x : y"}', b'{"a" : {"b" :1}}', b'{"\\"":1,"\\":":2}'])
def test_quotes_and_colons_in_strings_are_no_duplicates(payload: bytes) -> None:
    """The cheap count may doubt, the exact check then clears."""
    assert decode(payload)


def test_the_size_is_judged_before_decoding() -> None:
    """A payload over the limit is refused as too large even where it is not JSON."""
    with pytest.raises(MalformedMessage) as caught:
        decode(b"x" * 101, max_bytes=100)
    assert caught.value.reason is Reason.TOO_LARGE


def test_depth_counts_objects_and_arrays_from_the_root() -> None:
    """The root is level one; one level more than allowed is refused."""
    payload = b'{"a":[{"b":1}]}'
    assert decode(payload, max_depth=3)
    with pytest.raises(MalformedMessage):
        decode(payload, max_depth=2)


@pytest.mark.parametrize("number", ["1.00", "0.0000001", "1e2", "1E+2", "-0.0", "100", "12345678901234567890123", "1.50e-7", "0"])
def test_numbers_go_out_as_they_came(number: str) -> None:
    """Precision is significant in FHIR: every digit and exponent stays."""
    payload = f'{{"value":{number}}}'.encode()
    assert encode(decode(payload)) == payload


def test_decimals_can_be_computed_with() -> None:
    """A number that keeps its spelling is still a Decimal."""
    value = decode(b'{"value":1e2}')["value"]
    assert value == Decimal(100)
    assert value + 1 == Decimal(101)


def test_no_error_text_quotes_the_payload() -> None:
    """What stands in the payload never stands in the exception or its chain."""
    for payload in (b'{"CANARY":CANARY}', b'{"CANARY":1,"CANARY":2}', b'"CANARY"', b'{"a":"CANARY\xff"}'):
        with pytest.raises(MalformedMessage) as caught:
            decode(payload)
        assert "CANARY" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
