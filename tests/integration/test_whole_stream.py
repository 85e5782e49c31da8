"""The whole stream on real Kafka and Redis at reduced size; the full sizes are ``python -m benchmarks.whole_stream``."""

from __future__ import annotations

import pytest

from benchmarks import whole_stream
from benchmarks.public_data import data_folder

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.usefixtures("real_kafka")]


@pytest.mark.skipif(not data_folder().is_dir(), reason="WARDSTREAM_DATA names no folder with the public data")
def test_every_public_message_comes_out_or_is_refused_with_a_reason() -> None:
    """Nothing vanishes between the doors and the end of the way, and no log holds a traceback."""
    result = whole_stream.public(40)
    assert result["complete"], result
    assert result["received_records"] == result["ended_records"] > 0
    assert result["log_files_with_a_traceback"] == 0


def test_the_number_of_workers_does_not_change_a_byte() -> None:
    """The same raw records under one and two workers a stage give the same records."""
    result = whole_stream.workers(60, (1, 2))
    assert result["identical"], result["differing"]
    assert result["records"]["deid.bundle.published.v1"] == 60


def test_killed_workers_lose_nothing_and_double_no_effect() -> None:
    """Three SIGKILLs in the middle of the stream: every message ends once; raw redeliveries keep their id and their bytes."""
    result = whole_stream.kill(400, 3)
    assert result["complete"], result
    assert not any(result["missing"].values()), result
    assert not any(result["doubled_effects"].values()), result
    assert result["changed_on_redelivery"] == 0, result
