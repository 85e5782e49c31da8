"""The topics as an AsyncAPI 3.0 document: what another team needs to produce to and consume from the stream.

``python -m streams.asyncapi docs/reference/asyncapi.yaml`` writes it; a test keeps it current. Kafka bindings 0.5.0.
https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from schemas.envelope import FHIR_JSON, HL7_V2, JSON
from schemas.errors import Reason
from streams import dead_letters, topics
from streams.topics import TOPICS, Topic

Node = dict[str, Any]

_FORMATS = {
    HL7_V2: "HL7 v2 message, ER7 encoding",
    FHIR_JSON: "FHIR R4 resource or Bundle, JSON",
    JSON: "JSON record of this system",
}
_SHORT = {HL7_V2: "hl7v2", FHIR_JSON: "fhir", JSON: "json"}


def document() -> Node:
    """The whole document as plain data."""
    channels: Node = {}
    operations: Node = {}
    for topic in TOPICS:
        channels[topic.name] = _channel(
            topic.name, topic, topic.summary, {_SHORT[t]: _ref("messages", t) for t in topic.content_types}
        )
        external = topic.name == topics.RECEIVED
        operations[f"{'produce' if external else 'consume'}.{topic.name}"] = {
            "action": "receive" if external else "send",
            "channel": {"$ref": f"#/channels/{topic.name}"},
            "summary": f"{'Produce to' if external else 'Consume from'} {topic.name}",
        }
        if topic.dead_letters:
            name = topics.dead_letter(topic.name)
            channels[name] = _channel(name, topic, f"records of {topic.name} that could not be processed", {"dead": _ref_dead()})
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Wardstream",
            "version": "1.0.0",
            "description": (
                "Records are CloudEvents 1.0 in binary mode: the value is the bare payload, attributes are ce_* headers. An "
                f"integration engine may produce to {topics.RECEIVED} with only a content-type header. Keys are never identifiers in "
                "clear; records of one key keep their order. Consumers upsert by ce_id: a record may arrive more than once, always "
                "with the same id and the same bytes. A consumer that may not read a record's ce_dataclassification must refuse it."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": JSON,
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": {
                **{_SHORT[t]: _message(t) for t in (HL7_V2, FHIR_JSON, JSON)},
                "dead": {
                    "title": "The record as it came, with codes that say why",
                    "headers": {"type": "object", "properties": _dead_headers()},
                },
            },
            "schemas": {"headers": _headers()},
        },
    }


def render() -> str:
    """The document as YAML; equal tables give equal bytes."""
    head = "# Generated from streams/topics.py by python -m streams.asyncapi; do not edit.\n"
    return head + yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=120)


def _ref(kind: str, content_type: str) -> Node:
    return {"$ref": f"#/components/{kind}/{_SHORT[content_type]}"}


def _ref_dead() -> Node:
    return {"$ref": "#/components/messages/dead"}


def _channel(name: str, topic: Topic, summary: str, messages: Node) -> Node:
    dead = name.endswith(".dlq")
    config: Node = {"cleanup.policy": ["delete"] if dead else topic.cleanup.split(","), "retention.ms": topic.retention_ms}
    return {
        "address": name,
        "summary": summary,
        "description": f"Classification: {topic.data_class.value}. Key: {topic.key}.",
        "messages": messages,
        "bindings": {"kafka": {"partitions": topic.partitions, "topicConfiguration": config, "bindingVersion": "0.5.0"}},
    }


def _message(content_type: str) -> Node:
    return {
        "title": _FORMATS[content_type],
        "contentType": content_type,
        "headers": {"$ref": "#/components/schemas/headers"},
        "bindings": {"kafka": {"key": {"type": "string", "format": "binary"}, "bindingVersion": "0.5.0"}},
    }


def _headers() -> Node:
    text: Node = {"type": "string"}
    return {
        "type": "object",
        "required": ["content-type"],
        "properties": {
            "ce_specversion": {"const": "1.0"},
            "ce_id": {"type": "string", "format": "uuid"},
            "ce_source": {"type": "string", "format": "uri-reference"},
            "ce_type": text,
            "ce_time": {"type": "string", "format": "date-time", "description": "receipt of the original message"},
            "ce_subject": {**text, "description": "patient token"},
            "ce_origin": {**text, "description": "ce_id of the raw message"},
            "ce_dataclassification": {"enum": ["restricted", "internal"]},
            "ce_datacategory": {"enum": ["phi", "non-phi"]},
            "content-type": text,
            "deid-policy": text,
            "model-version": text,
            "deid-map": {**text, "description": "offsets and minutes of what was replaced; no text, no date"},
            "traceparent": {**text, "description": "W3C trace context"},
        },
    }


def _dead_headers() -> Node:
    numbers = {
        dead_letters.ATTEMPTS,
        dead_letters.ORIGINAL_PARTITION,
        dead_letters.ORIGINAL_OFFSET,
        dead_letters.ORIGINAL_TIMESTAMP,
    }
    rows: Node = {
        name: {"type": "string", "pattern": "^[0-9]+$"} if name in numbers else {"type": "string"}
        for name in sorted(dead_letters.OWN)
    }
    rows[dead_letters.ERROR_CODE] = {"enum": sorted(reason.value for reason in Reason)}
    return rows


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render())
