"""Cutting a file or batch into its messages."""

from __future__ import annotations

import pytest

from schemas.errors import MalformedMessage, Reason
from schemas.hl7.batch import split_messages

ONE = b"MSH|^~\\&|A|B|C|D|2024||ADT^A01|1|P|2.5\rPID|1||7\r"
TWO = b"MSH|^~\\&|A|B|C|D|2024||ADT^A01|2|P|2.5\rPID|1||8\r"


@pytest.mark.parametrize(
    "payload",
    [
        ONE + TWO,
        ONE + b"\r\n\r\n" + TWO,
        b"\xef\xbb\xbf\n" + ONE + b"\r" + TWO,
        b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + ONE + TWO + b"BTS|2\rFTS|1\r",
        b"BHS|^~\\&|A\r" + ONE + b"BTS|1\rBHS|^~\\&|B\r" + TWO + b"BTS|\rFTS|2\r",
    ],
)
def test_messages_keep_their_bytes(payload: bytes) -> None:
    """With or without envelope, each message comes out as it stands."""
    assert split_messages(payload) == (ONE, TWO)


def test_single_message_is_itself() -> None:
    """One message, also without its last CR or with CRLF ends, is the only one."""
    assert split_messages(ONE[:-1]) == (ONE[:-1],)
    windows = ONE.replace(b"\r", b"\r\n")
    assert split_messages(windows) == (windows,)


@pytest.mark.parametrize(
    ("payload", "reason", "path"),
    [
        (b"BHS|^~\\&|A\r" + ONE + b"BTS|2\r", Reason.BATCH_COUNT_MISMATCH, "BTS-1"),
        (b"FHS|^~\\&|A\r" + ONE + b"FTS|two\r", Reason.BATCH_COUNT_MISMATCH, "FTS-1"),
        (b"BHS|^~\\&|A\rPID|1\r" + ONE, Reason.MALFORMED_HL7, "BHS"),
        (b"PID|1\r" + ONE, Reason.MALFORMED_HL7, "MSH"),
        (b"", Reason.MALFORMED_HL7, "MSH"),
    ],
)
def test_damaged_batch_is_refused(payload: bytes, reason: Reason, path: str) -> None:
    """Counts that do not hold and segments outside messages refuse the whole."""
    with pytest.raises(MalformedMessage) as caught:
        split_messages(payload)
    assert (caught.value.reason, caught.value.path) == (reason, path)
