"""The policy file: read, checked, versioned."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.deidentify import policy as module
from agents.deidentify.policy import load_policy
from agents.deidentify.zip_codes import restricted, state, zip3
from schemas.errors import ConfigurationError

SOURCE = Path(module.__file__).with_name("policies").joinpath("safe_harbor.yaml").read_text("utf-8")


def edited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, old: str, new: str) -> None:
    assert old in SOURCE
    policies, tables = tmp_path / "policies", tmp_path / "tables"
    policies.mkdir()
    policies.joinpath("safe_harbor.yaml").write_text(SOURCE.replace(old, new), "utf-8")
    tables.symlink_to(Path(module.__file__).with_name("tables"))
    monkeypatch.setattr(module.resources, "files", lambda package: tmp_path / package.rpartition(".")[2])


def test_the_version_names_profile_version_and_content() -> None:
    """The same file gives the same version string."""
    version = load_policy("safe_harbor").version
    assert version.startswith("safe_harbor@1#")
    assert load_policy("safe_harbor").version == version


def test_any_change_changes_the_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Even a comment makes another policy, so that outputs can always be told apart."""
    before = load_policy("safe_harbor").version
    edited(monkeypatch, tmp_path, "apiVersion: deid/v1", "# reviewed\napiVersion: deid/v1")
    assert load_policy("safe_harbor").version != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    XPN: redact", "    XPN: display"),
        ("    TS: year", "    TS: code"),
        ("    CX: {1: token, 5: code}", "    CX: {1: code, 5: code}"),
        ("    CX: {1: token, 5: code}", "    CX: {1: token, 2: code}"),
        ("    XAD: {4: state,", "    XAD: {3: display, 4: state,"),
        ("    ST: redact", "    ST: scrub"),
        ("    HumanName: redact", "    HumanName: recurse"),
        ("    string: redact", "    string: keep"),
        ("    PL: redact", "    PL: forget"),
        ("apiVersion: deid/v1", "apiVersion: deid/v9"),
        ("defaults:", "default:"),
    ],
)
def test_a_policy_that_lets_identifiers_pass_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, old: str, new: str
) -> None:
    """Safe Harbor cannot be weakened by editing the file; nor does a broken file start."""
    edited(monkeypatch, tmp_path, old, new)
    with pytest.raises(ConfigurationError):
        load_policy("safe_harbor")


def test_an_unknown_profile_refuses_to_start() -> None:
    """A profile without a file is a configuration error."""
    with pytest.raises(ConfigurationError):
        load_policy("anything_goes")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("44123", "441"),
        ("44123-1234", "441"),
        ("441231234", "441"),
        ("03601", "000"),
        ("82101", "000"),
        ("SW1A 1AA", ""),
        ("4412", ""),
        ("", ""),
    ],
)
def test_zip_codes_keep_three_digits_of_populous_areas(code: str, expected: str) -> None:
    """Areas of 20,000 people or fewer become 000; what is no ZIP code goes."""
    assert zip3(code) == expected


def test_the_restricted_list_is_the_union_of_both_censuses() -> None:
    """Nineteen areas."""
    assert len(restricted()) == 19


@pytest.mark.parametrize(("text", "expected"), [("OH", "OH"), ("ohio", "ohio"), ("Barton", ""), ("", "")])
def test_only_states_stay_states(text: str, expected: str) -> None:
    """A city in the state's place goes."""
    assert state(text) == expected
