"""Every family starts from an encoder, exports truly at every shape, and survives being saved, quantized and pruned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.tokens import WordPieces
from training.batches import text_example
from training.data.document import LabelledText
from training.export import export, optimize, to_fp16
from training.families import FAMILIES, Head, family, load_family, run
from training.families.longformer import SlidingWindowLongformer
from training.parity import TOLERANCE, parity, parity_of_generation
from training.prune import gather_gradients, kept_pieces, prune_feed_forward, prune_heads, trim_embeddings, trim_tokenizer
from training.quantize import quantize
from training.torch_classifier import text_logits

TOKEN = Head("token", ("O", "B-a", "I-a"))
TEXT = Head("text", ("a", "b"), multi_label=True)
HEADS = {"bert": TOKEN, "roberta": TEXT, "distilbert": TEXT, "xlnet": TEXT, "longformer": TOKEN, "t5": Head("generation")}
ENCODERS = [name for name in FAMILIES if name != "t5"]


def started(name: str, source: Path, folder: Path, head: Head | None = None) -> Path:
    model = family(name).start(
        source, head=head or HEADS[name], layers=(), numbers=3 if name == "xlnet" else 0, seed=1, window=16, d_model=32, n_head=4
    )
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    return folder


@pytest.mark.parametrize("name", ENCODERS)
def test_graphs_are_the_function_that_was_trained(name: str, tiny: Path, tmp_path: Path) -> None:
    """Float32 and fused graphs agree with PyTorch at batch sizes and lengths away from the traced ones; int8 and fp16 nearly."""
    checkpoint = started(name, tiny, tmp_path)
    _, model = load_family(checkpoint)
    for parameter in (p for n, p in model.named_parameters() if "token_type" in n):
        torch.nn.init.normal_(parameter)  # equal rows would hide an input that the exporter forgot
    model.save_pretrained(checkpoint)
    (graph,) = export(checkpoint, tmp_path)
    optimize(checkpoint, graph, tmp_path / "fused.onnx")
    to_fp16(tmp_path / "fused.onnx", tmp_path / "fp16.onnx")
    quantize(graph, tmp_path / "int8.onnx")
    graphs = {"onnx": graph, "fused": tmp_path / "fused.onnx", "fp16": tmp_path / "fp16.onnx", "int8": tmp_path / "int8.onnx"}
    found = {p.graph: p for p in parity(checkpoint, graphs)}
    assert found["onnx"].difference < TOLERANCE
    assert found["fused"].difference < TOLERANCE
    assert found["fp16"].difference < 0.01
    assert found["int8"].difference < 0.2
    assert found["int8"].bytes < 0.5 * found["onnx"].bytes


def test_texts_in_company_get_the_logits_that_they_get_alone(tiny: Path, tmp_path: Path) -> None:
    """A teacher's answers stand in the order of its texts and do not depend on what pads them."""
    teacher = load_family(started("distilbert", tiny, tmp_path))
    pieces = WordPieces(tmp_path / "tokenizer.json")
    rows = [LabelledText(f"{k}", "fever and chills " * (1 + k * 7 % 5), frozenset()) for k in range(40)]
    none = np.zeros(0, dtype=np.float32)
    examples = [text_example(row, pieces(row.text), ("a", "b"), none) for row in rows]
    together = text_logits(teacher, examples, pieces)
    alone = np.concatenate([text_logits(teacher, [example], pieces) for example in examples])
    assert together.shape == (40, 2)
    assert np.abs(together - alone).max() < 1e-4
    assert len({round(float(value), 4) for value in alone[:, 0]}) > 3


def test_a_graph_of_other_weights_has_no_parity(tiny: Path, tmp_path: Path) -> None:
    """The parity report is not satisfied by just any graph."""
    checkpoint = started("bert", tiny, tmp_path / "one")
    (tmp_path / "two").mkdir()
    torch.manual_seed(99)
    other = started("bert", tiny, tmp_path / "two")
    (graph,) = export(other, tmp_path)
    (found,) = parity(checkpoint, {"other": graph})
    assert found.difference > TOLERANCE


def test_generation_graphs_agree(tiny: Path, tmp_path: Path) -> None:
    """T5's encoder and decoder graphs give PyTorch's logits."""
    checkpoint = started("t5", tiny, tmp_path)
    encoder, decoder = export(checkpoint, tmp_path)
    assert parity_of_generation(checkpoint, encoder, decoder).difference < TOLERANCE


@pytest.mark.parametrize(("rows", "length"), [(1, 8), (1, 64), (1, 100), (2, 130), (3, 513), (1, 600), (1, 1500)])
def test_sliding_window_attention_is_longformers(rows: int, length: int, tiny: Path, tmp_path: Path) -> None:
    """The exportable attention equals the stock one, padding and global piece included."""
    _, model = load_family(started("longformer", tiny, tmp_path))
    random = torch.Generator().manual_seed(length)
    ids = torch.randint(1000, 30000, (rows, length), generator=random)
    mask = torch.ones_like(ids)
    mask[-1, length - length // 3 :] = 0
    types = torch.randint(0, 4, ids.shape, generator=random)
    with torch.no_grad():
        stock = model(ids * mask, mask, types).logits
        ours = SlidingWindowLongformer(model).eval()(ids * mask, mask, types)
    assert torch.allclose(stock[mask.bool()], ours[mask.bool()], atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "roberta", "longformer", "distilbert"])
