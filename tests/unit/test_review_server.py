"""Where the annotation page may be called from, who is signed in, and what it refuses to start with."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path

import pytest

from ops.review.accounts import Account, row
from ops.review.server import make_queue, origins, serve
from ops.review.sessions import Sessions
from ops.review.verdicts import Guideline
from schemas.errors import ConfigurationError
from streams.settings import Review
from tests.support.review import KEY
from tests.support.streams_site import Site


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"http://127.0.0.1:81", "http://localhost:81"}),
        ({"host": "::1"}, {"http://[::1]:81", "http://localhost:81"}),
        ({"tls_certificate_file": Path("c")}, {"https://127.0.0.1:81", "https://localhost:81"}),
        ({"host": "0.0.0.0", "base_url": "https://review.site/"}, {"https://review.site"}),
        ({"host": "0.0.0.0", "base_url": "http://127.0.0.1:8095"}, {"http://127.0.0.1:8095"}),
        ({"host": "0.0.0.0"}, None),
        ({"base_url": "http://review.site"}, None),
        ({"base_url": "review.site"}, None),
    ],
)
def test_the_page_is_not_open_to_a_network_without_tls(settings: dict[str, object], expected: set[str] | None) -> None:
    """Loopback by default; other hosts need an https address."""
    review = Review(**settings)  # type: ignore[arg-type]
    if expected is None:
        with pytest.raises(ConfigurationError):
            origins(review, 81)
    else:
        assert origins(review, 81) == expected


def test_sessions_end() -> None:
    """After their time, and when signed out; a session accepts its own token alone; the oldest goes when there are too many."""
    seconds, names = [0.0], count()
    sessions = Sessions(60, lambda: seconds[0], lambda: f"s{next(names)}")
    account = Account("ada", "reviewer", "r-1")
    name, session = sessions.open(account)
    assert sessions.find(name) == session
    assert session.accepts(session.csrf)
    assert not session.accepts("")
    assert not session.accepts("\u00e9")
    seconds[0] = 60
    assert sessions.find(name) is None
    other, _ = sessions.open(account)
    sessions.close(other)
    assert sessions.find(other) is None
    first, _ = sessions.open(account)
    for _ in range(500):
        last, _ = sessions.open(account)
    assert sessions.find(first) is None
    assert sessions.find(last) is not None


def test_the_version_of_a_guideline(tmp_path: Path) -> None:
    """Of its first line and its text: who changes one word without raising the version changes it too."""
    path = tmp_path / "guideline.txt"
    path.write_text("Our guideline, version 3.1\nMark drugs.\n")
    first = Guideline.load(path).version
    assert first.startswith("3.1+")
    path.write_text("Our guideline, version 3.1\nMark all drugs.\n")
    assert Guideline.load(path).version != first
    path.write_text("Mark drugs.")
    assert "+" not in Guideline.load(path).version
    assert Guideline.load(None).version.startswith("1+")
    with pytest.raises(ConfigurationError):
        Guideline.load(tmp_path / "none")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    key, file = tmp_path / "key", tmp_path / "reviewers"
    key.write_text(KEY)
    file.write_text(row("ada", "reviewer", "token"))
    return {"key_file": key, "reviewers_file": file}


@pytest.mark.parametrize("lack", ["key_file", "reviewers_file", "gold", "topics"])
def test_what_it_refuses_to_start_with(lack: str, files: dict[str, Path], embedded_site: Site, tmp_path: Path) -> None:
    """Each lack is told by the setting's or topic's name."""
    wanted = {"gold": "review.gold", "topics": "train.sample.proposed.v1"}.get(lack, f"review.{lack}")
    if lack == "gold":
        (tmp_path / "gold").write_text("{}")
        files["gold"] = tmp_path / "gold"
    review = Review(**{name: path for name, path in files.items() if name != lack or lack == "gold"})  # type: ignore[arg-type]
    settings = embedded_site.settings.model_copy(update={"review": review})
    with pytest.raises(ConfigurationError) as caught:
        asyncio.run(serve(settings, asyncio.Event()))
    assert caught.value.path == wanted
    if lack == "topics":
        assert make_queue(review).open_samples() == []
