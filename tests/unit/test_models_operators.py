"""Graphs are programs: only known operators, nothing from elsewhere, nothing hidden inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.bundle import shelf_bundle
from models.operators import refuse_strange_operators
from schemas.errors import ConfigurationError


def graph_of(*nodes: onnx.NodeProto, initializers: tuple[onnx.TensorProto, ...] = ()) -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        list(nodes), "g", [value("x", TensorProto.FLOAT, [1])], [value("y", TensorProto.FLOAT, [1])], list(initializers)
    )
    return helper.make_model(graph)


def written(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_plain_graphs_and_the_shelf_pass(tmp_path: Path) -> None:
    """A sum of two, and every graph that ships."""
    refuse_strange_operators(written(graph_of(helper.make_node("Add", ["x", "x"], ["y"])), tmp_path))
    for name in ("wardstream-entities", "wardstream-phi"):
        refuse_strange_operators(shelf_bundle(name) / "model.onnx")


@pytest.mark.parametrize(
    ("operator", "domain"),
    [("Loop", ""), ("If", ""), ("Add", "evil.custom"), ("PyOp", "ai.onnx.contrib"), ("StringNormalizer", "")],
)
def test_strange_operators_are_named_and_refused(operator: str, domain: str, tmp_path: Path) -> None:
    """Control flow, custom domains and whatever a tagger does not need."""
    path = written(graph_of(helper.make_node(operator, ["x"], ["y"], domain=domain)), tmp_path)
    with pytest.raises(ConfigurationError, match=operator):
        refuse_strange_operators(path)


def test_a_graph_inside_an_allowed_operator_is_refused(tmp_path: Path) -> None:
    """A body cannot hide in an attribute."""
    body = graph_of(helper.make_node("Add", ["x", "x"], ["y"])).graph
    node = helper.make_node("Add", ["x", "x"], ["y"])
    node.attribute.append(helper.make_attribute("body", body))
    with pytest.raises(ConfigurationError, match="inside a node"):
        refuse_strange_operators(written(graph_of(node), tmp_path))


def test_data_in_other_files_is_refused(tmp_path: Path) -> None:
    """An initializer may not point outside of the bundle's digests."""
    tensor = numpy_helper.from_array(np.zeros(1, dtype=np.float32), "w")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../secret"
    model = graph_of(helper.make_node("Add", ["x", "w"], ["y"]), initializers=(tensor,))
    with pytest.raises(ConfigurationError, match="other files"):
        refuse_strange_operators(written(model, tmp_path))


def test_functions_are_refused(tmp_path: Path) -> None:
    """A model-local function could redefine an allowed operator."""
    model = graph_of(helper.make_node("Add", ["x", "x"], ["y"]))
    model.functions.append(
        helper.make_function("", "Add", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])], [helper.make_opsetid("", 17)])
    )
    with pytest.raises(ConfigurationError, match="functions"):
        refuse_strange_operators(written(model, tmp_path))


@pytest.mark.parametrize("content", [b"not a graph at all", b"\x80\x04\x95pickle", b"\xff" * 100])
def test_other_files_are_no_graphs(content: bytes, tmp_path: Path) -> None:
    """Pickles and noise are refused as such."""
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError):
        refuse_strange_operators(path)
