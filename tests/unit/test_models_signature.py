"""Keys that sign bundles: made by the command, kept private, and the only ones that are believed."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from models.signature import KEYS, new_key_pair, public_line, sign, verify
from ops.commands.keys import command
from schemas.errors import ConfigurationError


def made(path: Path) -> Path:
    """A key pair by the command."""
    result = CliRunner().invoke(command, ["models", str(path)])
    assert result.exit_code == 0, result.output
    return path


def test_the_command_makes_a_pair_that_signs(tmp_path: Path) -> None:
    """The private half is the owner's alone, the public half verifies, and both lie where the manual says."""
    key = made(tmp_path / "own" / "models.key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert (tmp_path / "own" / "models.key.pub").read_text() == public_line(key)
    (tmp_path / "manifest.sig").write_text(sign(b"content", key))
    verify(b"content", tmp_path / "manifest.sig", tmp_path / "own")
    with pytest.raises(ConfigurationError, match="does not fit"):
        verify(b"contents", tmp_path / "manifest.sig", tmp_path / "own")


def test_neither_half_is_overwritten(tmp_path: Path) -> None:
    """A second run changes nothing: bundles signed by the first key would no longer load."""
    key = made(tmp_path / "models.key")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert CliRunner().invoke(command, ["models", str(key)]).exit_code == 1
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    key.unlink()
    assert CliRunner().invoke(command, ["models", str(key)]).exit_code == 1
    assert not key.exists()


def test_a_key_of_the_right_name_that_did_not_sign_is_no_help(tmp_path: Path) -> None:
    """The id in the file says which key to try, never whether to believe it."""
    one, other = made(tmp_path / "one"), made(tmp_path / "other")
    claimed = sign(b"content", other).split()[0]
    (tmp_path / "manifest.sig").write_text(f"{claimed} {sign(b'content', one).split()[1]}\n")
    with pytest.raises(ConfigurationError, match="does not fit"):
        verify(b"content", tmp_path / "manifest.sig", tmp_path)


def test_unreadable_keys_are_named(tmp_path: Path) -> None:
    """Of another kind, not a key, or missing; a broken public key stops loading instead of being skipped in silence."""
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for name, content in {"kind": other, "noise": b"noise"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigurationError, match=name):
            sign(b"content", tmp_path / name)
    with pytest.raises(ConfigurationError, match="missing"):
        sign(b"content", tmp_path / "missing")
    (tmp_path / "broken.pub").write_text("AAAA")
    (tmp_path / "manifest.sig").write_text("0123456789abcdef AAAA")
    with pytest.raises(ConfigurationError, match=r"broken\.pub"):
        verify(b"content", tmp_path / "manifest.sig", tmp_path)


def test_the_repository_holds_public_keys_alone() -> None:
    """What ships for verifying is 32 bytes each, and no private key."""
    files = list(KEYS.iterdir())
    assert files
    assert {p.suffix for p in files} == {".pub"}
    assert all(len(p.read_text()) == len(new_key_pair()[1]) for p in files)