def test_bert_shaped_families_start_with_the_encoders_knowledge(name: str, tiny: Path, tmp_path: Path) -> None:
    """Where a text is shorter than a window, the last hidden states are those of the encoder itself."""
    _, bert = load_family(started("bert", tiny, tmp_path / "bert", TOKEN))
    chosen, model = load_family(started(name, tiny, tmp_path / name, TOKEN))
    batch: dict[str, Any] = {
        "input_ids": torch.tensor([[101, 2000, 3000, 4000, 102]]),
        "attention_mask": torch.ones(1, 5, dtype=torch.long),
        "token_type_ids": torch.zeros(1, 5, dtype=torch.long),
    }
    with torch.no_grad():
        expected, found = run(family("bert"), bert, batch)[0], run(chosen, model, batch)[0]
    assert torch.allclose(expected, found[:, :5], atol=1e-5)


def test_missing_numbers_are_seen_as_missing(tiny: Path, tmp_path: Path) -> None:
    """XLNet's answer changes with a value, and does not depend on what stands where a value is missing."""
    chosen, model = load_family(started("xlnet", tiny, tmp_path))
    batch = {
        "input_ids": torch.tensor([[101, 2000, 102]] * 3),
        "attention_mask": torch.ones(3, 3, dtype=torch.long),
        "numbers": torch.tensor([[1.0, 2.0, 3.0], [9.0, 2.0, 3.0], [-9.0, 2.0, 3.0]]),
        "numbers_mask": torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]),
    }
    with torch.no_grad():
        known, missing, same = run(chosen, model, batch)[1]
    assert torch.allclose(missing, same)
    assert not torch.allclose(known, missing, atol=1e-4)


def test_pruned_models_are_smaller_and_reload(tiny: Path, tmp_path: Path) -> None:
    """Half of the heads and of the feed-forward width go; the checkpoint reloads to the same function."""
    _, model = load_family(started("bert", tiny, tmp_path / "whole"))
    batch: dict[str, Any] = {
        "input_ids": torch.randint(1000, 2000, (2, 12)),
        "attention_mask": torch.ones(2, 12, dtype=torch.long),
        "token_type_ids": torch.zeros(2, 12, dtype=torch.long),
    }
    before = sum(p.numel() for p in model.bert.encoder.parameters())
    gather_gradients(model, [batch], lambda m, b: run(family("bert"), m, b)[1].square().mean())
    prune_heads(model, 0.5)
    prune_feed_forward(model, 0.5)
    assert sum(p.numel() for p in model.bert.encoder.parameters()) < 0.6 * before
    model.save_pretrained(tmp_path / "pruned")
    chosen, again = load_family(tmp_path / "pruned")
    with torch.no_grad():
        assert torch.allclose(run(chosen, model, batch)[1], run(chosen, again, batch)[1], atol=1e-6)


def test_pruning_takes_what_matters_least(tiny: Path, tmp_path: Path) -> None:
    """Feed-forward columns that are zero go first: the function stays."""
    _, model = load_family(started("bert", tiny, tmp_path / "whole"))
    for layer in model.bert.encoder.layer:
        layer.output.dense.weight.data[:, ::2] = 0
    batch: dict[str, Any] = {
        "input_ids": torch.randint(1000, 2000, (2, 12)),
        "attention_mask": torch.ones(2, 12, dtype=torch.long),
        "token_type_ids": torch.zeros(2, 12, dtype=torch.long),
    }
    with torch.no_grad():
        expected = run(family("bert"), model, batch)[1]
    gather_gradients(model, [batch], lambda m, b: run(family("bert"), m, b)[1].square().mean())
    prune_feed_forward(model, 0.5)
    with torch.no_grad():
        assert torch.allclose(expected, run(family("bert"), model, batch)[1], atol=1e-5)


def test_a_trimmed_vocabulary_changes_nothing_where_its_pieces_stayed(tiny: Path, tmp_path: Path) -> None:
    """Kept texts give the same logits; other words fall into smaller pieces, none becomes unknown."""
    known = "the patient takes metformin for diabetes."
    _, model = load_family(started("bert", tiny, tmp_path / "whole"))
    source = tmp_path / "whole" / "tokenizer.json"
    kept = kept_pieces(source, [known], 1)
    trim_tokenizer(source, tmp_path / "tokenizer.json", kept)
    before, after = WordPieces(source), WordPieces(tmp_path / "tokenizer.json")

    def logits(pieces: WordPieces, text: str) -> np.ndarray:
        ids = torch.tensor([[pieces.cls, *pieces(text).ids.tolist(), pieces.sep]])
        with torch.no_grad():
            answer: np.ndarray = model(
                input_ids=ids, attention_mask=torch.ones_like(ids), token_type_ids=torch.zeros_like(ids)
            ).logits.numpy()
        return answer

    expected = logits(before, known)
    trim_embeddings(model, kept)
    assert len(kept) < 5000
    assert np.allclose(expected, logits(after, known), atol=1e-6)
    unseen = "Electroencephalography showed Zürich 42 hypokalaemia"
    tokens = after(unseen)
    assert after.id_of("[UNK]") not in tokens.ids
    assert "".join(unseen[a:b] for a, b in zip(tokens.start, tokens.end, strict=True)) == unseen.replace(" ", "")
