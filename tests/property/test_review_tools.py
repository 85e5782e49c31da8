"""Label Studio and doccano and back: whatever the note holds, the spans stand where they stood."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ops.review import doccano, label_studio
from ops.review.accounts import Pseudonyms
from ops.review.tools import Annotated, labels_of
from ops.review.verdicts import ASSERTED, prefill
from schemas.findings import MENTION_TYPES, Assertion, Mention
from schemas.labels import ReviewedSpan
from schemas.samples import Sample
from tests.support.review import KEY, make_sample
from training.data.errors import DataError
from training.data.exports import read_doccano, read_label_studio
from training.data.offsets import Utf16

#: Ends of lines that JSON leaves as they are, signs of two code units, of several code points, and right to left.
_TEXT = st.text(
    st.sampled_from("ab \n\r\t\u2028\u0085\u00e9\u0301\u05d0\ufeff\U0001f691\U0001f468\u200d\U00020000<&\"'\\"),
    min_size=1,
    max_size=60,
)
_SLOW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@st.composite
def proposed(draw: st.DrawFn) -> Sample:
    """A sample with spans of distinct places, at any code points."""
    sample = make_sample("5f1d3a52-0000-4000-8000-000000000001", draw(_TEXT))
    text = sample.note.text
    places = draw(st.sets(st.tuples(st.integers(0, len(text) - 1), st.integers(1, 12)), max_size=6))
    mentions = []
    for number, (start, length) in enumerate(sorted({(s, min(len(text), s + n)) for s, n in places})):
        type_ = draw(st.sampled_from(MENTION_TYPES))
        assertion = draw(st.builds(Assertion, **{axis: st.booleans() for axis in label_studio.AXES}))
        mentions.append(
            Mention(id=f"m{number}", note="n", start=start, end=length, text=text[start:length], type=type_, score=0.7, source="m",
                    assertion=assertion if type_ in ASSERTED else Assertion())
        )  # fmt: skip
    return Sample(
        id=sample.id, origin="o", subject="s", reason="uncertain", score=0.5, note=sample.note, mentions=tuple(mentions), versions=sample.versions
    )  # fmt: skip


def taken(annotated: list[Annotated], sample: Sample, *, judged: bool) -> tuple[ReviewedSpan, ...]:
    (label,), refused = labels_of(
        annotated, {sample.id: sample}.get, Pseudonyms(KEY.encode()), guideline="1", now="2026", judged=judged, reviewer="ada"
    )
    assert not refused
    assert label.edits is not None
    assert (label.edits.kept, label.edits.added, label.edits.deleted) == (len(sample.mentions), 0, 0)
    return label.spans


def annotated_task(sample: Sample) -> dict[str, Any]:
    """The task as Label Studio hands it back when somebody accepts the prediction."""
    task = label_studio.task(sample)
    result = [{name: value for name, value in one.items() if name != "score"} for one in task["predictions"][0]["result"]]
    return {
        "id": 1,
        **task,
        "annotations": [{"id": 9, "result": result, "completed_by": 3, "updated_at": "2026-03-01T12:00:00.5+02:00"}],
    }


@_SLOW
@given(proposed())
def test_label_studio_and_back(tmp_path: Path, sample: Sample) -> None:
    """Places, types and assertions are the model's, exactly."""
    path = tmp_path / "export.json"
    path.write_text(json.dumps([annotated_task(sample)], ensure_ascii=False))
    found = list(label_studio.read(path))
    assert [(one.sample, one.text, one.reviewer, one.decided) for one in found] == [
        (sample.id, sample.note.text, "label-studio:3", "2026-03-01T10:00:00.500+00:00")
    ]
    assert set(taken(found, sample, judged=True)) == set(prefill(sample))
    (document,) = read_label_studio(path)
    assert document.text == sample.note.text


@_SLOW
@given(proposed(), st.booleans())
def test_doccano_and_back(tmp_path: Path, sample: Sample, apart: bool) -> None:
    """Places and types; assertions it cannot carry, so that they count as not judged. Metadata beside the text or in a field of its own."""
    one = doccano.row(sample)
    text = sample.note.text.encode("utf-16-le")
    for (start, end, _), mention in zip(one["label"], sample.mentions, strict=True):
        assert text[2 * start : 2 * end].decode("utf-16-le") == mention.text
    if apart:
        one = {"id": 1, "text": one["text"], "label": one["label"], "Comments": [], "meta": {"sample": one["sample"]}}
    path = tmp_path / "export.jsonl"
    path.write_text(json.dumps(one, ensure_ascii=False) + "\n\n")
    spans = taken(list(doccano.read(path)), sample, judged=False)
    assert {(s.start, s.end, s.type, s.assertion) for s in spans} == {(m.start, m.end, m.type, None) for m in sample.mentions}


