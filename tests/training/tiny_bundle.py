"""Signed bundles around graphs whose answers can be computed by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from models.bundle import FORMAT, FileEntry, Manifest
from models.signature import new_key_pair, sign

WORDS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "calm", "pain", "fever")


def _graph(
    nodes: list[onnx.NodeProto], inputs: dict[str, tuple[int, list[Any]]], output: str, tables: Mapping[str, list[Any]]
) -> bytes:
    values = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
    constants = [
        numpy_helper.from_array(np.array(t, dtype=np.int64 if name.startswith("i_") else np.float32), name)
        for name, t in tables.items()
    ]
    answer = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", values, [answer], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def classifier_graph(of_pieces: list[list[float]], of_numbers: list[list[float]] | None = None) -> bytes:
    """Logits: the sum of each piece's row, and of each known number times its row."""
    inputs = {name: (TensorProto.INT64, ["b", "n"]) for name in ("input_ids", "attention_mask")}
    tables: dict[str, list[Any]] = {"pieces": of_pieces, "i_one": [1]}
    node = helper.make_node
    nodes = [
        node("Gather", ["pieces", "input_ids"], ["rows"]),
        node("Cast", ["attention_mask"], ["real"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["real", "i_one"], ["across"]),
        node("MatMul", ["across", "rows"], ["sums"]),
        node("Squeeze", ["sums", "i_one"], ["logits" if of_numbers is None else "by_text"]),
    ]
    if of_numbers is not None:
        inputs |= {name: (TensorProto.FLOAT, ["b", "k"]) for name in ("numbers", "numbers_mask")}
        tables["weights"] = of_numbers
        nodes += [
            node("Mul", ["numbers", "numbers_mask"], ["known"]),
            node("MatMul", ["known", "weights"], ["by_number"]),
            node("Add", ["by_text", "by_number"], ["logits"]),
        ]
    return _graph(nodes, inputs, "logits", tables)


def encoder_graph(of_pieces: list[list[float]]) -> bytes:
    """One row a piece."""
    inputs = {name: (TensorProto.INT64, ["b", "n"]) for name in ("input_ids", "attention_mask")}
    return _graph(
        [helper.make_node("Gather", ["pieces", "input_ids"], ["last_hidden_state"])],
        inputs,
        "last_hidden_state",
        {"pieces": of_pieces},
    )


def decoder_graph(follows: list[list[float]]) -> bytes:
    """Logits of the next piece: the row of the last piece written, plus the mean over the source."""
    inputs = {
        "input_ids": (TensorProto.INT64, ["b", "w"]),
        "encoder_hidden_states": (TensorProto.FLOAT, ["b", "n", "h"]),
        "encoder_attention_mask": (TensorProto.INT64, ["b", "n"]),
    }
    nodes = [
        helper.make_node("Gather", ["follows", "input_ids"], ["rows"]),
        helper.make_node("ReduceMean", ["encoder_hidden_states"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Add", ["rows", "mean"], ["logits"]),
    ]
    return _graph(nodes, inputs, "logits", {"follows": follows})


def tokenizer(words: tuple[str, ...] = WORDS) -> bytes:
    """Whole words only."""
    made = Tokenizer(models.WordLevel({word: k for k, word in enumerate(words)}, unk_token=words[3]))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens([w for w in words if w[0] in "[<"])
    return bytes(made.to_str().encode())


def write_bundle(folder: Path, files: Mapping[str, bytes], **fields: Any) -> Path:
    """Write and sign it; returns the folder of trusted keys."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    entries = {name: FileEntry(hashlib.sha256(content).hexdigest(), len(content)) for name, content in files.items()}
    given: dict[str, Any] = {
        "format": FORMAT, "name": "tiny", "version": "1.0.0", "family": "bert", "task": "text-classification", "labels": ("a", "b"),
        "entity_types": (), "window_tokens": 8, "window_overlap": 0, "lower_case": True, "thresholds": {}, "inputs": ("input_ids", "attention_mask"),
        "outputs": ("logits",), "files": entries, "data": (), "tools": {}, "scores": {}, "seed": 1,
    }  # fmt: skip
    content = msgspec.json.encode(Manifest(**given | fields))
    keys = folder.parent / f"{folder.name}-keys"
    keys.mkdir()
    private, public = new_key_pair()
    (keys / "key").write_bytes(private)
    (keys / "key.pub").write_text(public, encoding="ascii")
    (folder / "manifest.json").write_bytes(content)
    (folder / "manifest.sig").write_text(sign(content, keys / "key"), encoding="ascii")
    return keys
