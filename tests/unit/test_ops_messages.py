"""Message files are read as a site has them on disk."""

from __future__ import annotations

from pathlib import Path

from ops.commands.keys import master_key, write_secret
from ops.messages import acknowledgement_code, read_folder


def test_line_ends_of_hl7_files_become_segment_ends(tmp_path: Path) -> None:
    """A file edited on any system is sent with carriage returns only."""
    (tmp_path / "a.hl7").write_bytes(b"MSH|^~\\&|A\r\nPID|1\nPV1|1\r")
    (tmp_path / "notes.txt").write_text("not a message")
    (message,) = read_folder(tmp_path)
    assert message.payload == b"MSH|^~\\&|A\rPID|1\rPV1|1\r"


def test_folder_names_route_the_samples(tmp_path: Path) -> None:
    """The first folder under the root says how a message is posted."""
    (tmp_path / "mllp").mkdir()
    (tmp_path / "mllp" / "a.hl7").write_bytes(b"MSH|")
    (tmp_path / "b.ndjson").write_bytes(b"{}\n")
    assert [(m.route, m.format) for m in read_folder(tmp_path)] == [("", "ndjson"), ("mllp", "hl7v2")]


def test_acknowledgement_code_is_msa_1() -> None:
    """The code of the first MSA segment is found; a frame without one gives nothing."""
    assert acknowledgement_code(b"MSH|^~\\&|\rMSA|AE|17\rERR|\r") == "AE"
    assert acknowledgement_code(b"MSH|^~\\&|\r") == ""


def test_secret_files_are_private_and_never_overwritten(tmp_path: Path) -> None:
    """A key file has mode 0600; a second write is refused, so that no token loses its meaning."""
    path = tmp_path / "keys" / "master.key"
    write_secret(path, master_key())
    assert path.stat().st_mode & 0o777 == 0o600
    try:
        write_secret(path, master_key())
    except FileExistsError:
        return
    raise AssertionError("an existing key was overwritten")


def test_several_messages_in_one_file_are_sent_one_by_one(tmp_path: Path) -> None:
    """Messages that only follow each other are single messages; a batch with its header stays whole."""
    message = b"MSH|^~\\&|A|B|C|D|20260101||ADT^A01|%d|P|2.5.1\nPID|1\n"
    (tmp_path / "a.hl7").write_bytes(message % 1 + b"\n" + message % 2)
    (tmp_path / "b.hl7").write_bytes(b"BHS|^~\\&|A\n" + message % 1 + message % 2 + b"BTS|2\n")
    assert [m.payload.count(b"MSH") for m in read_folder(tmp_path)] == [1, 1, 2]
