"""The runbook: an entry for each alert and each fault of the suite, and commands that run on a stack with messages and dead letters in it."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import yaml
from click.testing import CliRunner

from benchmarks.chaos.plan import Do
from benchmarks.synthetic import messages
from ops.cli import cli
from ops.messages import MessageFile, produce
from ops.stack import Stack, run_stack
from streams import topics
from streams.tail import tail

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "runbook.md").read_text(encoding="utf-8")
HEADINGS = set(re.findall(r"^### (.+)$", PAGE, re.MULTILINE))
COMMANDS = list(dict.fromkeys(re.findall(r"^wardstream (.+)$", PAGE, re.MULTILINE)))
#: Where somebody finds what to do about each fault that the suite knows.
ENTRY = {
    "kill": "WorkerDown",
    "term": "Rolling restart and upgrade",
    "upgrade": "Rolling restart and upgrade",
    "downgrade": "Rolling restart and upgrade",
    "pause": "A worker hangs or was frozen",
    "add": "Workers come and go",
    "remove": "Workers come and go",
    "clock": "Clocks jump",
    "broker-kill": "Broker away",
    "broker-one": "One of several brokers lost",
    "broker-full": "Disk of the broker full",
    "store-kill": "Redis away",
    "store-stop": "Redis away",
    "store-full": "Redis full",
    "store-slow": "Redis slow",
    "store-old": "Redis restored from an older file",
}
COUNT = 12


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole stack with a dozen messages through, one of which cannot be read; a stage is asked to stop where it is rewound."""
    with run_stack(tmp_path_factory.mktemp("stack"), stages=("deidentify", "extract", "decide")) as running:
        payloads = list(messages(COUNT))
        payloads[5] = payloads[5].replace(b"|mg/dL^", b"|\xff\xfe^").replace(b"|INP|", b"|\xff\xfe|")
        produce(running.settings, [MessageFile(Path(f"{n}.hl7"), "hl7v2", payload, "") for n, payload in enumerate(payloads)])
        deadline = time.monotonic() + 120
        while len(list(tail(running.settings.kafka, [topics.RAISED], to_end=True))) < COUNT - 1:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        yield running


def test_every_alert_and_every_fault_has_an_entry() -> None:
    """By its own name, or by the one that people know it by."""
    alerts = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())["groups"]
    assert {rule["alert"] for group in alerts for rule in group["rules"]} <= HEADINGS
    assert set(ENTRY) == set(get_args(Do))
    assert set(ENTRY.values()) <= HEADINGS


def test_links_inside_the_page_lead_to_its_entries() -> None:
    """Anchors as GitHub makes them."""
    anchors = {heading.lower().replace(" ", "-") for heading in HEADINGS}
    assert set(re.findall(r"\]\(#([a-z-]+)\)", PAGE)) <= anchors


def test_its_commands_run(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each, in the order of the page; the letter that the page speaks of is the one that is there, and it is a letter again after the redrive."""
    for name, value in stack.env.items():
        monkeypatch.setenv(name, value)
    (letter,) = tail(stack.settings.kafka, [topics.dead_letter(topics.RECEIVED)], to_end=True)
    assert len(COMMANDS) >= 12
    for command in COMMANDS:
        arguments = shlex.split(command.replace("LETTER", f"{letter.topic}/{letter.partition}/{letter.offset}"))
        if arguments[0] == "rewind":
            for child in [child for child in stack.workers if child.name.startswith(arguments[1])]:
                child.process.terminate()
                child.process.wait(30)
        answer = CliRunner().invoke(cli, arguments)
        assert answer.exit_code == 0, f"{command}: {answer.output}"
        assert answer.output.strip() or command == "topics plan", command  # which has nothing to say when nothing is to change
