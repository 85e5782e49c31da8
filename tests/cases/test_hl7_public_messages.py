"""Public messages, where ``WARDSTREAM_DATA`` (default ``../shared/data``) holds them: each is read whole or refused by code."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.errors import MalformedMessage
from schemas.hl7.batch import split_messages
from schemas.hl7.clinical import fact_time_paths, read_clinical, read_leaf, replace_part
from schemas.hl7.er7 import parse
from schemas.hl7.identity import read_identity

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("WARDSTREAM_DATA", ROOT.parent / "shared" / "data"))
FILES = sorted(path for path in DATA.glob("hl7_*/**/*") if path.suffix in {".hl7", ".txt", ".out"} and "LICENSE" not in path.name)

pytestmark = pytest.mark.skipif(not FILES, reason="no public messages under WARDSTREAM_DATA")

#: Files that are prose or uuencoded rather than ER7, and one batch whose BTS-1 does not hold.
PROSE = 6


def messages() -> Iterator[bytes]:
    for path in FILES:
        try:
            yield from split_messages(path.read_bytes())
        except MalformedMessage:
            yield path.read_bytes()


def test_every_message_is_read_whole_or_refused_by_code() -> None:
    """Byte-equal round trip; notes, facts and identities without a stray error; a scrubbed part reads back and nothing else moves."""
    counts: Counter[str] = Counter()
    for payload in messages():
        try:
            message = parse(payload)
        except MalformedMessage as error:
            counts[f"refused {error.path}"] += 1
            continue
        counts["read"] += 1
        identity, clinical = read_identity(message), read_clinical(message)
        counts["patients"] += identity.patient is not None
        counts["notes"] += len(clinical.notes)
        counts["facts"] += len(clinical.facts)
        assert message.encode() == payload
        assert len({fact.id for fact in clinical.facts}) == len(clinical.facts) == len(fact_time_paths(message))
        for note in clinical.notes:
            for part in note.parts:
                if note.format == "plain" and not part.path.endswith(".5"):
                    leaf = read_leaf(message, part.path).replace("\r\n", "\n").replace("\r", "\n")
                    assert note.text[part.start : part.end] == leaf
                replace_part(message, part.path, "[X] | ^ & ~ \\ here is some longer text")
        again = read_clinical(parse(message.encode()))
        assert [note.path for note in again.notes] == [note.path for note in clinical.notes]
    assert counts["read"] > 1_250
    assert counts["notes"] > 2_000
    assert counts["facts"] > 3_500
    assert sum(count for name, count in counts.items() if name.startswith("refused")) <= PROSE, counts
