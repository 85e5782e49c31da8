"""MLLP framing over arbitrary payloads, junk and segmentation."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.mllp import FrameDecoder, encode_frame

_PAYLOAD = st.binary(max_size=60).filter(lambda b: b"\x0b" not in b and b"\x1c" not in b)
_JUNK = st.binary(max_size=20).filter(lambda b: b"\x0b" not in b)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(_JUNK, _PAYLOAD), max_size=6), st.lists(st.integers(1, 40), min_size=1))
def test_frames_survive_any_segmentation(items: list[tuple[bytes, bytes]], steps: list[int]) -> None:
    """The payloads come out in order, whatever stands between the frames and wherever TCP cuts."""
    stream = b"".join(junk + encode_frame(payload) for junk, payload in items)
    decoder, out, at, i = FrameDecoder(), [], 0, 0
    while at < len(stream):
        step = steps[i % len(steps)]
        out += decoder.feed(stream[at : at + step])
        at, i = at + step, i + 1
    assert out == [payload for _, payload in items]
    assert not decoder.in_frame


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=20))
def test_any_bytes_are_survived_within_the_cap(chunks: list[bytes]) -> None:
    """No input raises, and no frame exceeds the cap."""
    decoder = FrameDecoder(max_frame=50)
    for chunk in chunks:
        assert all(len(frame) <= 50 for frame in decoder.feed(chunk))
