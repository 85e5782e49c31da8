"""int8 for CPUs: ``python -m training.quantize recipe.toml``.

Dynamic, signed, per channel, constant weights only: the variant that kept the most F1 (unsigned or per-tensor weights lose
0.4 to 0.6 points, static calibration 1.3) and the fastest on VNNI.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import QuantType, quantize_dynamic

from models.tokens import Tokens, WordPieces
from training.data.corpora import data_folder, entity_development
from training.recipe import load_recipe

LEAST_AGREEMENT = 0.98


def quantize(source: Path, target: Path) -> None:
    """Write the int8 graph of the unfused float32 graph ``source``."""
    options = {"MatMulConstBOnly": True, "DefaultTensorType": 1}
    quantize_dynamic(source, target, per_channel=True, weight_type=QuantType.QInt8, extra_options=options)


def agreement(source: Path, target: Path, texts: list[Tokens], pieces: WordPieces) -> float:
    """Share of word pieces to which both graphs give the same label, over the first windows of the texts."""
    sessions = [ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]) for path in (source, target)]
    same = total = 0
    for tokens in texts:
        n = min(len(tokens), 126)
        ids = np.array([[pieces.cls, *tokens.ids[:n], pieces.sep]])
        shape = np.array([[0, *tokens.shape[:n], 0]])
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": shape}
        one, other = (session.run(["logits"], feed)[0][0, 1:-1].argmax(-1) for session in sessions)
        same += int((one == other).sum())
        total += n
    return same / total


def main(path: str) -> None:
    """Quantize the recipe's export; exit 1 when int8 labels differ too often from float32 ones."""
    folder = load_recipe(Path(path)).checkpoint
    source, target = folder / "model.fp32.onnx", folder / "model.onnx"
    quantize(source, target)
    pieces = WordPieces(folder / "tokenizer.json")
    documents = entity_development(data_folder())
    share = agreement(source, target, [pieces(d.text) for name in ("maccrobat", "ncbi") for d in documents[name]], pieces)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB, same label as float32 on {share:.2%} of word pieces")
    if share < LEAST_AGREEMENT:
        sys.exit(f"int8 differs too often: {share:.2%} < {LEAST_AGREEMENT:.0%}")


if __name__ == "__main__":
    main(sys.argv[1])
