"""Whatever bytes come, the reader answers with a message or a coded refusal, and loses nothing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import MalformedMessage
from schemas.hl7.er7 import Delimiters, escape, parse, unescape

HEADER = b"MSH|^~\\&|A|B|C|D|2024||ADT^A01|1|P|2.5"
GRAMMAR = st.sampled_from(
    [
        b"MSH",
        b"PID",
        b"OBX",
        b"|",
        b"^",
        b"~",
        b"&",
        b"\\",
        b"#",
        b"\r",
        b"\n",
        b'""',
        b"\\.br\\",
        b"\\X",
        b"8859/1",
        b"\xc3\xbc",
        b"\xff",
    ]
)
HL7_LIKE = st.lists(st.one_of(GRAMMAR, st.binary(max_size=6)), max_size=60).map(b"".join)


@given(st.one_of(st.binary(max_size=200), HL7_LIKE, HL7_LIKE.map(lambda tail: HEADER + b"\r" + tail)))
@settings(max_examples=500, deadline=None)
def test_any_bytes_give_a_message_or_a_refusal(payload: bytes) -> None:
    """No other exception; what is read can be read everywhere and encodes to the same bytes."""
    try:
        message = parse(payload)
    except MalformedMessage:
        return
    for segment in message.segments:
        for field in range(len(segment) + 2):
            segment.get(field, 2, 2, 2)
            for repetition in segment.repetitions(field):
                for component in segment.components(repetition):
                    [segment.leaf(leaf) for leaf in segment.subcomponents(component)]
    assert (message.kind, message.version) is not None
    assert message.encode() == payload


@given(st.binary(min_size=1, max_size=3), st.integers(min_value=0, max_value=200))
@settings(max_examples=200, deadline=None)
def test_flipped_bytes_never_break_the_reader(noise: bytes, position: int) -> None:
    """A regular message with bytes overwritten anywhere is read or refused."""
    whole = HEADER + b"||||||UNICODE UTF-8\rPID|1||7^^^H&1&ISO~8||M\xc3\xbcller^\\T\\\rOBX|1|FT|a^b^LN||x\\.br\\y\r"
    payload = whole[:position] + noise + whole[position + len(noise) :]
    try:
        assert parse(payload).encode() == payload
    except MalformedMessage:
        return


@given(st.text(max_size=80), st.sampled_from([Delimiters(), Delimiters(truncation="#"), Delimiters("$", "%", "*", "!", "?")]))
@settings(max_examples=300, deadline=None)
def test_escaped_text_reads_back(text: str, delimiters: Delimiters) -> None:
    """``unescape`` undoes ``escape`` for every text, and the escaped form holds no separator."""
    written = escape(text, delimiters)
    assert unescape(written, delimiters) == text
    assert not {delimiters.field, delimiters.component, delimiters.repetition, delimiters.subcomponent, "\r", "\n"} & set(written)
