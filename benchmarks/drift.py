"""Drift: false alarms on a stationary stream of several senders, and how many messages of a sender a planted shift takes to be told.

    python -m benchmarks.drift [--messages N] [--drawn N] [--pool FILE] [--jobs N] [--no-record]

The stage's own code on a real Redis. Decisions come from the offline pipeline on public notes (MTS-Dialog sections, ACI-Bench notes), each of two
to twelve of them; a stationary stream draws messages from them for four senders with three departments each, a shifted one draws the same and
changes each message of one sender as a real cause would.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec

from agents.feedback.drift import LARGE, SURE, make_baseline
from agents.feedback.vocabulary import known_words
from agents.feedback.watch import BLOCKS, STEP
from agents.feedback.watch_agent import WatchStage
from agents.offline import Offline
from benchmarks.public_data import data_folder
from schemas.drifts import Drift
from schemas.envelope import JSON, DataClass, Envelope
from schemas.findings import Assertion, Mention
from schemas.flags import Basis, Decision, Flag, Rule
from schemas.ids import derived_id
from streams import embedded, topics
from streams.record import Record
from streams.settings import Kafka, Redis, Settings, Watch
from streams.stage import Done
from training.tasks.texts import background

RESULT = Path(__file__).parent / "results" / "drift.json"
SENDERS, DEPARTMENTS = 4, 3
BATCH = 64
#: Messages of a shifted stream between two looks at what was told.
AT_ONCE = 20
#: Messages of the sender before the shift, and after which a shift that was not told counts as missed.
CLEAN, MOST = 500, 1000
Change = Callable[[Decision, random.Random], Decision]


@dataclass(frozen=True, slots=True)
class Planted:
    """What goes wrong, by how much."""

    name: str
    size: str
    change: Change


def _mentions(decision: Decision, change: Callable[[Mention], Mention | None]) -> Decision:
    kept = tuple(new for mention in decision.findings.mentions if (new := change(mention)) is not None)
    return msgspec.structs.replace(decision, findings=msgspec.structs.replace(decision.findings, mentions=kept))


def confidence(by: float) -> Change:
    return lambda decision, _: _mentions(decision, lambda m: msgspec.structs.replace(m, score=max(0.0, m.score - by)))


def asserted(axis: str, share: float) -> Change:
    """The axis is no longer found in a share of the mentions that have it."""

    def change(decision: Decision, chance: random.Random) -> Decision:
        def lost(mention: Mention) -> Mention:
            gone = getattr(mention.assertion, axis) and chance.random() < share
            plain: Assertion = msgspec.structs.replace(mention.assertion, **{axis: False})
            return msgspec.structs.replace(mention, assertion=plain) if gone else mention

        return _mentions(decision, lost)

    return change


def lost(share: float, name: str = "") -> Change:
    """A share of the mentions (of one type) is no longer found."""
    return lambda decision, chance: _mentions(
        decision, lambda m: None if (not name or m.type == name) and chance.random() < share else m
    )


def unplaced(share: float) -> Change:
    """A share of the notes comes without headings."""
    return lambda decision, chance: (
        _mentions(decision, lambda m: msgspec.structs.replace(m, section="")) if chance.random() < share else decision
    )


def shorter(share: float) -> Change:
    """Notes end early."""

    def change(decision: Decision, _: random.Random) -> Decision:
        notes = tuple(
            msgspec.structs.replace(note, text=note.text[: max(1, int(len(note.text) * (1 - share)))])
            for note in decision.findings.notes
        )
        ends = {note.path: len(note.text) for note in notes}
        cut = _mentions(decision, lambda m: m if m.end <= ends[m.note] else None)
        return msgspec.structs.replace(cut, findings=msgspec.structs.replace(cut.findings, notes=notes))

    return change


def garbled(share: float) -> Change:
    """A share of the words is spelled backwards, as another language or a broken character set would be unknown."""

    def change(decision: Decision, chance: random.Random) -> Decision:
        notes = tuple(
            msgspec.structs.replace(
                note, text=" ".join(word[::-1] if chance.random() < share else word for word in note.text.split(" "))
            )
            for note in decision.findings.notes
        )
        return msgspec.structs.replace(decision, findings=msgspec.structs.replace(decision.findings, notes=notes))

    return change


def flagged(share: float) -> Change:
    flag = Flag(id="f", type="lab.critical", kind="rule", severity="warning", subject="", summary="", basis=Basis(logic="", citation=""),
                rule=Rule(id="r", version="1", sha256=""))  # fmt: skip
    return lambda decision, chance: (
        msgspec.structs.replace(decision, flags=(*decision.flags, flag)) if chance.random() < share else decision
    )


PLANTED = [
    *(Planted("confidence falls", f"by {by}", confidence(by)) for by in (0.01, 0.02, 0.05, 0.1)),
    *(Planted("negation no longer found", f"in {share:.0%}", asserted("negated", share)) for share in (0.25, 0.5, 1.0)),
    *(Planted("uncertainty no longer found", f"in {share:.0%}", asserted("possible", share)) for share in (0.5, 1.0)),
    *(Planted("history no longer found", f"in {share:.0%}", asserted("historical", share)) for share in (0.5, 1.0)),
    *(Planted("family no longer found", f"in {share:.0%}", asserted("family", share)) for share in (0.5, 1.0)),
    *(Planted("mentions lost", f"{share:.0%}", lost(share)) for share in (0.1, 0.2, 0.33)),
    *(Planted("medications lost", f"{share:.0%}", lost(share, "medication")) for share in (0.25, 0.5, 1.0)),
    *(Planted("problems lost", f"{share:.0%}", lost(share, "problem")) for share in (0.25, 0.5, 1.0)),
    *(Planted("tests lost", f"{share:.0%}", lost(share, "test")) for share in (0.5, 1.0)),
    *(Planted("notes without headings", f"{share:.0%}", unplaced(share)) for share in (0.25, 0.5, 1.0)),
    *(Planted("notes shorter", f"by {share:.0%}", shorter(share)) for share in (0.1, 0.25, 0.5)),
    *(Planted("words unknown", f"{share:.0%} more", garbled(share)) for share in (0.01, 0.03, 0.1)),
    *(Planted("more flags", f"one more in {share:.0%}", flagged(share)) for share in (0.1, 0.25, 0.5)),
]


def drawn(count: int, pool: Path | None) -> list[Decision]:
    """Decisions on public notes; kept in ``pool`` where one is named."""
    decoder = msgspec.json.Decoder(Decision)
    if pool is not None and pool.exists():
        return [decoder.decode(line) for line in pool.read_bytes().splitlines()[:count]]
    offline = Offline(Settings())
    texts = background(data_folder(), development=True)
    chance = random.Random(11)
    found = []
    for _ in range(count):
        text = "\n".join(chance.sample(texts, chance.randint(2, 12)))
        found.append(offline.decide(offline.read_text(text, clean=True)).decision)
    if pool is not None:
        pool.write_bytes(b"".join(msgspec.json.encode(decision) + b"\n" for decision in found))
    return found


def of_sender(decision: Decision, number: int, sender: str, department: str) -> Decision:
    findings = msgspec.structs.replace(decision.findings, sender=sender, department=department, subject="W1")
    return msgspec.structs.replace(decision, id=derived_id(f"{sender}{number}", "decide"), findings=findings)


def record(decision: Decision) -> Record:
    headers = Envelope(
        id=decision.id,
        source="/agents/decide",
        type=topics.BY_NAME[topics.RAISED].event_type,
        time="2026-01-01T00:00:00Z",
        content_type=JSON,
        data_class=DataClass.INTERNAL,
        origin=decision.id,
        subject="W1",
    ).headers()
    return Record(topics.RAISED, 0, 0, 0, b"W1", msgspec.json.encode(decision), headers)


async def told(stage: WatchStage, decisions: Sequence[Decision]) -> list[Drift]:
    outcomes = await stage.process([record(decision) for decision in decisions])
    outputs = [output for outcome in outcomes if isinstance(outcome, Done) for output in outcome.outputs]
    return [msgspec.json.decode(output.value or b"", type=Drift) for output in outputs]


async def stationary(settings: Settings, pool: Sequence[Decision], first: int, messages: int) -> list[Drift]:
    """Alarms that began, of one worker's part of the stream."""
    chance = random.Random(1000 + first)
    stage, found = WatchStage(settings), list[Drift]()
    await stage.open()
    for start in range(first, first + messages, BATCH):
        batch = [
            of_sender(
                chance.choice(pool), number, f"S{chance.randrange(SENDERS)}", f"D{min(chance.randrange(4), DEPARTMENTS - 1)}"
            )
            for number in range(start, min(first + messages, start + BATCH))
        ]
        found += [row for row in await told(stage, batch) if row.state == "begun"]
    await stage.close()
    return found


