"""Pages refer to things that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])
_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file that is there."""
    for target in _LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_page_is_reached_from_the_readme() -> None:
    """A page that the table of the README does not name is one that nobody finds."""
    readme = (ROOT / "README.md").read_text()
    assert [
        page.name for page in sorted((ROOT / "docs").rglob("*.md")) if f"docs/{page.parent.name}/{page.name}" not in readme
    ] == []
