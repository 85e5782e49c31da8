"""The ER7 reader and writer: what goes in comes out, whatever lies between the separators."""

from __future__ import annotations

import time

import hl7
import pytest

from schemas.errors import MalformedMessage, Reason
from schemas.hl7.er7 import Delimiters, Limits, Message, escape, parse, unescape

MSH = b"MSH|^~\\&|LAB|H1|EHR|H1|20240102030405||ORU^R01^ORU_R01|C1|P|2.5.1"

ROUND_TRIPS = {
    "plain": MSH + b"\rPID|1||77^^^H1^MR\r",
    "no final CR": MSH + b"\rPID|1||77^^^H1^MR",
    "trailing separators": MSH + b"|||||\rPID|1||77^^^&&^MR~~||||\r",
    "explicit null": MSH + b'\rPID|1||77||""||""\r',
    "only separators": MSH + b"\rPID|||||^^^~^^&&\r",
    "Z segment": MSH + b"\rZPD|1|a^b~c|x\\T\\y\r",
    "own delimiters": b"MSH$%*!?$LAB$H1$$$2024$$ORU%R01$C1$P$2.3\rPID$1$$77%%%H1%MR*78\r",
    "v2.7 truncation": MSH.replace(b"^~\\&", b"^~\\&#") + b"\rPID|1||77#^^^H1\r",
    "MSH-2 shorter than four": MSH.replace(b"^~\\&", b"^~\\") + b"\rOBX|1|TX|1||AT&T\r",
    "MSH-2 of one": MSH.replace(b"^~\\&", b"^") + b"\rOBX|1|TX|1||a~b\\c&d\r",
    "UTF-8": MSH + b"||||||UNICODE UTF-8\rPID|1||||M\xc3\xbcller^Zo\xc3\xab\r",
    "latin-1": MSH + b"||||||8859/1\rPID|1||||M\xfcller\r",
    "undeclared cp1252": MSH + b"\rOBX|1|TX|1||10\x92 tall\r",
    "escapes": MSH + b"\rOBX|1|FT|1||a\\.br\\b\\T\\c\\E\\d\\X0D0A\\e\\Zxx\\f\\H\\g\\N\\\r",
    "unmatched escape": MSH + b"\rOBX|1|TX|1||take 1\\2 tablet then call\r",
    "70 kB field": MSH + b"\rOBX|1|TX|1||" + b"word " * 14_000 + b"\r",
    "LF": MSH + b"\nPID|1||77\nOBX|1|TX|1||x\n",
    "CRLF": MSH + b"\r\nPID|1||77\r\n",
    "mixed ends": MSH + b"\rPID|1||77\r\nOBX|1|TX|1||x\nNTE|1||y",
    "blank segments": MSH + b"\r\rPID|1||77\r\r\r",
    "byte order mark and leading blanks": b"\xef\xbb\xbf \r\n" + MSH + b"\rPID|1||77\r",
    "blanks at the ends": MSH + b"\rNTE|1||  text  \r  \r",
}


@pytest.mark.parametrize("payload", ROUND_TRIPS.values(), ids=ROUND_TRIPS.keys())
def test_untouched_message_encodes_to_the_same_bytes(payload: bytes) -> None:
    """All 22 cases come out byte-equal, also after every field was split."""
    message = parse(payload)
    assert message.encode() == payload
    for segment in message.segments:
        len(segment)
        segment.get(3, 2, 2, 2)
    assert message.encode() == payload


@pytest.mark.parametrize("payload", ROUND_TRIPS.values(), ids=ROUND_TRIPS.keys())
def test_setting_a_field_to_itself_changes_no_byte(payload: bytes) -> None:
    """Writing what was read is no edit."""
    message = parse(payload)
    for segment in message.segments:
        for field in range(3, len(segment) + 1):
            segment.set_raw(field, segment.raw(field))
    assert message.encode() == payload


def test_edit_changes_only_the_edited_field() -> None:
    """An edit in one segment leaves all other bytes."""
    message = parse(ROUND_TRIPS["mixed ends"])
    _first(message, "PID").set_raw(3, "T1")
    assert message.encode() == ROUND_TRIPS["mixed ends"].replace(b"PID|1||77", b"PID|1||T1")


def test_edit_keeps_the_message_charset() -> None:
    """A latin-1 message stays latin-1, and the byte order mark and blanks before MSH stay."""
    message = parse(b"\xef\xbb\xbf\n" + MSH + b"\rPID|1||||A\r")
    _first(message, "PID").set(5, "Müller")
    assert message.encode() == b"\xef\xbb\xbf\n" + MSH + b"\rPID|1||||M\xc3\xbcller\r"
    message = parse(ROUND_TRIPS["latin-1"])
    _first(message, "PID").set(5, "Öz", component=2)
    assert message.encode().endswith(b"PID|1||||M\xfcller^\xd6z\r")


