"""The reading of graphs without the onnx package agrees with the onnx package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from models.operators import ALLOWED, refuse_strange_operators
from schemas.errors import ConfigurationError

WHERE = Path("a.onnx")


def accepted(content: bytes) -> bool:
    """Whether serving takes the graph."""
    try:
        refuse_strange_operators(WHERE, content)
    except ConfigurationError:
        return False
    return True


def acceptable(model: onnx.ModelProto) -> bool:
    """The same judgement over what the onnx package has read."""
    tensors = [*model.graph.initializer]
    sparse = [*model.graph.sparse_initializer]
    for node in model.graph.node:
        if node.op_type not in ALLOWED.get(node.domain, ()) or node.HasField("overload"):
            return False
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs or attribute.HasField("ref_attr_name"):
                return False
            tensors += [attribute.t, *attribute.tensors]
            sparse += [attribute.sparse_tensor, *attribute.sparse_tensors]
    tensors += [t for s in sparse for t in (s.values, s.indices)]
    return not (
        model.functions or model.training_info or any(t.external_data or t.data_location == TensorProto.EXTERNAL for t in tensors)
    )


@st.composite
def tensors(draw: st.DrawFn) -> TensorProto:
    """A small tensor, now and then with its data elsewhere."""
    tensor = numpy_helper.from_array(np.zeros(draw(st.integers(0, 3)), dtype=np.float32), "w")
    if draw(st.integers(0, 7)) == 0:
        tensor.data_location = TensorProto.EXTERNAL
    if draw(st.integers(0, 7)) == 0:
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "elsewhere"
    return tensor


def graph_of(nodes: list[onnx.NodeProto], initializers: list[TensorProto]) -> onnx.GraphProto:
    """A graph from x to y."""
    value = helper.make_tensor_value_info
    ends = [value("x", TensorProto.FLOAT, ["n"])], [value("y", TensorProto.FLOAT, ["n"])]
    return helper.make_graph(nodes, "g", *ends, initializers)


@st.composite
def models(draw: st.DrawFn) -> onnx.ModelProto:
    """A model of a few nodes; most hold nothing strange."""
    names = st.sampled_from([*["Add", "MatMul", "Constant"] * 8, "Loop", "FusedMatMul", "Söftmax", ""])
    domains = st.sampled_from([*[""] * 12, "com.microsoft", "ai.onnx", "custom"])
    nodes = []
    for _ in range(draw(st.integers(0, 4))):
        node = helper.make_node(draw(names), ["x"], ["y"], domain=draw(domains), name=draw(st.text(max_size=5)))
        for kind in draw(st.lists(st.integers(0, 6), max_size=3)):
            tensor = draw(tensors())
            made: list[object] = [1.5, [1, 2], "text", tensor, [tensor], helper.make_sparse_tensor(tensor, tensor, [3])]
            node.attribute.append(helper.make_attribute(f"a{kind}", made[kind] if kind < 6 else [1.0, 2.0]))
        if draw(st.integers(0, 7)) == 0:
            node.attribute.append(helper.make_attribute("body", graph_of([], [])))
        nodes.append(node)
    model = helper.make_model(graph_of(nodes, draw(st.lists(tensors(), max_size=2))))
    if draw(st.integers(0, 7)) == 0:
        model.graph.sparse_initializer.append(helper.make_sparse_tensor(draw(tensors()), draw(tensors()), [3]))
    if draw(st.integers(0, 7)) == 0:
        inner = helper.make_node("Neg", ["a"], ["b"])
        model.functions.append(helper.make_function("", "Add", ["a"], ["b"], [inner], [helper.make_opsetid("", 17)]))
    return model


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(models())
def test_both_readers_judge_alike(model: onnx.ModelProto) -> None:
    """Of well-formed models exactly those are taken that the package's reading finds acceptable."""
    assert accepted(model.SerializeToString()) == acceptable(model)


@settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])
@given(models(), st.data())
def test_what_is_taken_is_acceptable_however_it_was_damaged(model: onnx.ModelProto, data: st.DataObject) -> None:
    """Changed, cut or doubled bytes: whatever the package can still read of what is taken is acceptable."""
    content = bytearray(model.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(1, len(content)))
    damaged = bytes(content[:end]) + bytes(content[: data.draw(st.sampled_from([0, 0, 0, len(content)]))])
    if accepted(damaged):
        try:
            read = onnx.load_model_from_string(damaged)
        except DecodeError:
            return  # broken where serving does not look: the runtime refuses it
        assert acceptable(read)
