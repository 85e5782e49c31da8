"""Losses over token examples."""

from __future__ import annotations

import torch
from torch.nn import functional


def spoken(weight: torch.Tensor) -> torch.Tensor:
    """Pieces about which the labels say something: neither padding nor everything allowed."""
    return weight.any(-1) & ~(weight == 1).all(-1)


def marginal_loss(logits: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Mean of ``-log sum(weight * probability)`` over pieces with a statement; cross-entropy where one label is allowed."""
    some = spoken(weight)
    scores = logits.float()[some]
    inside = (scores + weight[some].log()).logsumexp(-1)
    return (scores.logsumexp(-1) - inside).mean()


def distillation_loss(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor, temperature: float) -> torch.Tensor:
    """``T^2 * KL(teacher || student)`` per real piece (Hinton et al. 2015)."""
    keep = mask.bool()
    target = functional.log_softmax(teacher.float()[keep] / temperature, -1)
    guess = functional.log_softmax(student.float()[keep] / temperature, -1)
    return functional.kl_div(guess, target, reduction="batchmean", log_target=True) * temperature**2
