"""Checkpoints to ONNX graphs that compute the same function at every shape, and their optimized and half-precision forms.

Stock models go through optimum's exporter. XLNet with numbers, DistilBERT over the mean of its pieces and Longformer are exported by
torch's tracing exporter from modules of our own: optimum does not know the first two, and its graph of the third is wrong away from the
traced length.
Attention is eager and the graph unfused: int8 is made from it, and fused files are bound to one provider.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import onnx
import torch
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.optimizer import optimize_model

from training.families import Family, load_family
from training.families.longformer import SlidingWindowLongformer

OPSET = 17
FP32, FP16, PARITY = "model.fp32.onnx", "model.fp16.onnx", "parity.md"
ENCODER, DECODER = "encoder.fp32.onnx", "decoder.fp32.onnx"
_TRACED = (2, 24)  # rows and pieces of the traced example; parity is proved at other shapes
_BY_OPTIMUM = ("bert", "roberta", "distilbert")
#: Fusion of the runtime's optimizer, by family; the others are left to the runtime when it loads them.
_FUSED_AS = {"bert": "bert", "roberta": "bert", "distilbert": "bert"}


class _Logits(torch.nn.Module):
    """Positional tensors in, logits out."""

    def __init__(self, model: Any, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        answer = self.model(**dict(zip(self.names, tensors, strict=True)))
        logits: torch.Tensor = answer if isinstance(answer, torch.Tensor) else answer.logits
        return logits


def example(family: Family, model: Any, rows: int, length: int, seed: int) -> dict[str, torch.Tensor]:
    """Random inputs of a model: the last of several rows is padded from its middle on, and lacks its first number."""
    random = torch.Generator().manual_seed(seed)
    names = family.inputs(model)
    vocabulary = model.config.vocab_size
    ids = torch.randint(min(5, vocabulary - 1), vocabulary, (rows, length), generator=random)
    mask = torch.ones_like(ids)
    if rows > 1:
        mask[-1, length // 2 + 1 :] = 0
        ids = ids * mask
    given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.randint(0, 4, ids.shape, generator=random) * mask}
    if "numbers" in names:
        given["numbers"] = torch.randn(rows, model.config.numbers, generator=random)
        known = torch.ones(rows, model.config.numbers)
        known[-1, 0] = 0
        given["numbers_mask"] = known
    return {name: given[name] for name in names}


def export(checkpoint: Path, folder: Path) -> list[Path]:
    """Write the float32 graphs of a checkpoint into ``folder``: ``model.fp32.onnx``, or encoder and decoder for generation.

    The model is loaded anew: optimum patches what it exports.
    """
    family, model = load_family(checkpoint)
    if family.name == "t5":
        return _export_t5(model, folder)
    target = folder / FP32
    if family.name in _BY_OPTIMUM and type(model).__module__.startswith("transformers."):
        _by_optimum(model, target)
    else:
        _by_tracing(family, model, target)
    return [target]


def _by_optimum(model: Any, target: Path) -> None:
    from optimum.exporters.onnx import onnx_export_from_model
    from optimum.exporters.onnx.model_configs import BertOnnxConfig

    task = "token-classification" if "Token" in type(model).__name__ else "text-classification"
    # The stock configuration of RoBERTa knows no token types: its graph would forget the letter shapes in silence.
    special = {"model": BertOnnxConfig(model.config, task=task)} if model.config.model_type == "roberta" else None
    with tempfile.TemporaryDirectory() as scratch:
        onnx_export_from_model(
            model, Path(scratch), task=task, opset=OPSET, do_validation=False, no_post_process=True, custom_onnx_configs=special
        )
        target.write_bytes((Path(scratch) / "model.onnx").read_bytes())


def _by_tracing(family: Family, model: Any, target: Path) -> None:
    given = example(family, model, *_TRACED, seed=1)
    module = SlidingWindowLongformer(model) if family.name == "longformer" else model
    axes: dict[str, dict[int, str]] = {name: {0: "batch", 1: "length"} for name in given if not name.startswith("numbers")}
    axes |= {name: {0: "batch"} for name in given if name.startswith("numbers")}
    axes["logits"] = {0: "batch", 1: "length"} if family.name == "longformer" else {0: "batch"}
    wrapper = _Logits(module.eval(), tuple(given)).eval()
    torch.onnx.export(
        wrapper, tuple(given.values()), str(target), dynamo=False, opset_version=OPSET, input_names=list(given), output_names=["logits"], dynamic_axes=axes
    )  # fmt: skip


class _Decoder(torch.nn.Module):
    """T5's decoder without a cache: outputs are short, and one graph without state is easier to trust."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.decoder, self.lm_head = model.decoder, model.lm_head
        self.scale = model.model_dim**-0.5 if model.config.tie_word_embeddings else 1.0

    def forward(
        self, input_ids: torch.Tensor, encoder_hidden_states: torch.Tensor, encoder_attention_mask: torch.Tensor
    ) -> torch.Tensor:
        states = self.decoder(
            input_ids=input_ids,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            use_cache=False,
        )[0]
        logits: torch.Tensor = self.lm_head(states * self.scale)
        return logits


class _Encoder(torch.nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder = model.encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        return states


def _export_t5(model: Any, folder: Path) -> list[Path]:
    ids = torch.randint(3, model.config.vocab_size, _TRACED)
    mask = torch.ones_like(ids)
    encoder, decoder = _Encoder(model).eval(), _Decoder(model).eval()
    states = encoder(ids, mask)
    free = {0: "batch", 1: "length"}
    torch.onnx.export(
        encoder, (ids, mask), str(folder / ENCODER), dynamo=False, opset_version=OPSET, input_names=["input_ids", "attention_mask"],
        output_names=["last_hidden_state"], dynamic_axes={"input_ids": free, "attention_mask": free, "last_hidden_state": free},
    )  # fmt: skip
    names = ["input_ids", "encoder_hidden_states", "encoder_attention_mask"]
    axes = {"input_ids": {0: "batch", 1: "written"}, names[1]: free, names[2]: free, "logits": {0: "batch", 1: "written"}}
    torch.onnx.export(
        decoder, (ids[:, :7], states, mask), str(folder / DECODER), dynamo=False, opset_version=OPSET, input_names=names, output_names=["logits"], dynamic_axes=axes
    )  # fmt: skip
    return [folder / ENCODER, folder / DECODER]


def optimize(checkpoint: Path, source: Path, target: Path) -> None:
    """Write the graph with fused attention, layer norms and GELU; families without a known fusion are copied."""
    family, model = load_family(checkpoint)
    kind = _FUSED_AS.get(family.name)
    if kind is None:
        target.write_bytes(source.read_bytes())
        return
    heads = getattr(model.config, "num_attention_heads", None) or model.config.n_heads
    width = getattr(model.config, "hidden_size", None) or model.config.dim
    fused = optimize_model(
        str(source), model_type=kind, num_heads=heads, hidden_size=width, opt_level=0, optimization_options=FusionOptions(kind)
    )
    fused.save_model_to_file(str(target))


def to_fp16(source: Path, target: Path) -> None:
    """Write the half-precision graph for GPUs; integer inputs stay as they are, logits come out in float32."""
    onnx.save(convert_float_to_float16(onnx.load(str(source)), keep_io_types=True), str(target))
