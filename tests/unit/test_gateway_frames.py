"""MLLP framing: what a receiver must make of any byte stream."""

from __future__ import annotations

import pytest

from schemas.mllp import HEAD_BYTES, FrameDecoder, encode_frame

FIRST = b"MSH|^~\\&|LAB|NORTH\rPID|1\r"
SECOND = b"MSH|^~\\&|ADT|SOUTH\r"
STREAM = b"junk" + encode_frame(FIRST) + b"\r\n" + encode_frame(SECOND)


@pytest.mark.parametrize("split", range(len(STREAM) + 1))
def test_every_split_gives_the_same_frames(split: int) -> None:
    """Two frames with junk before and between come out whole wherever the stream is cut."""
    decoder = FrameDecoder()
    assert decoder.feed(STREAM[:split]) + decoder.feed(STREAM[split:]) == [FIRST, SECOND]
    assert not decoder.in_frame


def test_byte_by_byte() -> None:
    """One byte per TCP segment is enough."""
    decoder = FrameDecoder()
    assert [frame for i in range(len(STREAM)) for frame in decoder.feed(STREAM[i : i + 1])] == [FIRST, SECOND]


def test_end_block_needs_both_bytes() -> None:
    """A lone 0x1C inside the payload does not end the frame."""
    decoder = FrameDecoder()
    assert decoder.feed(b"\x0bA\x1cB\x1c") == []
    assert decoder.in_frame
    assert decoder.feed(b"\r") == [b"A\x1cB"]


def test_bytes_outside_frames_are_discarded() -> None:
    """Without a start byte nothing is kept, an end block alone included."""
    decoder = FrameDecoder()
    assert decoder.feed(b"MSH|no start\x1c\r") == []
    assert decoder.partial == b""


def test_restart_inside_a_frame() -> None:
    """A sender that broke off and starts over is answered for the message that it completed."""
    decoder = FrameDecoder()
    assert decoder.feed(b"\x0b" + FIRST[:10] + encode_frame(SECOND)) == [SECOND]
    assert decoder.abandoned == 1


def test_vertical_tab_in_text_is_not_a_restart() -> None:
    """0x0B that no message head follows stays in the payload, for the receiver to refuse."""
    decoder = FrameDecoder()
    assert decoder.feed(encode_frame(b"MSH|a\x0bb")) == [b"MSH|a\x0bb"]
    assert decoder.abandoned == 0


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_frame_at_the_cap_passes_and_one_above_overflows(step: int) -> None:
    """The cap counts payload bytes and holds however the bytes arrive."""
    for size, fits in ((1000, True), (1001, False)):
        payload = b"x" * size
        stream = encode_frame(payload)
        decoder = FrameDecoder(max_frame=1000)
        frames = [frame for i in range(0, len(stream), step) for frame in decoder.feed(stream[i : i + step])]
        assert frames == ([payload] if fits else [])
        assert (decoder.overflow is None) is fits


def test_overflow_keeps_the_head_and_takes_nothing_more() -> None:
    """What the message was called can still be answered; memory is released; later frames are not read."""
    decoder = FrameDecoder(max_frame=10_000)
    assert decoder.feed(encode_frame(SECOND) + b"\x0b" + FIRST + b"x" * 20_000) == [SECOND]
    assert decoder.overflow is not None
    assert decoder.overflow.startswith(FIRST)
    assert len(decoder.overflow) == HEAD_BYTES
    assert decoder.feed(encode_frame(SECOND)) == []


def test_partial_shows_the_begun_frame() -> None:
    """The head of an unfinished frame is there for a late answer."""
    decoder = FrameDecoder()
    decoder.feed(b"\x0b" + FIRST)
    assert decoder.partial == FIRST