def test_characters_that_the_charset_lacks_are_refused_not_replaced() -> None:
    """A euro sign in a latin-1 message is an error with a code, not a question mark."""
    message = parse(ROUND_TRIPS["latin-1"])
    _first(message, "PID").set(5, "€")
    with pytest.raises(MalformedMessage) as caught:
        message.encode()
    assert caught.value.reason is Reason.UNDECODABLE_CHARSET


def test_leaf_is_found_by_repetition_component_and_subcomponent() -> None:
    """Positions count from 1; what is absent is empty."""
    pid = _first(parse(MSH + b"\rPID|1||1^^^A&1.2&ISO^MR~2^^^B||Doe&van^Jo\\T\\e\r"), "PID")
    assert pid.get(3, 1, 4, 2) == "1.2"
    assert pid.get(3, 2, 4) == "B"
    assert pid.get(5, component=2) == "Jo&e"
    assert pid.get(3, 3) == pid.get(3, 1, 9) == pid.get(3, 2, 4, 2) == pid.get(99) == ""
    assert pid.repetitions(3) == ["1^^^A&1.2&ISO^MR", "2^^^B"]
    assert pid.repetitions(4) == []


def test_agrees_with_python_hl7_on_every_component() -> None:
    """On a regular message each component equals what python-hl7 reads."""
    payload = MSH + b"\rPID|1||77^^^H1^MR~9^^^NHS||Doe^John^^^Mr||19500102|M\rOBX|1|NM|2823-3^K^LN||4.1|mmol/L|3.5-5.1|N\r"
    oracle = hl7.parse(payload.decode())
    for segment, expected in zip(parse(payload).segments[1:], oracle[1:], strict=True):
        for field in range(1, len(expected)):
            for repetition, pieces in enumerate(expected[field]):
                leaves = pieces if isinstance(pieces, hl7.Repetition) else [pieces]
                for component, leaf in enumerate(leaves):
                    assert segment.get(field, repetition + 1, component + 1) == str(leaf)


def test_header_counts_its_separator_as_field_one() -> None:
    """MSH-1 and MSH-2 come as they stand and cannot be edited."""
    message = parse(MSH)
    assert (message.header.get(1), message.header.get(2), message.header.get(3)) == ("|", "^~\\&", "LAB")
    assert message.kind == "ORU^R01"
    assert message.version == "2.5.1"
    with pytest.raises(ValueError, match="MSH-2"):
        message.header.set_raw(2, "x")


def test_missing_delimiters_do_not_split() -> None:
    """With ``^~\\`` in MSH-2 an ampersand is text."""
    assert _first(parse(ROUND_TRIPS["MSH-2 shorter than four"]), "OBX").get(5) == "AT&T"
    assert _first(parse(ROUND_TRIPS["MSH-2 of one"]), "OBX").get(5) == "a~b\\c&d"


def test_doubled_escape_character_counts_once() -> None:
    r"""``^~\\&`` is the usual set, written by a sender that escaped its string twice."""
    message = parse(MSH.replace(b"^~\\&", b"^~\\\\&") + b"\rPID|1||1^^^A&B\r")
    assert message.delimiters == Delimiters()
    assert _first(message, "PID").get(3, 1, 4, 2) == "B"


def test_line_feed_inside_a_field_stays_text() -> None:
    """An LF that no segment follows is part of the note; one that a segment follows ends the segment."""
    message = parse(MSH + b"\nOBX|1|TX|1||line one\nline two\n\nline four\nNTE|1||x\n")
    assert [segment.id for segment in message.segments if segment.id] == ["MSH", "OBX", "NTE"]
    assert _first(message, "OBX").get(5).startswith("line one\nline two\n")


def test_paths_count_segments_of_one_id() -> None:
    """``walk`` numbers segments from 1 within their id; MSH stands alone."""
    message = parse(MSH + b"\rPID|1\rOBX|1\rNTE|1\rOBX|2\rgarbage\r")
    assert [path for path, _ in message.walk()] == ["MSH", "PID[1]", "OBX[1]", "NTE[1]", "OBX[2]"]


def test_removing_a_segment_removes_its_line() -> None:
    """``segments`` is a list to edit."""
    message = parse(MSH + b"\rZZZ|1\rPID|1\r")
    message.segments.remove(_first(message, "ZZZ"))
    assert message.encode() == MSH + b"\rPID|1\r"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f", "a|b^c&d~e\\f"),
        ("1\\2 tablet then \\.br\\next", "1\\2 tablet then \nnext"),
        ("a\\.sp2\\b\\.sk3\\c\\.in+4\\d\\.ce\\e", "a\n\nb   cd\ne"),
        ("\\H\\bold\\N\\", "bold"),
        ("\\X41C3BC\\", "Aü"),
        ("\\XFF\\ \\X4\\ \\C2842\\", "\\XFF\\ \\X4\\ \\C2842\\"),
        ("\\Zlocal\\", "\\Zlocal\\"),
        ("end\\", "end\\"),
        ("\\E\\R\\", "\\R\\"),
        ("\\.sp999999999\\", "\\.sp999999999\\"),
    ],
)
def test_unescape_reads_known_sequences_and_keeps_the_rest(raw: str, text: str) -> None:
    """Known sequences become text; unknown and unmatched ones stay verbatim and cost nothing."""
    assert unescape(raw, Delimiters()) == text


