"""Bundles on the shelf verify; anything changed is refused."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import msgspec
import pytest

from models.bundle import SHELF, load_manifest, shelf_bundle
from models.signature import new_key_pair, sign
from schemas.errors import ConfigurationError

ATTRIBUTES = Path(__file__).parents[2] / "training" / "cards" / "attributes.toml"
NAMES = tuple(sorted(path.name for path in SHELF.iterdir()))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the PHI bundle that may be spoiled."""
    return Path(shutil.copytree(shelf_bundle("wardstream-phi"), tmp_path / "bundle"))


@pytest.mark.parametrize("name", NAMES)
def test_shelf_bundles_verify_and_carry_their_papers(name: str) -> None:
    """Each shipped bundle loads, has a card, golden answers, data digests with licences, and scores."""
    folder = shelf_bundle(name)
    manifest = load_manifest(folder)
    assert manifest.name == name
    assert manifest.version == folder.name
    graphs = {"encoder.onnx", "decoder.onnx"} if manifest.task == "text-generation" else {"model.onnx"}
    assert graphs | {"tokenizer.json", "MODEL_CARD.md", "golden.json"} == set(manifest.files)
    assert manifest.scores
    assert manifest.gate
    assert all(len(source.digest) == 64 and source.licence for source in manifest.data)


def test_the_default_bundles_ship() -> None:
    """What the settings name is on the shelf."""
    assert {"wardstream-entities", "wardstream-phi"} <= set(NAMES)


def test_the_shelf_stays_small() -> None:
    """All shipped bundles together keep below 50 MiB."""
    assert sum(p.stat().st_size for p in SHELF.rglob("*") if p.is_file()) < 50 * 2**20


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "MODEL_CARD.md"])
def test_one_flipped_byte_is_refused_by_name(copy: Path, name: str) -> None:
    """A changed byte anywhere stops the load, and the error says in which file."""
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=name):
        load_manifest(copy)


def test_missing_strange_and_linked_files_are_refused(copy: Path) -> None:
    """A file too few, a file too many, and a symbolic link are all refused."""
    (copy / "model.onnx.data").write_bytes(b"weights from elsewhere")
    with pytest.raises(ConfigurationError, match=r"model\.onnx\.data"):
        load_manifest(copy)
    (copy / "model.onnx.data").unlink()
    (copy / "golden.json").rename(copy.parent / "golden.json")
    with pytest.raises(ConfigurationError, match=r"golden\.json"):
        load_manifest(copy)
    (copy / "golden.json").symlink_to(copy.parent / "golden.json")
    with pytest.raises(ConfigurationError, match=r"golden\.json"):
        load_manifest(copy)


@pytest.mark.parametrize(
    "change",
    [
        {"window_overlap": 33},
        {"window_overlap": 70},
        {"thresholds": {"NAME": 0.0}},
        {"thresholds": {"nonsense": 0.5}},
        {"format": 3},
        {"task": "chat"},
        {"labels": ["O"]},
    ],
)
def test_a_contradicting_manifest_is_refused(copy: Path, change: dict[str, object]) -> None:
    """Settings that cannot be meant are errors at load, not surprises at run time."""
    manifest = msgspec.json.decode((copy / "manifest.json").read_bytes())
    keys = signed_anew(copy, msgspec.json.encode(manifest | change))
    with pytest.raises(ConfigurationError, match=r"manifest\.json"):
        load_manifest(copy, trusted_keys=keys)


def signed_anew(bundle: Path, content: bytes) -> Path:
    """Write and sign a manifest by a new key; returns the folder of trusted keys."""
    keys = bundle.parent / "keys"
    keys.mkdir(exist_ok=True)
    private, public = new_key_pair()
    (keys / "key.pem").write_bytes(private)
    (keys / "key.pub").write_text(public, encoding="ascii")
    (bundle / "manifest.json").write_bytes(content)
    (bundle / "manifest.sig").write_text(sign(content, keys / "key.pem"), encoding="ascii")
    return keys


def test_a_sites_own_key_is_accepted_only_where_it_is_trusted(copy: Path, tmp_path: Path) -> None:
    """A bundle signed by another key loads with that key's folder, and not without."""
    keys = signed_anew(copy, (copy / "manifest.json").read_bytes())
    assert load_manifest(copy, trusted_keys=keys).name == "wardstream-phi"
    with pytest.raises(ConfigurationError, match=r"manifest\.sig.*no trusted key"):
        load_manifest(copy)


@pytest.mark.parametrize("line", ["", "nonsense", "0123456789abcdef AAAA", "\xff\xfe"])
def test_a_damaged_signature_is_refused(copy: Path, line: str) -> None:
    """Whatever stands in the signature file, nothing but the right signature passes."""
    (copy / "manifest.sig").write_text(line, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"manifest\.sig"):
        load_manifest(copy)


def test_a_missing_signature_is_refused(copy: Path) -> None:
    """An unsigned bundle does not load."""
    (copy / "manifest.sig").unlink()
    with pytest.raises(ConfigurationError, match=r"manifest\.sig"):
        load_manifest(copy)


def test_a_changed_manifest_no_longer_fits_its_signature(copy: Path) -> None:
    """One threshold changed after signing is enough."""
    content = (copy / "manifest.json").read_bytes()
    (copy / "manifest.json").write_bytes(content.replace(b"0.35", b"0.99", 1))
    with pytest.raises(ConfigurationError, match="does not fit"):
        load_manifest(copy)


def test_every_shelf_bundle_carries_the_31_source_attributes() -> None:
    """The source attributes of the decision-support rule are fields of every manifest, and all of them say something."""
    for name in NAMES:
        attributes = load_manifest(shelf_bundle(name)).attributes
        assert len(attributes) == 31
        assert all(text.strip() and text != "Set by the bundle" and "{" not in text for text in attributes.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_card_states_the_31_in_their_nine_groups(name: str) -> None:
    """Groups, names and order of ``training/cards/attributes.toml``, each with the statement that its signed manifest makes."""
    folder = shelf_bundle(name)
    stated = load_manifest(folder).attributes
    text = (folder / "MODEL_CARD.md").read_text("utf-8").partition("## Source attributes")[2]
    groups: dict[str, dict[str, str]] = tomllib.loads(ATTRIBUTES.read_text("utf-8"))
    assert re.findall(r"^### (.+)$", text, re.MULTILINE) == list(groups)
    rows = [row for row in re.findall(r"^\| (.+?) \| (.+) \|$", text, re.MULTILINE) if row[0] != "attribute"]
    assert rows == [(key.replace("_", " "), stated[key]) for group in groups.values() for key in group]
    assert len(rows) == 31


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    """A bundle that is not there, or a name that is a path, is a configuration error."""
    for name in ("no-such-model", "../shelf", ""):
        with pytest.raises(ConfigurationError):
            shelf_bundle(name, tmp_path)


def test_versions_compare_by_number(tmp_path: Path) -> None:
    """0.10.0 is newer than 0.9.0; folders that are no versions do not count."""
    for version in ("0.9.0", "0.10.0", "draft"):
        (tmp_path / "m" / version).mkdir(parents=True)
    assert shelf_bundle("m", tmp_path).name == "0.10.0"
