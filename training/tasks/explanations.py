"""Ways to say a flag's reason, with slots in place of the evidence (``models.reasons``): a tiny T5 learns to choose among them."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from models.reasons import FILLED, KINDS, SLOTS, Evidence, accepted, delexicalise
from training.data.corpora import Source
from training.data.document import TextPair
from training.tasks.texts import part

_LISTS: Final[dict[str, Any]] = tomllib.loads((Path(__file__).with_suffix(".toml")).read_text(encoding="utf-8"))
SOURCES: Final[tuple[Source, ...]] = ()
_UNKNOWN: Final = "<unk>"
PIECES: Final = 600  # the language of seven kinds of flags fits
_SLOT = re.compile(r"\{(\w+)\}")
_WORDS = re.compile(r"\w+|[^\w\s]")


def drawn(random: Random) -> Evidence:
    """Evidence of a made-up flag."""
    kind = random.choice(tuple(KINDS))
    values = _LISTS["values"]
    number = f"{random.uniform(0.5, 400):.1f}"
    unit = random.choice(values["unit"])
    first, second = random.sample(values["drug"], 2)
    some = {
        "test": random.choice(values["test"]), "value": f"{number} {unit}".strip(), "limit": f"{random.uniform(0.5, 400):.1f}", "baseline": f"{random.uniform(0.5, 2):.1f} mg/dL",
        "hours": f"{random.randint(6, 160)} hours", "stage": str(random.randint(1, 3)), "drug": first, "allergen": second,         "first": first, "second": second, "effect": random.choice(values["effect"]), "score": str(random.randint(5, 15)), "parts": random.choice(values["parts"]),
        "topic": random.choice(values["topic"]), "quote": random.choice(values["quote"]),
    }  # fmt: skip
    return Evidence(kind, {name: some[name] for name in KINDS[kind]["slots"]})


def _pair(name: str, evidence: Evidence, random: Random, *, development: bool) -> TextPair:
    names = KINDS[evidence.kind]["slots"]
    target = random.choice(part(_LISTS["kinds"][evidence.kind]["targets"], development=development))
    return TextPair(name, delexicalise(evidence)[0], _SLOT.sub(lambda m: SLOTS[names.index(m.group(1))], target))


def training(data: Path, *, count: int, seed: int) -> dict[str, list[TextPair]]:
    """``count`` pairs of delexicalised evidence and one way to say it."""
    random = Random(f"explanations/{seed}")
    return {"explanations": [_pair(f"explain-{k}", drawn(random), random, development=False) for k in range(count)]}


def development(data: Path, *, seed: int) -> dict[str, list[TextPair]]:
    """Evidence of every kind with phrasings that training never saw."""
    random = Random("explanations/development")
    return {"phrasings": [_pair(f"explain-dev-{k}", drawn(random), random, development=True) for k in range(200)]}


def train_tokenizer(seed: int) -> Tokenizer:
    """Byte-level pieces of the task's language, each slot one piece; the same for the same templates."""
    tokenizer = Tokenizer(models.BPE(unk_token=_UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=PIECES + 256,
        special_tokens=["<pad>", "</s>", _UNKNOWN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [text for pair in training(Path(), count=4000, seed=seed)["explanations"] for text in (pair.source, pair.target)]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(list(SLOTS))
    return tokenizer


def scores(name: str, pairs: Sequence[TextPair], written: Sequence[str]) -> dict[str, dict[str, float]]:
    """Share of outputs that the grounding check accepts with freshly drawn evidence, slot precision and recall, and chrF against
    an unseen phrasing (Popovic 2015; a different wording is no fault, so this is low by nature)."""
    random = Random(f"{name}/evidence")
    accepted_count = right = wrong = missed = 0
    overlap = []
    for pair, text in zip(pairs, written, strict=True):
        kind = pair.source.split(" | ")[0]
        evidence = next(e for e in iter(lambda: drawn(random), None) if e.kind == kind)
        accepted_count += accepted(text, evidence) is not None
        gold, given = set(FILLED.findall(pair.source)), set(FILLED.findall(text))
        right, wrong, missed = right + len(gold & given), wrong + len(given - gold), missed + len(gold - given)
        overlap.append(chrf(pair.target, text))
    return {
        f"{name}-all": {
            "accepted": round(accepted_count / max(1, len(pairs)), 4),
            "precision": round(right / max(1, right + wrong), 4),
            "recall": round(right / max(1, right + missed), 4),
            "f1": round(2 * right / max(1, 2 * right + wrong + missed), 4),
            "chrf": round(sum(overlap) / max(1, len(overlap)), 4),
            "support": float(right + missed),
        }
    }


def chrf(reference: str, text: str, longest: int = 6, beta: float = 2.0) -> float:
    """Character n-gram F score, 0 to 1, n from 1 to ``longest``, white space apart."""
    one, other = "".join(reference.split()), "".join(text.split())
    precisions, recalls = [], []
    for n in range(1, longest + 1):
        a, b = (Counter(s[k : k + n] for k in range(len(s) - n + 1)) for s in (one, other))
        same = (a & b).total()
        precisions.append(same / b.total() if b else 0.0)
        recalls.append(same / a.total() if a else 0.0)
    p, r = sum(precisions) / longest, sum(recalls) / longest
    return (1 + beta**2) * p * r / (beta**2 * p + r) if p + r else 0.0