async def found_after(settings: Settings, pool: Sequence[Decision], planted: Planted, seed: int) -> dict[str, Any]:
    """Messages of the sender from the shift's first until an alarm; features that were told then. None: not within ``MOST``."""
    chance, sender = random.Random(seed), "P"
    stage = WatchStage(settings)
    await stage.open()

    def rows(first: int, count: int) -> Iterator[Decision]:
        for number in range(first, first + count):
            yield of_sender(chance.choice(pool), number, sender, f"D{chance.randrange(DEPARTMENTS)}")

    try:
        early = await told(stage, list(rows(0, CLEAN)))
        for sent in range(0, MOST, AT_ONCE):
            now = await told(stage, [planted.change(row, chance) for row in rows(10**6 + sent, AT_ONCE)])
            if now and not early:
                return {"messages": sent + AT_ONCE, "features": dict(Counter(row.feature for row in now))}
        return {"messages": None, "features": {}}
    finally:
        await stage.close()


#: Of a process of the benchmark.
_POOL: list[Decision] = []


def _hold(pool: Path) -> None:
    _POOL[:] = [msgspec.json.decode(line, type=Decision) for line in pool.read_bytes().splitlines()]


def run_stationary(url: str, first: int, messages: int) -> list[Drift]:
    return asyncio.run(stationary(_settings(url, "s."), _POOL, first, messages))


