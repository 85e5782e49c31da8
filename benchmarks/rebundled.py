"""The shelf's bundle under another version, with other thresholds or other golden answers, signed with a key of one's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from models.bundle import MANIFEST, FileEntry, Manifest, sha256_of, shelf_bundle
from models.signature import PUBLIC, SIGNATURE, new_key_pair, public_line, sign


def own_key(folder: Path) -> Path:
    """A private key; its public part lies in ``folder/trusted``."""
    private, line = new_key_pair()
    key = folder / "own.pem"
    key.write_bytes(private)
    key.chmod(0o600)
    (folder / "trusted").mkdir()
    (folder / "trusted" / f"own{PUBLIC}").write_text(line, encoding="ascii")
    assert public_line(key) == line
    return key


def rebundled(target: Path, key: Path, version: str, *, name: str = "wardstream-entities", **changes: object) -> Path:
    """Folder ``target/version``; ``changes`` are fields of the manifest."""
    folder = Path(shutil.copytree(shelf_bundle(name), target / version))
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    files = {file: FileEntry(sha256_of(folder / file), (folder / file).stat().st_size) for file in manifest.files}
    made = msgspec.structs.replace(manifest, **{"version": version, "files": files, **changes})
    (folder / MANIFEST).write_bytes(msgspec.json.encode(made))
    (folder / SIGNATURE).write_text(sign((folder / MANIFEST).read_bytes(), key), encoding="ascii")
    return folder
