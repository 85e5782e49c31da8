"""The training loop shared by fine-tuning and distillation."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

import torch
from transformers import BertForTokenClassification

from models.tokens import WordPieces
from training.batches import Batch, batches
from training.data.alignment import Example
from training.encoder import encoder_folder
from training.recipe import Recipe

Loss = Callable[[BertForTokenClassification, Batch], torch.Tensor]


def fit(model: BertForTokenClassification, corpora: dict[str, list[Example]], recipe: Recipe, loss_of: Loss) -> None:
    """Train in place (bf16 autocast, AdamW, linear schedule) and save the checkpoint with its tokenizer."""
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(1)
    random = Random(recipe.seed)
    pieces = WordPieces(encoder_folder() / "tokenizer.json")
    decay = [p for n, p in model.named_parameters() if p.ndim > 1]
    rest = [p for n, p in model.named_parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}], lr=recipe.learning_rate, fused=True
    )
    per_epoch = sum(
        1 for _ in batches(sample(corpora, recipe, Random(recipe.seed)), pieces, recipe.batch_tokens, Random(recipe.seed))
    )
    total = max(1, int(per_epoch * recipe.epochs))
    began = time.monotonic()
    step, running = 0, 0.0
    model.train()
    while step < total:
        for batch in batches(sample(corpora, recipe, random), pieces, recipe.batch_tokens, random):
            done = step / total
            if recipe.minutes:
                done = max(done, (time.monotonic() - began) / 60 / recipe.minutes)
            if step >= total or done >= 1:
                step = total
                break
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * min(1.0, step / (0.06 * total + 1)) * (1 - done)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = loss_of(model, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            running = loss.item() if step == 0 else 0.98 * running + 0.02 * loss.item()
            step += 1
            if step % 50 == 0:
                print(f"{recipe.name} step {step}/{total} loss {running:.4f} {time.monotonic() - began:.0f} s", flush=True)
    model.eval()
    recipe.checkpoint.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(recipe.checkpoint)
    (recipe.checkpoint / "tokenizer.json").write_bytes((encoder_folder() / "tokenizer.json").read_bytes())


def sample(corpora: dict[str, list[Example]], recipe: Recipe, random: Random) -> list[Example]:
    """The examples of one epoch: each corpus whole as often as its repeat says, the fraction drawn at random."""
    chosen: list[Example] = []
    for name, examples in corpora.items():
        times = recipe.repeats.get(name, 1.0)
        chosen += examples * int(times)
        chosen += random.sample(examples, int(len(examples) * (times % 1.0)))
    return chosen
