"""Several messages in one payload or file: ``[FHS] {[BHS] {MSH ...} [BTS]} [FTS]``, or just one message after another.

Source: HL7 v2.8.2 chapter 2.10.3 (batch protocol). Messages are cut as bytes, so that each keeps its own bytes and its own charset.
"""

from __future__ import annotations

import re

from schemas.errors import MalformedMessage, Reason

_MARK = re.compile(rb"(?<![^\r\n])(MSH|FHS|BHS|BTS|FTS)(?=[^A-Za-z0-9\r\n]|[\r\n]|\Z)")
_PREFIX = b"\xef\xbb\xbf \t\r\n"
_COUNT = re.compile(rb"\d{1,9}")


def split_messages(payload: bytes) -> tuple[bytes, ...]:
    """The messages of a file or batch, each from its MSH to the next mark, blank lines between them left out.

    Raises:
        MalformedMessage: ``malformed_hl7`` when something stands before the first message or between an envelope and a message;
            ``batch_count_mismatch`` (``BTS-1``, ``FTS-1``) when a trailer's count is not what was found.
    """
    body = payload.removeprefix(b"\xef\xbb\xbf").lstrip(_PREFIX)
    marks = [(match[1], match.start()) for match in _MARK.finditer(body)]
    if not marks or marks[0][1]:
        raise MalformedMessage(path="MSH", detail="something stands before the first message")
    messages: list[bytes] = []
    batches = in_batch = 0
    for (name, start), (_, end) in zip(marks, [*marks[1:], (b"", len(body))], strict=True):
        part = body[start:end]
        if name == b"MSH":
            messages.append(_trimmed(part))
            in_batch += 1
            continue
        if re.search(rb"[\r\n]", part.strip()):
            raise MalformedMessage(path=name.decode(), detail="a segment outside the messages")
        if name == b"BHS":
            batches, in_batch = batches + 1, 0
        elif name == b"BTS":
            _check(part, in_batch, "BTS-1")
        elif name == b"FTS":
            _check(part, max(batches, 1), "FTS-1")
    return tuple(messages)


def _trimmed(message: bytes) -> bytes:
    """Without the blank lines after its last segment, whose own end it keeps."""
    bare = message.rstrip(b"\r\n")
    rest = message[len(bare) :]
    return bare + (rest[:2] if rest[:2] == b"\r\n" else rest[:1])


def _check(trailer: bytes, found: int, path: str) -> None:
    """An empty count says nothing; one that is no number or another number refuses the whole."""
    rest = trailer.strip()[3:]
    said = rest[1:].split(rest[:1], 1)[0].strip() if rest else b""
    if said and (not _COUNT.fullmatch(said) or int(said) != found):
        raise MalformedMessage(Reason.BATCH_COUNT_MISMATCH, path=path)
