"""A HAPI FHIR JPA server (R4, database in memory) as a process on loopback, from the jars and the launcher of ``deploy/fhir-test``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from streams.embedded import Server, child, free_port
from tests.support.streams_site import ROOT

HOME = ROOT / "deploy" / "fhir-test"
#: Compiles the launcher, makes the schema, opens the door: about 25 s on two cores, more when others work.
PATIENCE_S = 180.0


def missing() -> str | None:
    """What keeps it from starting here, for people; ``None`` when nothing does."""
    if shutil.which("java") is None:
        return "no java on the PATH"
    if not any((HOME / "libs").glob("hapi-fhir-jpaserver-base-*.jar")):
        return "no jars in deploy/fhir-test/libs (make fhir-jars)"
    return None


@contextmanager
def server(directory: Path) -> Iterator[Server]:
    """Run it until the block ends; ``address`` is the base of its REST API."""
    port = free_port()
    base = f"http://127.0.0.1:{port}/fhir"
    java = [
        "java",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Xmx1g",
        "-cp",
        f"{HOME}/libs/*",
        str(HOME / "Main.java"),
        str(port),
    ]
    with child("hapi", java, base, directory, lambda: _answers(base), patience_s=PATIENCE_S) as running:
        yield running


def _answers(base: str) -> bool:
    try:
        return httpx.get(f"{base}/metadata", timeout=30, trust_env=False).is_success
    except httpx.HTTPError:
        return False