def run_planted(url: str, baseline: Path, number: int) -> dict[str, Any]:
    one = PLANTED[number]
    settings = _settings(url, f"p{number}.", baseline)
    return {"shift": one.name, "size": one.size, **asyncio.run(found_after(settings, _POOL, one, number))}


def _settings(url: str, prefix: str, baseline: Path | None = None) -> Settings:
    return Settings(redis=Redis(url=url, timeout_s=60), kafka=Kafka(topic_prefix=prefix), watch=Watch(baseline=baseline))


def _baseline(pool: Sequence[Decision]) -> bytes:
    """Of as many messages of the sender as the stage would learn from."""
    chance, settings = random.Random(2), Settings()
    rows = (
        of_sender(chance.choice(pool), number, "P", f"D{chance.randrange(DEPARTMENTS)}") for number in range(settings.watch.learn)
    )
    return msgspec.json.encode(make_baseline(rows, "", known_words(settings.models)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--drawn", type=int, default=3000)
    parser.add_argument("--pool", type=Path, help="File to keep the drawn decisions in, for the next time.")
    parser.add_argument("--jobs", type=int, default=2, help="Processes, each a worker of the stage.")
    parser.add_argument("--no-record", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, embedded.redis_server(Path(folder)) as server:
        url, pool, baseline = f"redis://{server.address}/0", arguments.pool or Path(folder) / "pool", Path(folder) / "baseline"
        baseline.write_bytes(_baseline(drawn(arguments.drawn, pool)))
        with ProcessPoolExecutor(arguments.jobs, get_context("spawn"), _hold, (pool,)) as jobs:
            part = -(-arguments.messages // arguments.jobs)
            quiet = [jobs.submit(run_stationary, url, number * part, part) for number in range(arguments.jobs)]
            shifted = [jobs.submit(run_planted, url, baseline, number) for number in range(len(PLANTED))]
            false = [row for one in quiet for row in one.result()]
            planted = [one.result() for one in shifted]
    report: dict[str, Any] = {
        "what": f"stage watch on a real Redis: windows of {BLOCKS * STEP} messages against the first {Watch().learn} of their group, compared every {STEP}; "
        "decisions on public notes through the offline pipeline",
        "alarm": f"p < {SURE:g} (Kolmogorov-Smirnov) and population stability index >= {LARGE}",
        "stationary_messages": arguments.messages,
        "groups": SENDERS * (DEPARTMENTS + 1),
        "false_alarms": len(false),
        "false": [f"{row.feature} psi {row.psi} p {row.p:.1e}" for row in false],
        "workers": arguments.jobs,
        "planted": planted,
        "told_within_1000": sum(row["messages"] is not None for row in planted),
    }
    print(json.dumps(report, indent=2))
    if not arguments.no_record:
        RESULT.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
