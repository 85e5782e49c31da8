"""The wheel holds what runs, is the same twice, and works outside the repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("schemas", "streams", "models", "agents", "gateway", "training", "ops")
EPOCH = "1767225600"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the build reads, so that an edit in the meantime does not count as a difference."""
    copy = tmp_path_factory.mktemp("source")
    for room in ROOMS:
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE", ".gitignore"):
        shutil.copy2(ROOT / name, copy)
    return copy


def _build(source: Path, target: Path) -> Path:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)],
        cwd=source,
        env=environment,
        check=True,
        capture_output=True,
    )
    (wheel,) = target.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as the image's build makes it."""
    return _build(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, and this one's packages for its dependencies; returns its bin folder."""
    home = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home / "env")], check=True, capture_output=True)
    python = home / "env" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    site = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], check=True, capture_output=True, text=True
    ).stdout.strip()
    # a .pth inside the other folder is not read again, so the editable install there does not come along
    Path(site, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "env" / "bin"


def _tracked() -> set[str]:
    listed = subprocess.run(["git", "ls-files", *ROOMS], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0 or not listed.stdout:
        pytest.skip("not a git checkout: the list of files that belong to the product is missing")
    return {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}


def test_every_file_of_the_rooms_is_in_the_wheel(wheel: Path) -> None:
    """Rules, lexicons, policies, tables, definitions, schemas, samples and model bundles travel with the code."""
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert _tracked() - inside == set()
    for kind in (".yaml", ".toml", ".json", ".onnx", ".hl7", ".txt"):
        assert any(name.endswith(kind) for name in inside), kind


def test_nothing_else_is_in_the_wheel(wheel: Path) -> None:
    """No test, no secret, no build output; licence and notice are there."""
    inside = set(zipfile.ZipFile(wheel).namelist())
    metadata = {name for name in inside if ".dist-info/" in name}
    assert {name.partition("/")[0] for name in inside - metadata} == set(ROOMS)
    assert not [name for name in inside if name.endswith((".pyc", ".key", ".pem", ".log")) or "__pycache__" in name]
    assert {name.rpartition("/")[2] for name in metadata} >= {"LICENSE", "NOTICE", "METADATA", "entry_points.txt"}


def test_two_builds_give_the_same_bytes(source: Path, wheel: Path, tmp_path: Path) -> None:
    """With SOURCE_DATE_EPOCH set the wheel is reproducible, whenever its files were last touched."""
    for path in source.rglob("*.py"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    assert _build(source, tmp_path).read_bytes() == wheel.read_bytes()


def test_the_installed_program_explains_itself(installed: Path, tmp_path: Path) -> None:
    """``wardstream --help`` runs from the wheel, in an empty folder."""
    result = subprocess.run([str(installed / "wardstream"), "--help"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "annotate" in result.stdout


def test_the_installed_program_annotates_outside_the_repository(installed: Path, tmp_path: Path) -> None:
    """De-identification, models, rules and tables are found from the wheel alone, and the code is the wheel's."""
    where = subprocess.run(
        [str(installed / "python"), "-c", "import ops, agents; print(ops.__file__, agents.__file__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert str(ROOT) not in where
    line = json.dumps({"id": "n1", "text": "Patient denies chest pain. Started metformin 500 mg daily. Call 617-555-0142."})
    result = subprocess.run(
        [str(installed / "wardstream"), "annotate"], cwd=tmp_path, input=line + "\n", capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    (answer,) = [json.loads(row) for row in result.stdout.splitlines()]
    text = json.dumps(answer)
    assert "metformin" in text
    assert "617-555-0142" not in text
