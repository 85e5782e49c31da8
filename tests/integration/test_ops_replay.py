"""A range again in a shadow of the running stack, under the same and under other rules: compared, promoted where it differs, nobody told otherwise."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.synthetic import messages
from ops.cli import cli
from ops.messages import MessageFile, produce
from ops.stack import Stack, run_stack
from streams import topics
from streams.record import Record
from streams.tail import tail

pytestmark = pytest.mark.timeout(400)
COUNT = 30

#: Potassium is critical here from 4.0 on.
TABLE = """\
api_version: limits/v1
version: "9"
source: test
rows:
  potassium:
    analyte: potassium
    display: potassium
    codes: [{system: "http://loinc.org", code: 2823-3}]
    low: 2.5
    high: 4.0
    plausible: {low: 0.5, high: 15}
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole stack on the embedded broker, with thirty messages through."""
    with run_stack(tmp_path_factory.mktemp("stack"), stages=("deidentify", "extract", "decide")) as running:
        rows = [MessageFile(Path(f"{n}.hl7"), "hl7v2", payload, "") for n, payload in enumerate(messages(COUNT, notes_share=0.2))]
        produce(running.settings, rows)
        deadline = time.monotonic() + 120
        while len(decisions(running)) < COUNT:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        yield running


@pytest.fixture
def run(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line on this stack."""
    for name, value in stack.env.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(cli, ["replay", *arguments])


def decisions(stack: Stack) -> list[Record]:
    return list(tail(stack.settings.kafka, [topics.RAISED], to_end=True))


def compared(run: Callable[..., Result], name: str) -> dict[str, object]:
    answer = run("compare", name, "--json", "--samples", "2")
    assert answer.exit_code == 0, answer.output
    found: dict[str, object] = json.loads(answer.stdout)
    return found


def test_under_the_same_versions_a_shadow_says_the_same(run: Callable[..., Result], stack: Stack) -> None:
    """From the raw messages on; the live topics get nothing; a second run has nothing to copy; nothing to promote."""
    planned = run("plan", "received")
    assert f"{COUNT} records" in planned.stdout, planned.output
    before = len(decisions(stack))
    answer = run("run", "received", "--name", "same")
    assert answer.exit_code == 0, answer.output
    assert len(decisions(stack)) == before
    report = compared(run, "same")
    assert (report["messages"], report["equal"], report["missing"], report["new"]) == (COUNT, COUNT, 0, 0), report
    assert "0 records to copy, 30 copied before" in run("run", "received", "--name", "same", "--no-workers").stdout
    assert "0 of 30 decisions differ" in run("promote", "same", "--dry-run").stdout


def test_other_rules_are_seen_in_the_comparison_and_promoted_where_they_differ(
    run: Callable[..., Result], stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the findings on, with a site table that calls potassium critical earlier; the new flags are published, each once, and no other."""
    table = tmp_path / "site.yaml"
    table.write_text(TABLE)
    monkeypatch.setenv("WARDSTREAM_DECIDE__SITE_TABLE", str(table))
    answer = run("run", "extracted", "--name", "strict", "--logs", str(tmp_path / "logs"))
    assert answer.exit_code == 0, answer.output
    report = compared(run, "strict")
    added = sum(row["count"] for row in report["counts"] if (row["what"], row["change"]) == ("flag", "added"))  # type: ignore[attr-defined]
    assert added >= 5, report
    assert not [row for row in report["counts"] if row["what"] == "mention"]  # type: ignore[attr-defined]
    assert "critical" in run("compare", "strict").stdout
    before = decisions(stack)
    promoted = run("promote", "strict", "--yes")
    assert promoted.exit_code == 0, promoted.output
    after = decisions(stack)
    differing = COUNT - int(str(report["equal"]))
    assert len(after) - len(before) == differing
    told = [record for record in after if b"strict" in dict(record.headers).values()]
    assert len(told) == differing
    assert all(b'"flags":[{' in (record.value or b"") for record in told)
    assert f"0 of {COUNT} decisions differ" in run("promote", "strict", "--dry-run").stdout


def test_choosing_by_kind_offsets_and_token(run: Callable[..., Result], stack: Stack) -> None:
    """Each narrows; what raw messages cannot be chosen by is refused with the reason."""
    notes = run("plan", "ready", "--kind", "MDM^T02").stdout
    labs = run("plan", "ready", "--kind", "ORU^R01").stdout
    count = lambda text: int(text.splitlines()[-1].split()[0])  # noqa: E731
    assert count(notes) + count(labs) == COUNT
    assert 0 < count(notes) < COUNT
    token = (next(iter(tail(stack.settings.kafka, [topics.READY], to_end=True))).key or b"").decode()
    assert 0 < count(run("plan", "ready", "--token", token).stdout) < COUNT
    assert count(run("plan", "ready", "--offsets", "0=0..0").stdout) <= 1
    assert count(run("plan", "extracted", "--model", "wardstream-entities").stdout) == COUNT
    assert count(run("plan", "ready", "--until", "2020-01-01T00:00:00Z").stdout) == 0
    assert run("plan", "received", "--token", token).exit_code == 2


def test_choosing_raw_messages_by_what_stands_in_them(
    run: Callable[..., Result], stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are sealed, and opened for it: facility and kind narrow; past de-identification nobody knows the facility; the role is needed."""
    count = lambda *wanted: int(run("plan", "received", *wanted).stdout.splitlines()[-1].split()[0])  # noqa: E731
    before = len(decisions(stack))
    assert count("--facility", "LAKEVIEW") == COUNT
    assert count("--facility", "ELSEWHERE") == 0
    assert count("--facility", "LAKEVIEW", "--kind", "MDM^T02") + count("--kind", "ORU^R01") == COUNT
    assert run("plan", "ready", "--facility", "LAKEVIEW").exit_code == 2
    copied = run("run", "received", "--facility", "LAKEVIEW", "--kind", "MDM^T02", "--name", "facility", "--no-workers")
    assert copied.exit_code == 0, copied.output
    assert f"{count('--kind', 'MDM^T02')} records to copy" in copied.stdout
    assert len(decisions(stack)) == before
    monkeypatch.setenv("WARDSTREAM_OPERATORS__REDRIVE", "[]")
    refused = run("plan", "received", "--facility", "LAKEVIEW")
    assert refused.exit_code == 1
    assert "operators.redrive" in refused.output


def test_without_the_role_nothing_is_copied(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempt is recorded."""
    monkeypatch.setenv("WARDSTREAM_OPERATORS__REDRIVE", "[]")
    answer = run("run", "ready", "--name", "denied", "--no-workers")
    assert answer.exit_code == 1
    assert "operators.redrive" in answer.output
