"""``wardstream quantize``: the int8 graphs for CPUs."""

from __future__ import annotations

from models.bundle import DECODER, ENCODER, MODEL
from training.export import PARITY
from training.parity import parity, parity_of_generation, parity_table
from training.quantize import quantize
from training.recipe import Recipe


def run(recipe: Recipe) -> None:
    """Quantize every exported graph, and add the result to the parity report."""
    folder = recipe.checkpoint
    for name in (MODEL, ENCODER, DECODER):
        source = folder / name.replace(".onnx", ".fp32.onnx")
        if source.exists():
            quantize(source, folder / name, recipe.keep_float)
    found = (
        parity(folder, {"int8": folder / MODEL})
        if (folder / MODEL).exists()
        else [parity_of_generation(folder, folder / ENCODER, folder / DECODER)]
    )
    table = parity_table(found)
    print(table)
    with (folder / PARITY).open("a", encoding="utf-8") as page:
        page.write(table.splitlines()[-1] + "\n")