def test_escape_keeps_frames_and_segments_whole() -> None:
    """No separator, line end or MLLP control character survives as such."""
    written = escape("a|b^c~d\\e&f\r\n\x0b\x1c€", Delimiters())
    assert not set(written) & set("|^~&\r\n\x0b\x1c")
    assert unescape(written, Delimiters()) == "a|b^c~d\\e&f\r\n\x0b\x1c€"


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        (b"", "MSH"),
        (b"PID|1", "MSH"),
        (b"<xml/>", "MSH"),
        (b"MSH", "MSH-1"),
        (b"MSHA^~\\&A", "MSH-1"),
        (b"MSH\r^~\\&", "MSH-1"),
        (b"MSH|", "MSH-2"),
        (b"MSH||x", "MSH-2"),
        (b"MSH|^~\\&#!|x", "MSH-2"),
        (b"MSH|^^\\&|x", "MSH-2"),
        (b"MSH|^|~", None),
        (b"FHS|^~\\&|x\r" + MSH, "FHS"),
        (MSH + b"\r" + MSH, "MSH[2]"),
    ],
)
def test_damaged_header_is_refused_by_path(payload: bytes, path: str | None) -> None:
    """What is not one message with usable delimiters is malformed, and the error says where without saying what."""
    if path is None:
        assert parse(payload).segments
        return
    with pytest.raises(MalformedMessage) as caught:
        parse(payload)
    assert (caught.value.reason, caught.value.path) == (Reason.MALFORMED_HL7, path)


@pytest.mark.parametrize(
    ("declared", "data", "text"),
    [
        (b"UNICODE UTF-8", "Ångström".encode(), "Ångström"),
        (b"ASCII", "Ångström".encode(), "Ångström"),
        (b"8859/2", "Łódź".encode("iso8859-2"), "Łódź"),
        (b"", "Łódź".encode(), "Łódź"),
        (b"", "naïve".encode("cp1252"), "naïve"),
        (b"GB 18030-2000", "張|".encode("gb18030")[:-1], "張"),
        (b"BIG-5", "功".encode("big5"), "功"),
        (b"~ISO IR87", "山田".encode("iso2022_jp"), "山田"),
        (b"UNICODE UTF-16", "Ångström".encode(), "Ångström"),
    ],
)
def test_charset_of_msh_18_is_used_and_mistakes_fall_back(declared: bytes, data: bytes, text: str) -> None:
    """Declared set first, then UTF-8, then the configured single-byte set."""
    message = parse(MSH + b"||||||" + declared + b"\rPID|1||||" + data + b"^X\r")
    assert _first(message, "PID").get(5) == text
    assert _first(message, "PID").get(5, component=2) == "X"


@pytest.mark.parametrize(
    "payload",
    [
        MSH + b"||||||UNICODE UTF-8\rPID|1||||M\xfcller\r",
        MSH + b"||||||GB 18030-2000\rPID|1||||\xff\xff\r",
        MSH + b"\rPID|1||||\x81\x8d\r",
        b"\xff\xfe" + MSH.decode().encode("utf-16-le"),
    ],
)
def test_bytes_that_no_allowed_charset_reads_are_refused(payload: bytes) -> None:
    """Never decoded with replacement: a declared multi-byte set that does not fit is an error."""
    with pytest.raises(MalformedMessage) as caught:
        parse(payload)
    assert caught.value.reason is Reason.UNDECODABLE_CHARSET


@pytest.mark.parametrize("bomb", [b"^" * 2_000_000, b"~" * 500_000, b"|" * 2_000_000, b"\r" * 2_000_000, b"&" * 2_000_000])
def test_separator_bomb_is_refused_before_splitting(bomb: bytes) -> None:
    """Counting is one pass over the bytes; the bound is ten times what is needed."""
    started = time.perf_counter()
    with pytest.raises(MalformedMessage) as caught:
        parse(MSH + b"\rOBX|1|TX|1||" + bomb)
    assert caught.value.reason is Reason.TOO_LARGE
    assert time.perf_counter() - started < 0.5


def test_message_size_is_limited() -> None:
    """A message larger than the limit is refused unread."""
    with pytest.raises(MalformedMessage) as caught:
        parse(MSH, limits=Limits(size=10))
    assert caught.value.reason is Reason.TOO_LARGE


def test_repr_shows_no_content() -> None:
    """A stray log line prints structure alone."""
    message = parse(MSH + b"\rPID|1||||Doe\rSMITH JOHN\r")
    assert "Doe" not in repr(message) + repr(message.segments)
    assert "SMITH" not in repr(message.segments)


def _first(message: Message, segment_id: str):  # type: ignore[no-untyped-def]
    segment = message.first(segment_id)
    assert segment is not None
    return segment
