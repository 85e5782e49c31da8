"""The house holds together: imports go one way, pages are current, commands load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ops import settings_page
from ops.cli import COMMANDS, cli

ROOT = Path(__file__).resolve().parents[2]


def test_import_contracts_hold() -> None:
    """Every import contract of pyproject.toml is kept."""
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([str(linter)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:]


def test_settings_page_is_current() -> None:
    """docs/reference/settings.md says what the settings model says."""
    assert settings_page.PAGE.read_text() == settings_page.render(), "run: python -m ops.settings_page"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_loads_and_explains_itself(name: str) -> None:
    """Each listed command can be imported and prints its help."""
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


def test_no_package_registry_address_in_the_tree() -> None:
    """Requirement files carry no index, host or find-links line."""
    for path in (ROOT / "requirements").glob("*.txt"):
        assert not any(line.startswith("--") for line in path.read_text().splitlines()), path.name
