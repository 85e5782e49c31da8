"""What a graph may hold: operators by allow-list, no data in other files, no functions, no graphs inside graphs.

A graph is a program. ONNX Runtime runs whatever it is given, including operators of custom libraries; a tagger or a classifier
needs a few dozen plain ones. Whoever adds a family adds its operators here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError

from schemas.errors import ConfigurationError

_ONNX: Final = frozenset(
    """
    Abs Add And Cast Ceil Clip Concat Constant ConstantOfShape Cos CumSum DequantizeLinear Div DynamicQuantizeLinear Einsum Equal Erf Exp EyeLike
    Expand Flatten Floor Gather GatherElements GatherND Gelu Gemm Greater GreaterOrEqual Identity IsNaN LayerNormalization Less
    LessOrEqual Log MatMul MatMulInteger Max Min Mod Mul Neg Not Or Pad Pow QuantizeLinear Range Reciprocal ReduceMax ReduceMean
    ReduceSum Relu Reshape ScatterND Shape Sigmoid Sign Sin Slice Softmax Split Sqrt Squeeze Sub Sum Tanh Tile Transpose Trilu
    Unsqueeze Where Xor
    """.split()  # noqa: SIM905
)
_MICROSOFT: Final = frozenset(
    """
    Attention BiasGelu BiasSplitGelu DynamicQuantizeMatMul EmbedLayerNormalization FastGelu FusedMatMul Gelu MatMulIntegerToFloat
    MultiHeadAttention QAttention QEmbedLayerNormalization SimplifiedLayerNormalization SkipLayerNormalization
    SkipSimplifiedLayerNormalization
    """.split()  # noqa: SIM905
)
ALLOWED: Final = {"": _ONNX, "ai.onnx": _ONNX, "com.microsoft": _MICROSOFT}


def refuse_strange_operators(path: Path) -> None:
    """Read the graph at ``path`` and check all that it holds.

    Raises:
        ConfigurationError: it is no ONNX graph, or holds something that is not allowed.
    """
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except (DecodeError, ValueError) as error:
        raise ConfigurationError(path=str(path), detail="no ONNX graph") from error
    if model.functions or model.training_info:
        raise ConfigurationError(path=str(path), detail="functions and training graphs are not allowed")
    for tensor in (*model.graph.initializer, *(s.values for s in model.graph.sparse_initializer)):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ConfigurationError(path=str(path), detail="data in other files is not allowed")
    for node in model.graph.node:
        if node.op_type not in ALLOWED.get(node.domain, ()):
            raise ConfigurationError(
                path=str(path), detail=f"operator {_plain(node.domain)}::{_plain(node.op_type)} is not allowed"
            )
        for attribute in node.attribute:
            inner = (attribute.t, *attribute.tensors)
            if attribute.HasField("g") or attribute.graphs or any(t.data_location == onnx.TensorProto.EXTERNAL for t in inner):
                raise ConfigurationError(path=str(path), detail="graphs and foreign data inside a node are not allowed")


def _plain(name: str) -> str:
    return "".join(c for c in name[:40] if c.isalnum() or c in "._-")
