"""Read this first: the ordered table topic -> stage -> topics. Everything else in ``agents/`` is one row of it.

Each stage is a consumer group of its own. A stage is a pure step (bytes in, records out; offline ``wardstream annotate`` runs
the same steps) plus a thin binding ``agents/<stage>/agent.py`` that gives the step its stores and topics.
"""

from __future__ import annotations

from dataclasses import dataclass

from streams import topics


@dataclass(frozen=True, slots=True)
class Row:
    """``reads`` is the input topic, ``writes`` every topic that the stage may produce to (its dead letters apart)."""

    stage: str
    reads: str
    writes: tuple[str, ...]
    summary: str


PIPELINE: tuple[Row, ...] = (
    Row("deidentify", topics.RECEIVED, (topics.READY, topics.MERGED), "parse, scrub fields and text, leak check"),
    Row("extract", topics.READY, (topics.EXTRACTED,), "sections, entities, assertion, relations"),
    Row("decide", topics.EXTRACTED, (topics.RAISED,), "patient context, rules, flags with evidence"),
    Row("merge", topics.MERGED, (), "the context of a retired patient token joins the survivor's"),
    Row(
        "publish",
        topics.RAISED,
        (topics.BUNDLE, topics.RESULT, topics.AUDIT),
        "FHIR Bundle, ORU^R01, audited re-identification",
    ),
    Row("deliver", topics.RESULT, (topics.AUDIT,), "ORU^R01 to the MLLP receiver, acknowledged before the offset moves"),
    Row("deliver_fhir", topics.RESULT, (topics.AUDIT,), "Bundles to the FHIR server, stored there before the offset moves"),
    Row("cards", topics.RAISED, (topics.AUDIT,), "flags as CDS Hooks cards in the store, by keyed hash of the patient's number"),
    Row("merge_cards", topics.MERGED, (topics.AUDIT,), "cards of a retired patient token go to the survivor's numbers"),
    Row("notify", topics.BUNDLE, (), "subscribers hear of de-identified results"),
    Row("notify_results", topics.RESULT, (topics.AUDIT,), "subscribers hear of released results"),
    Row("feedback", topics.RAISED, (topics.SAMPLE,), "samples for review by policy and budget, after a second leak check"),
    Row(
        "feedback_cards", topics.FEEDBACK, (topics.SAMPLE,), "samples of notes whose CDS Hooks cards were accepted or overridden"
    ),
    Row("watch", topics.RAISED, (topics.DRIFT,), "drift of a sender's or department's messages"),
)

BY_STAGE: dict[str, Row] = {row.stage: row for row in PIPELINE}
