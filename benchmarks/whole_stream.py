"""The whole stream on real Kafka and Redis, checked from outside. Results go to ``benchmarks/results/``.

python -m benchmarks.whole_stream public     every public message through the doors; what came out, what was refused, what leaked
python -m benchmarks.whole_stream workers    the same input under 1, 2 and 4 workers a stage: the same records, byte for byte
python -m benchmarks.whole_stream kill       SIGKILL of workers in the middle of 5,000 messages
python -m benchmarks.whole_stream rotate     keys rotated three times in the middle of 2,000 messages
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import itertools
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import redis

from benchmarks import synthetic
from benchmarks.public_data import PublicMessage, data_folder, fhir_resources, hl7_messages
from benchmarks.sweep import Sweep, needles_of
from ops.collector import Collector
from ops.demo import collecting
from ops.messages import acknowledgement_code, post_mllp
from ops.stack import STAGES, Stack, run_stack, settings_of
from schemas.errors import WardstreamError
from schemas.mllp import FrameDecoder, encode_frame
from streams import admin, topics
from streams.producer import Producer
from streams.record import Output, Record
from streams.tail import tail

RESULTS = Path(__file__).resolve().parent / "results"
#: Not the samples: who is new, what is rare and whether a budget has room depend on the order of different patients' messages, which nothing promises.
COMPARED = (topics.READY, topics.EXTRACTED, topics.RAISED, topics.BUNDLE, topics.RESULT)
#: Each stage in turn dies while its own output grows.
WATCHED = {
    "deidentify": topics.READY,
    "extract": topics.EXTRACTED,
    "decide": topics.RAISED,
    "publish": topics.BUNDLE,
    "deliver": topics.BUNDLE,
    "feedback": topics.RAISED,
}
VICTIMS = tuple(WATCHED)
_DATA = re.compile(r'"data":"([A-Za-z0-9+/=]{16,})"')


def settle(collector: Collector, *, timeout_s: float, rest_s: float = 5.0, expected: int | None = None) -> bool:
    """Wait until every received record has ended (and ``expected`` were received) and nothing moved for ``rest_s``."""
    deadline, since, last = time.monotonic() + timeout_s, time.monotonic(), (-1, -1)
    while time.monotonic() < deadline:
        now = (collector.count(topics.RECEIVED), collector.finished())
        if sys.stderr.isatty():
            print(f"\r{now[1]}/{now[0]} ", end="", file=sys.stderr)
        open_ = now[0] > now[1] or (expected is not None and now[0] < expected) or not collector.delivered_and_sampled()
        if now != last or open_:
            since = since if now == last and not open_ else time.monotonic()
            last = now
        elif time.monotonic() - since > rest_s:
            return True
        time.sleep(0.2)
    return False


# --- public -----------------------------------------------------------------------------------------------------------


def public(limit: int | None) -> dict[str, Any]:
    """Counts by door and answer, by end of the way, and the sweep over everything that must hold no identifier."""
    root = data_folder()
    hl7 = list(itertools.islice(hl7_messages(root), limit))
    fhir = list(itertools.islice(fhir_resources(root), limit))
    with tempfile.TemporaryDirectory(prefix="wardstream-public-") as place, run_stack(Path(place), "kafka") as stack:  # noqa: SIM117
        with collecting(stack) as collector:
            started = time.monotonic()
            answers, mllp_ok = _post_hl7(stack, hl7)
            answers += _post_fhir(stack, fhir)
            ended = settle(collector, timeout_s=1500)
            seconds = time.monotonic() - started
            received, finished = collector.count(topics.RECEIVED), collector.finished()
            sweep = _sweep(stack, collector, [*hl7, *fhir])
            own = _own_sweep(collector)
            traces = sum("Traceback" in log.read_text(errors="replace") for log in stack.logs.glob("*.log"))
            return {
                "posted": {"hl7": len(hl7), "fhir": len(fhir)},
                "answers": dict(sorted(answers.items())),
                "received_records": received,
                "ended_records": finished,
                "bundles": collector.count(topics.BUNDLE),
                "dead_letters": dict(Counter(f"{topic} {reason}" for topic, reason in collector.dead_letters())),
                "complete": ended and received == finished,
                "log_files_with_a_traceback": traces,
                "oru_delivered": len(stack.receiver.received),
                "flags": {f"{n} ({s})": c for (n, s), c in sorted(collector.flag_counts().items())},
                "mentions": dict(collector.mention_counts().most_common()),
                "needles": len(sweep.needles),
                "searched_megabytes": round(sweep.searched_bytes / 1e6, 1),
                "hits_of_the_message_itself": {f"{place} {kind}": count for (place, kind), count in sorted(own.hits.items())},
                "hits_of_any_message": {f"{place} {kind}": count for (place, kind), count in sorted(sweep.hits.items())},
                "examples": {f"{p} {k}": sorted(v)[:60] for (p, k), v in sorted(own.examples.items())},
                "seconds": round(seconds, 1),
                "mllp_accepted": mllp_ok,
            }


def _post_hl7(stack: Stack, messages: Sequence[PublicMessage]) -> tuple[Counter[str], int]:
    """Answers by code and ERR-3. A control id that another file used already is refused (205); such a message is posted once more under
    an id of its own, so that it too goes through the stream."""
    answers: Counter[str] = Counter()

    async def connection(number: int, share: Sequence[PublicMessage]) -> None:
        for ordinal, message in enumerate(share):
            code = await _exchange(stack, message.payload)
            answers[f"mllp {code}"] += 1
            if code in {"no answer", "closed"}:
                print(code, message.name, file=sys.stderr)
            renamed = _renamed(message.payload, f"WS{number}-{ordinal}") if code.endswith(" 205") else None
            if renamed is not None:
                answers[f"mllp again {await _exchange(stack, renamed)}"] += 1

    async def all_connections() -> None:
        await asyncio.gather(*[connection(i, messages[i::4]) for i in range(4)])

    asyncio.run(all_connections())
    return answers, sum(count for code, count in answers.items() if code.endswith((" AA", " CA")))


async def _exchange(stack: Stack, payload: bytes) -> str:
    """MSA-1 and ERR-3 of the answer; ``silent`` where MSH-15 asks for none (NE, or ER and SU when there is nothing to say)."""
    reader, writer = await asyncio.open_connection(stack.doors.mllp_host, stack.doors.mllp_port)
    header = payload[max(0, payload.find(b"MSH")) :].split(b"\r", 1)[0]  # of a batch: its first message's
    fields = header.split(header[3:4])
    wants_none = len(fields) > 14 and fields[14] in {b"NE", b"ER", b"SU"}
    decoder = FrameDecoder()
    try:
        writer.write(encode_frame(payload))
        await writer.drain()
        while True:
            chunk = await asyncio.wait_for(reader.read(65536), 2 if wants_none else 60)
            if not chunk:
                return "closed"
            for frame in decoder.feed(chunk):
                error = re.search(rb"\rERR\|[^\r|]*\|[^\r|]*\|(\d{3})", frame)
                return acknowledgement_code(frame) + (f" {error[1].decode()}" if error else "")
    except TimeoutError:
        return "silent as asked" if wants_none else "no answer"
    finally:
        writer.close()


def _renamed(payload: bytes, control_id: str) -> bytes | None:
    """``None`` for a batch and for a header that does not reach MSH-10."""
    separator = payload[3:4]
    header, end, rest = payload.partition(b"\r")
    fields = header.split(separator)
    if len(fields) < 10 or not header.lstrip(b"\xef\xbb\xbf").startswith(b"MSH"):
        return None
    fields[9] = control_id.encode()
    return separator.join(fields) + end + rest


def _post_fhir(stack: Stack, resources: Sequence[PublicMessage]) -> Counter[str]:
    answers: Counter[str] = Counter()
    headers = {"content-type": "application/fhir+json", "authorization": f"Bearer {stack.doors.http_token}"}
    with httpx.Client(base_url=stack.doors.http_url, timeout=60, trust_env=False, headers=headers) as client:
        for resource in resources:
            response = client.post(_fhir_path(resource.payload), content=resource.payload)
            answers[f"http {response.status_code}"] += 1
    return answers


def _fhir_path(payload: bytes) -> str:
    match = re.search(rb'"resourceType"\s*:\s*"([A-Za-z]{1,64})"', payload)
    kind = match[1].decode() if match else "Basic"
    return "/fhir" if kind == "Bundle" else f"/fhir/{kind}"


def _sweep(stack: Stack, collector: Collector, messages: Sequence[PublicMessage]) -> Sweep:
    needles = set()
    for message in messages:
        with suppress(WardstreamError):
            needles |= needles_of(message.content_type, message.payload)
    sweep = Sweep(needles)
    for topic in topics.TOPICS:
        private = topic.name.startswith("phi.")
        for record in collector.records(topic.name):
            sweep.search(f"{topic.name} key", (record.key or b"").decode("utf-8", "replace"))
            sweep.search(f"{topic.name} headers", " ".join(f"{n} {v.decode('utf-8', 'replace')}" for n, v in record.headers))
            if not private and record.value:
                for text in _texts(record.value.decode("utf-8", "replace")):
                    sweep.search(f"{topic.name} value", text)
    for log in stack.logs.glob("*.log"):
        sweep.search(f"log {log.stem}", log.read_text(errors="replace"))
    for child in (stack.gateway, *stack.workers):
        if child.ready_url:
            with suppress(httpx.HTTPError):
                metrics = httpx.get(child.ready_url.replace("/readyz", "/metrics"), timeout=5, trust_env=False)
                sweep.search(f"metrics {child.name}", metrics.text)
    return sweep


def _own_sweep(collector: Collector) -> Sweep:
    """Each record of a ``deid``, ``train`` or ``ops`` topic against the identifiers of the very message that it came from."""
    found = Sweep(set())
    needles: dict[str, Sweep] = {}
    for record in collector.records(topics.RECEIVED):
        headers = dict(record.headers)
        with suppress(WardstreamError):
            own = needles_of(headers["content-type"].decode(), record.value or b"")
            needles[headers["ce_origin"].decode()] = Sweep(own)
    for topic in topics.TOPICS:
        if topic.name.startswith("phi."):
            continue
        for record in collector.records(topic.name):
            sweep = needles.get(dict(record.headers)["ce_origin"].decode())
            if sweep is None:
                continue
            sweep.search(f"{topic.name} key", (record.key or b"").decode("utf-8", "replace"))
            sweep.search(f"{topic.name} headers", " ".join(f"{n} {v.decode('utf-8', 'replace')}" for n, v in record.headers))
            for text in _texts((record.value or b"").decode("utf-8", "replace")):
                sweep.search(f"{topic.name} value", text)
    for sweep in needles.values():
        found.hits.update(sweep.hits)
        for place, texts in sweep.examples.items():
            found.examples[place] |= texts
    return found


def _texts(value: str) -> Iterator[str]:
    yield value
    for match in _DATA.finditer(value):
        with suppress(binascii.Error):
            yield base64.b64decode(match[1]).decode("utf-8", "replace")


# --- workers ----------------------------------------------------------------------------------------------------------


def workers(count: int, counts: Sequence[int]) -> dict[str, Any]:
    """The raw records are stored once and copied for each run, keys and times included; the vault stays, contexts do not."""
    runs: dict[int, dict[str, dict[str, bytes]]] = {}
    seconds: dict[int, float] = {}
    with tempfile.TemporaryDirectory(prefix="wardstream-workers-") as place, run_stack(Path(place), "kafka", stages=()) as stack:
        raw = _produce_raw(stack, synthetic.messages(count))
        for number in counts:
            env = {
                **stack.env,
                "WARDSTREAM_KAFKA__TOPIC_PREFIX": f"w{number}.",
                "WARDSTREAM_KAFKA__GROUP_PREFIX": f"w{number}-",
                "WARDSTREAM_WORKER__BATCH_SIZE": "16",
            }
            stack.env, stack.settings = env, settings_of(env)
            _forget_contexts(stack)
            admin.apply(stack.settings.kafka)
            asyncio.run(_copy(stack, raw))
            started = time.monotonic()
            for stage in STAGES:
                for _ in range(number):
                    stack.start_worker(stage)
            stack.wait_ready(240)
            with collecting(stack) as collector:
                if not settle(collector, timeout_s=900, expected=count):
                    raise SystemExit(f"{number} workers did not finish")
                seconds[number] = round(time.monotonic() - started, 1)
                runs[number] = {topic: _bytes_by_id(collector.records(topic)) for topic in COMPARED}
            stack.stop_workers()
    first = runs[counts[0]]
    differing = {
        f"{topic} 1 against {number}": sum(
            first[topic].get(i) != run[topic].get(i) for i in first[topic].keys() | run[topic].keys()
        )
        for number, run in runs.items()
        for topic in COMPARED
    }
    return {
        "messages": count,
        "records": {topic: len(records) for topic, records in first.items()},
        "differing": differing,
        "identical": not any(differing.values()),
        "seconds": seconds,
    }


def _produce_raw(stack: Stack, payloads: Iterator[bytes]) -> list[Record]:
    """Through the door, so that keys and ids are the gateway's."""
    asyncio.run(_post_many(stack, list(payloads)))
    with collecting(stack) as collector:
        time.sleep(5)
        return sorted(collector.records(topics.RECEIVED), key=lambda record: (record.partition, record.offset))


