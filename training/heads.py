"""Several heads on one encoder: further token tasks are learned along and their heads dropped afterwards (Caruana 1997)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import torch

from training.batches import Batch
from training.families import Family, run

HEAD = "head"


class WithHeads(torch.nn.Module):
    """A token-classification model with further heads over the same last hidden states, chosen by name."""

    def __init__(self, family: Family, model: torch.nn.Module, labels: dict[str, int], width: int) -> None:
        super().__init__()
        self.family, self.model = family, model
        self.heads = torch.nn.ModuleDict({name: torch.nn.Linear(width, count) for name, count in labels.items()})

    def forward(self, batch: Batch) -> torch.Tensor:
        """Logits of the batch's head: its own name, or the model's where it names none."""
        hidden, logits = run(self.family, self.model, batch)
        name = batch.get(HEAD, "")
        chosen: torch.Tensor = self.heads[name](hidden) if name else logits
        return chosen


def mixed(
    main: Callable[[int], Iterator[Batch]], others: dict[str, tuple[Callable[[int], Iterator[Batch]], float]], seed: int
) -> Callable[[int], Iterator[Batch]]:
    """Epochs of ``main`` with batches of the other tasks in between: so many, of all batches, as each one's share says (0 to 1)."""

    def epoch(number: int) -> Iterator[Batch]:
        random = Random(f"{seed}/{number}/heads")
        going = {name: other(number) for name, (other, _) in others.items()}
        rest = 1 - sum(share for _, share in others.values())
        for batch in main(number):
            yield batch
            for name, (other, share) in others.items():
                if random.random() < share / rest:
                    drawn = next(going[name], None)
                    if drawn is None:  # a smaller task begins anew
                        going[name] = other(number)
                        drawn = next(going[name])
                    yield drawn | {HEAD: name}

    return epoch
