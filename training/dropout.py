"""Dropout for training on CPUs: one mask a row, shared by all its positions (Gal and Ghahramani 2016).

A fresh random number for every activation took a quarter of a training step on a CPU; attention dropout costs the fused kernels.
"""

from __future__ import annotations

import torch


class SequenceDropout(torch.nn.Module):
    """Drops whole features of a row (batch x length x features); like ``Dropout`` elsewhere."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` with a share ``p`` of its features set to 0 and the rest scaled by 1 / (1 - p); unchanged in evaluation."""
        if not self.training or self.p == 0:
            return x
        size = (x.shape[0], *(1 for _ in x.shape[1:-1]), x.shape[-1])
        keep = torch.rand(size, device=x.device) >= self.p
        return x * (keep.to(x.dtype) / (1 - self.p))


def use_sequence_dropout(model: torch.nn.Module, p: float) -> None:
    """Replace every dropout of ``model``: attention weights are no longer dropped, features by ``SequenceDropout``."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.Dropout):
                inside_attention = type(module).__name__.endswith("SelfAttention") or type(module).__name__.endswith(
                    "RelativeAttention"
                )
                setattr(module, name, SequenceDropout(0.0 if inside_attention else p))
        if hasattr(module, "dropout_prob"):
            module.dropout_prob = 0.0
