"""MLLP framing, bytes only: ``0x0B`` payload ``0x1C 0x0D`` (HL7 v2 Transport Specification, MLLP Release 1).

Both ends use it: the gateway that receives and the senders that deliver results or post files. No socket is opened here.
"""

from __future__ import annotations

START = b"\x0b"
END = b"\x1c\x0d"

#: First words of a payload that starts a message, a batch or a file.
_HEADS = (b"\x0bMSH", b"\x0bBHS", b"\x0bFHS")
#: How much of a frame that grew too large is kept, so that its MSH segment can still be answered.
HEAD_BYTES = 4096


def encode_frame(payload: bytes) -> bytes:
    return START + payload + END


class FrameDecoder:
    """Cuts a byte stream into frames, whatever the TCP segments look like.

    Bytes outside frames are discarded (the specification allows any). A sender that broke off inside a frame and starts
    over on the same connection is followed: only the last complete start counts. Cost is linear in the bytes fed.

    Args:
        max_frame: payload bytes that one frame may have. When a frame exceeds it, ``overflow`` holds its first
            ``HEAD_BYTES`` bytes, its memory is released, and the decoder takes nothing more.

    Attributes:
        in_frame: a frame has begun and has not ended.
        overflow: see ``max_frame``; ``None`` as long as all is well.
        abandoned: frames that were begun and started over.
    """

    __slots__ = ("_buffer", "_scanned", "abandoned", "in_frame", "max_frame", "overflow")

    def __init__(self, max_frame: int = 4_194_304) -> None:
        self.max_frame = max_frame
        self.in_frame = False
        self.overflow: bytes | None = None
        self.abandoned = 0
        self._buffer = bytearray()
        self._scanned = 0

    @property
    def partial(self) -> bytes:
        """The first ``HEAD_BYTES`` bytes of the frame that has not ended yet."""
        return bytes(self._buffer[:HEAD_BYTES]) if self.in_frame else b""

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads of the frames that ``data`` completes, in order."""
        frames: list[bytes] = []
        if self.overflow is not None:
            return frames
        if not self.in_frame:
            start = data.find(START)
            if start < 0:
                return frames
            self.in_frame = True
            data = data[start + 1 :]
        buffer = self._buffer
        buffer += data
        while True:
            end = buffer.find(END, self._scanned)
            if end < 0:
                if len(buffer) > self.max_frame + 1:  # the last byte may belong to the end block
                    self._overflow()
                else:
                    self._scanned = max(0, len(buffer) - 1)
                return frames
            if end > self.max_frame:
                self._overflow(end)
                return frames
            frames.append(self._restarted(bytes(buffer[:end])))
            start = buffer.find(START, end + 2)
            self._scanned = 0
            if start < 0:
                buffer.clear()
                self.in_frame = False
                return frames
            del buffer[: start + 1]

    def _restarted(self, payload: bytes) -> bytes:
        if START not in payload:
            return payload
        start = max(payload.rfind(head) for head in _HEADS)
        if start < 0:
            return payload
        self.abandoned += 1
        return payload[start + 1 :]

    def _overflow(self, end: int | None = None) -> None:
        self.overflow = bytes(self._buffer[: min(HEAD_BYTES, end or HEAD_BYTES)])
        self._buffer = bytearray()
        self._scanned = 0
