"""The demo: start the stack, post messages, wait until every one has come to an end, report."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ops.collector import Collector
from ops.messages import MessageFile, read_folder
from ops.opening import opener
from ops.posting import Posted, post_all
from ops.report import print_before_after, print_report
from ops.stack import Broker, Stack, run_stack
from schemas.errors import Retryable
from schemas.message import parse, read_clinical
from streams import topics
from streams.record import Record
from streams.tail import tail
from streams.topics import TOPICS, dead_letter

SAMPLES = Path(__file__).resolve().parent / "samples"
#: Patience for the stream to come to rest after the last message was posted.
SETTLE_S, REST_S = 120.0, 1.5


def run_demo(root: Path, broker: Broker, messages: Path | None, console: Console) -> bool:
    """Returns whether every accepted message came to an end (a result or a dead letter with a reason)."""
    files = list(read_folder(messages or SAMPLES))
    with (
        console.status("starting") as status,
        run_stack(
            root,
            broker,
            progress=lambda step: status.update(f"starting: {step}"),
            overrides={"WARDSTREAM_WORKER__BATCH_SIZE": "16"},
        ) as stack,
    ):
        status.stop()
        console.print(
            f"[bold]Wardstream[/] on {'Apache Kafka' if broker == 'kafka' else 'the embedded broker'} at {stack.broker.address}; "
            f"MLLP 127.0.0.1:{stack.doors.mllp_port}, FHIR {stack.doors.http_url}, logs in {stack.logs}"
        )
        with collecting(stack) as collector:
            started = time.monotonic()
            posted = _post(console, files, stack)
            complete = _settle(console, collector)
            seconds = time.monotonic() - started - (REST_S if complete else 0)
            print_report(console, posted, collector, delivered=len(stack.receiver.received), seconds=seconds)
            _show_one(console, collector)
            if not complete:
                console.print(f"[bold red]Not everything came out within {SETTLE_S:.0f} s; see {stack.logs}[/]")
            return complete


def _post(console: Console, files: list[MessageFile], stack: Stack) -> list[Posted]:
    columns = (SpinnerColumn(), TextColumn("posting {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(files))

        def done(item: Posted) -> None:
            progress.update(task, advance=1, description=item.name)

        return post_all(files, stack.doors, stack.settings, done)


def _settle(console: Console, collector: Collector) -> bool:
    """Wait until as many messages ended as were received and the number of received stood still for a moment."""
    deadline, rest_since, last = time.monotonic() + SETTLE_S, time.monotonic(), (-1, -1)
    columns = (SpinnerColumn(), TextColumn("through the stream"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        while time.monotonic() < deadline:
            now = (collector.count(topics.RECEIVED), collector.finished())
            progress.update(task, total=now[0] or None, completed=now[1])
            if now != last or now[0] > now[1] or not collector.delivered_and_sampled():
                last, rest_since = now, time.monotonic()
            elif time.monotonic() - rest_since > REST_S:
                return True
            time.sleep(0.1)
    return False


@contextmanager
def collecting(stack: Stack) -> Iterator[Collector]:
    """Follow every topic of a stack in a thread while the block runs."""
    collector, stop = Collector(), threading.Event()
    names = [t.name for t in TOPICS] + [dead_letter(t.name) for t in TOPICS if t.dead_letters]

    def follow() -> None:
        opened = opener(stack.settings)
        while not stop.is_set():
            try:
                for record in tail(stack.settings.kafka, names, stop=stop.is_set):
                    collector.add(opened(record))
            except Retryable:
                time.sleep(0.5)

    thread = threading.Thread(target=follow, name="collector", daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        stop.set()
        thread.join(10)


def _show_one(console: Console, collector: Collector) -> None:
    decisions = sorted(collector.decisions(), key=lambda d: (len(d.findings.mentions), d.id))
    if not decisions or not decisions[-1].findings.notes:
        return
    decision = decisions[-1]
    raw = collector.of_origin(topics.RECEIVED, decision.findings.origin)
    path = max(decision.findings.notes, key=lambda n: sum(m.note == n.path for m in decision.findings.mentions)).path
    console.print(f"\n[bold]One message, {decision.findings.kind}[/]")
    print_before_after(console, _note(raw, path), decision)


def _note(raw: Record | None, path: str) -> str:
    if raw is None or raw.value is None:
        return ""
    content_type = dict(raw.headers).get("content-type", b"").decode()
    notes = read_clinical(parse(content_type, raw.value)).notes
    return next((note.text for note in notes if note.path == path), notes[0].text if notes else "")