@given(_TEXT)
def test_code_units_and_code_points(text: str) -> None:
    """Both ways for every place between characters; inside of one there is none."""
    offsets = Utf16(text)
    for points in range(len(text) + 1):
        units = offsets.units(points)
        assert len(text[:points].encode("utf-16-le")) == 2 * units
        assert offsets.points(units) == points
        if points < len(text) and text[points] > "\uffff":
            with pytest.raises(ValueError, match="no character"):
                offsets.points(units + 1)


def test_the_configuration_names_what_results_name() -> None:
    """Every type and axis is a choice of the labelling configuration, under the names that tasks use."""
    root = ET.fromstring(label_studio.config())
    assert [one.get("value") for one in root.iter("Label")] == list(MENTION_TYPES)
    assert [one.get("value") for one in root.iter("Choice")] == list(label_studio.AXES)
    sample = make_sample("a", "Denies fever.", ("fever", "finding", Assertion(negated=True)))
    named = {(one["from_name"], one["to_name"]) for one in label_studio.task(sample)["predictions"][0]["result"]}
    assert named == {("label", "text"), ("assertion", "text")}


SAMPLE = make_sample("a", "Denies \U0001f691 fever.", ("fever", "finding"))
_VALUE = {"start": 9, "end": 14, "text": "fever", "labels": ["finding"]}


def studio(value: dict[str, Any], **data: str) -> str:
    result = [{"id": "r", "type": "labels", "from_name": "label", "value": value}]
    return json.dumps([{"data": {"text": SAMPLE.note.text, "sample": "a"} | data, "annotations": [{"result": result}]}])


@pytest.mark.parametrize(
    ("reader", "content", "code"),
    [
        (label_studio.read, studio(_VALUE | {"start": 10, "end": 15}), "offset"),  # counted in UTF-16 code units
        (label_studio.read, studio(_VALUE | {"labels": ["symptom"]}), "type"),
        (label_studio.read, studio(_VALUE | {"labels": ["finding", "problem"]}), "record"),
        (label_studio.read, json.dumps([{"data": {"text": "x"}}]), "record"),
        (label_studio.read, "[", "json"),
        (doccano.read, json.dumps({"text": "x", "label": []}), "record"),
        (doccano.read, json.dumps({"text": "x", "sample": "a", "label": [[0, 1, "symptom"]]}), "type"),
        (doccano.read, json.dumps({"text": "\U0001f691", "sample": "a", "label": [[0, 1, "finding"]]}), "offset"),
        (doccano.read, json.dumps({"text": "x", "sample": "a", "label": [[0, 9, "finding"]]}), "offset"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_without_the_text(tmp_path: Path, reader: Any, content: str, code: str) -> None:
    """A code and a line."""
    path = tmp_path / "export.json"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        list(reader(path))
    assert caught.value.code == code
    assert "fever" not in str(caught.value)


def test_what_does_not_fit_is_refused_and_counted() -> None:
    """A sample that is gone, a text that was changed, nobody named, spans outside; the rest comes in."""
    good = ReviewedSpan(start=9, end=14, type="finding")
    text = SAMPLE.note.text
    rows = [
        Annotated("a", text, (good,), "x"),
        Annotated("gone", text, (good,), "x"),
        Annotated("a", text + " ", (good,), "x"),
        Annotated("a", text, (good,)),
        Annotated("a", text, (ReviewedSpan(start=9, end=99, type="finding"),), "x"),
    ]
    labels, refused = labels_of(
        rows, {"a": SAMPLE}.get, Pseudonyms(KEY.encode()), guideline="1", now="2026-03-01T00:00:00.000+00:00", judged=True
    )
    assert refused == {"no such sample": 1, "text differs": 1, "no reviewer": 1, "spans": 1}
    (label,) = labels
    assert (label.spans[0].assertion, label.decided) == (Assertion(), "2026-03-01T00:00:00.000+00:00")


def test_json_lines_end_with_line_feeds_alone(tmp_path: Path) -> None:
    """A note with U+2028 or U+0085 in it is one line of a doccano export, for training too."""
    path = tmp_path / "export.jsonl"
    text = "fever\u2028and\u0085cough"
    path.write_text(json.dumps({"text": text, "label": [[0, 5, "finding"]]}, ensure_ascii=False) + "\n")
    (document,) = read_doccano(path)
    assert document.text == text


def test_training_reads_what_doccano_counts(tmp_path: Path) -> None:
    """The recipe's reader too takes its places as UTF-16 code units."""
    path = tmp_path / "export.jsonl"
    path.write_text(json.dumps(doccano.row(SAMPLE)))
    (document,) = read_doccano(path)
    assert [document.text[s.start : s.end] for s in document.spans] == ["fever"]
