"""Label Studio: tasks with predictions out, annotations in (https://labelstud.io/guide/task_format). Offsets are code points, as its newer
versions have them; assertions are choices of a region. Flags do not travel: a task cannot ask about a number of things of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from ops.review.tools import Annotated
from ops.review.verdicts import prefill
from schemas.findings import MENTION_TYPES, Assertion
from schemas.labels import ReviewedSpan
from schemas.samples import Sample
from training.data.errors import DataError
from training.data.exports import rows

AXES = Assertion.__struct_fields__
#: Names of the controls in the labelling configuration, which results repeat.
_LABEL, _ASSERTION, _TEXT = "label", "assertion", "text"


def config() -> str:
    """The labelling configuration that goes with the tasks; paste it into the project's settings."""
    labels = "\n".join(f"    <Label value={quoteattr(name)}/>" for name in MENTION_TYPES)
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in AXES)
    return f"""<View>
  <Labels name="{_LABEL}" toName="{_TEXT}" choice="single">
{labels}
  </Labels>
  <Text name="{_TEXT}" value="$text" granularity="word"/>
  <Choices name="{_ASSERTION}" toName="{_TEXT}" perRegion="true" choice="multiple" showInline="true">
{choices}
  </Choices>
</View>
"""


def task(sample: Sample) -> dict[str, Any]:
    """One task with the model's spans as a prediction; ``data.sample`` leads back."""
    results: list[dict[str, Any]] = []
    for mention, span in zip(sample.mentions, prefill(sample), strict=True):
        label, *choices = _results(mention.id, span, sample.note.text)
        results += [label | {"score": mention.score}, *choices]
    return {
        "data": {"text": sample.note.text, "sample": sample.id, "reason": sample.reason, "why": ", ".join(sample.why)},
        "predictions": [{"model_version": sample.versions.entity_model, "score": sample.score, "result": results}],
    }


def _results(name: str, span: ReviewedSpan, text: str) -> list[dict[str, Any]]:
    """A region with its label and, where any axis is true, its choices."""
    place = {"start": span.start, "end": span.end, "text": text[span.start : span.end]}
    region = {"id": name, "to_name": _TEXT}
    found: list[dict[str, Any]] = [region | {"from_name": _LABEL, "type": "labels", "value": place | {"labels": [span.type]}}]
    choices = [axis for axis in AXES if span.assertion is not None and getattr(span.assertion, axis)]
    if choices:
        found.append(region | {"from_name": _ASSERTION, "type": "choices", "value": place | {"choices": choices}})
    return found


def read(path: Path) -> Iterator[Annotated]:
    """Every finished annotation of an export in Label Studio's JSON, by task; cancelled ones are left out.

    Raises:
        DataError: ``json``; ``record``; ``type``: a label or choice that is none of ours; ``offset``: a region does not stand where its words do,
            as in exports of versions that counted UTF-16 code units.
    """
    for number, row in rows(path):
        data = row.get("data")
        if not isinstance(data, dict) or not isinstance(data.get("text"), str) or not isinstance(data.get("sample"), str):
            raise DataError("record", path, number)
        try:
            for annotation in row.get("annotations", ()):
                if not annotation.get("was_cancelled"):
                    yield Annotated(
                        data["sample"],
                        data["text"],
                        tuple(_spans(annotation["result"], data["text"])),
                        _who(annotation.get("completed_by")),
                        _instant(annotation.get("updated_at") or annotation.get("created_at")),
                    )
        except _Misplaced:
            raise DataError("offset", path, number) from None
        except _Unknown:
            raise DataError("type", path, number) from None
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DataError("record", path, number) from None


class _Misplaced(Exception):
    pass


class _Unknown(Exception):
    pass


def _spans(results: list[dict[str, Any]], text: str) -> Iterator[ReviewedSpan]:
    asserted: dict[str, list[str]] = {}
    for result in results:
        if result["type"] == "choices" and result.get("from_name") == _ASSERTION and "id" in result:
            asserted[result["id"]] = result["value"]["choices"]
    for result in results:
        if result["type"] != "labels":
            continue
        value = result["value"]
        start, end, (label,) = int(value["start"]), int(value["end"]), value["labels"]
        if label not in MENTION_TYPES or not set(asserted.get(result.get("id", ""), ())) <= set(AXES):
            raise _Unknown
        if "text" in value and text[start:end] != value["text"]:
            raise _Misplaced
        axes = asserted.get(result.get("id", ""), ())
        yield ReviewedSpan(start=start, end=end, type=label, assertion=Assertion(**dict.fromkeys(axes, True)) if axes else None)


def _who(completed_by: object) -> str:
    """An id, or an object with an address of mail, as the kind of export has it."""
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("email") or completed_by.get("id")
    return "" if completed_by is None else f"label-studio:{completed_by}"


def _instant(text: str | None) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="milliseconds") if text else ""