async def _post_many(stack: Stack, payloads: Sequence[bytes]) -> None:
    """One connection, one outstanding: the order of the input is the order in the log."""
    codes = await post_mllp(stack.doors.mllp_host, stack.doors.mllp_port, list(payloads))
    assert set(codes) <= {"AA", "CA"}, Counter(codes)


async def _copy(stack: Stack, records: Sequence[Record]) -> None:
    producer = Producer(stack.settings.kafka, client_id="copy")
    try:
        outputs = [Output(topics.RECEIVED, r.key, r.value, r.headers, r.timestamp) for r in records]
        assert all(not isinstance(answer, WardstreamError) for answer in await producer.send_all(outputs))
    finally:
        await producer.close()


def _forget_contexts(stack: Stack) -> None:
    host, _, port = stack.redis.address.rpartition(":")
    with redis.Redis(host=host, port=int(port)) as client:
        for key in client.scan_iter("*"):
            if not key.startswith(b"v:"):
                client.delete(key)


def _bytes_by_id(records: Sequence[Record]) -> dict[str, bytes]:
    return {dict(r.headers)["ce_id"].decode(): repr((r.key, r.value, r.headers)).encode() for r in records}


# --- kill -------------------------------------------------------------------------------------------------------------


def kill(count: int, kills: int, *, seed: int = 11) -> dict[str, Any]:
    """SIGKILL of the stages' workers in turn, ``kills`` times, while ``count`` messages pass; the checker reads the topics only.

    The control looks at the same output as a consumer that does not upsert by id: it must find doubled effects, or the kills hit nothing.
    """
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="wardstream-kill-") as place:
        overrides = {"WARDSTREAM_WORKER__BATCH_SIZE": "32", "WARDSTREAM_KAFKA__SESSION_TIMEOUT_S": "6", "WARDSTREAM_KAFKA__HEARTBEAT_INTERVAL_S": "1"}  # fmt: skip
        with run_stack(Path(place), "kafka", overrides=overrides) as stack:
            payloads = list(synthetic.messages(count))
            with collecting(stack) as collector:
                started = time.monotonic()
                posting = threading.Thread(target=lambda: asyncio.run(_post_many(stack, payloads)), name="posting")
                posting.start()
                killed: list[str] = []
                for number in range(kills):
                    stage = VICTIMS[number % len(VICTIMS)]
                    _wait_until(collector, WATCHED[stage], (number + 0.5) / kills * count)
                    victim = rng.choice([child for child in stack.workers if child.name.startswith(stage) and child.running])
                    killed.append(f"{stage} at {collector.count(WATCHED[stage])}")
                    stack.kill_worker(victim)
                    stack.restart(victim)
                posting.join()
                complete = settle(collector, timeout_s=900, expected=count)
                seconds = time.monotonic() - started
            return {
                "messages": count,
                "killed": killed,
                "complete": complete,
                "seconds": round(seconds, 1),
                **_check(stack, count),
            }


def rotate(count: int, rotations: int) -> dict[str, Any]:
    """``wardstream keys rotate`` beside the running stream, two workers for de-identification: nothing missing, one token a patient.

    The control counts rows under the oldest generation: before the first rotation there must be some, after the last there is none.
    """
    with (
        tempfile.TemporaryDirectory(prefix="wardstream-rotate-") as place,
        run_stack(Path(place), "kafka", overrides={"WARDSTREAM_WORKER__BATCH_SIZE": "16"}) as stack,
    ):
        stack.start_worker("deidentify")
        stack.wait_ready(240)
        payloads = list(synthetic.messages(count))
        told: list[str] = []
        with collecting(stack) as collector:
            posting = threading.Thread(target=lambda: asyncio.run(_post_many(stack, payloads)), name="posting")
            posting.start()
            _wait_until(collector, topics.READY, 0.1 * count)
            first = _rows(stack, "v:*:i:1:*")
            for number in range(rotations):
                _wait_until(collector, topics.READY, (0.2 + 0.6 * number / rotations) * count)
                done = subprocess.run(
                    [sys.executable, "-m", "ops.cli", "keys", "rotate", "--kek"],
                    env={**os.environ, **stack.env}, capture_output=True, text=True, check=True,
                )  # fmt: skip
                told.append(f"at {collector.count(topics.READY)}: {done.stdout.strip()}; {done.stderr.strip().splitlines()[0]}")
            posting.join()
            complete = settle(collector, timeout_s=900, expected=count)
            subjects = {dict(record.headers)["ce_subject"] for record in collector.records(topics.READY)}
        patients = {payload.split(b"\rPID|1||")[1].split(b"^")[0] for payload in payloads}
        status = subprocess.run(
            [sys.executable, "-m", "ops.cli", "keys", "rotate", "--resume"],
            env={**os.environ, **stack.env}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return {
            "messages": count,
            "rotations": told,
            "afterwards": status.stdout.strip(),
            "complete": complete,
            "patients": len(patients),
            "tokens": len(subjects),
            "dead_letters": len(list(_dead_letters(stack))),
            "index_rows_of_the_first_generation": {"before": first, "after": _rows(stack, "v:*:i:1:*")},
            **_check(stack, count),
        }


def _rows(stack: Stack, pattern: str) -> int:
    client = redis.Redis.from_url(stack.settings.redis.url)
    count = sum(1 for _ in client.scan_iter(match=pattern, count=1000))
    client.close()
    return count


def _dead_letters(stack: Stack) -> Iterator[Record]:
    names = [topics.dead_letter(topic.name) for topic in topics.TOPICS if topic.dead_letters]
    deadline = time.monotonic() + 5
    yield from tail(stack.settings.kafka, names, stop=lambda: time.monotonic() > deadline)


def _wait_until(collector: Collector, topic: str, wanted: float, timeout_s: float = 600) -> None:
    deadline = time.monotonic() + timeout_s
    while collector.count(topic) < wanted and time.monotonic() < deadline:
        time.sleep(0.02)


def _check(stack: Stack, count: int) -> dict[str, Any]:
    """Independent of the collector: a fresh read of the log from its beginning."""
    deadline = time.monotonic() + 20
    seen: dict[str, Counter[str]] = {topic: Counter() for topic in COMPARED}
    origins: dict[str, set[str]] = {topic: set() for topic in COMPARED}
    versions: dict[tuple[str, str], set[bytes]] = {}
    for record in tail(stack.settings.kafka, COMPARED, stop=lambda: time.monotonic() > deadline):
        headers = dict(record.headers)
        identity, origin = headers["ce_id"].decode(), headers["ce_origin"].decode()
        seen[record.topic][identity] += 1
        origins[record.topic].add(origin)
        versions.setdefault((record.topic, identity), set()).add(record.value or b"")
    one_each = (topics.READY, topics.EXTRACTED, topics.RAISED, topics.BUNDLE)
    return {
        "missing": {topic: count - len(origins[topic]) for topic in one_each},
        "doubled_effects": {topic: len(seen[topic]) - len(origins[topic]) for topic in one_each},
        "changed_on_redelivery": sum(len(values) > 1 for values in versions.values()),
        "redelivered_records": {topic: sum(seen[topic].values()) - len(seen[topic]) for topic in COMPARED},
        "control_without_upsert_finds_doubles": any(sum(c.values()) > len(c) for c in seen.values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["public", "workers", "kill", "rotate"])
    parser.add_argument(
        "--count", type=int, help="messages; default 400 for workers, 5000 for kill, 2000 for rotate, all for public"
    )
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--no-record", action="store_true", help="print only")
    arguments = parser.parse_args()
    if arguments.what == "public":
        result = public(arguments.count)
    elif arguments.what == "workers":
        result = workers(arguments.count or 400, (1, 2, 4))
    elif arguments.what == "rotate":
        result = rotate(arguments.count or 2000, 3)
    else:
        result = kill(arguments.count or 5000, arguments.kills)
    examples = result.pop("examples", None)
    print(json.dumps(result, indent=2))
    if examples:
        print("examples, not recorded:", json.dumps(examples, indent=1))
    if not arguments.no_record:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"whole_stream_{arguments.what}.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
