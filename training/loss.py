"""Losses over batches of examples."""

from __future__ import annotations

import torch
from torch.nn import functional


def spoken(weight: torch.Tensor) -> torch.Tensor:
    """Pieces about which the labels say something: neither padding nor everything allowed."""
    return weight.any(-1) & ~(weight == 1).all(-1)


def marginal_loss(logits: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Mean of ``-log sum(weight * probability)`` over pieces with a statement; cross-entropy where one label is allowed.

    0, with a gradient of 0, where no piece has one. Padding is masked rather than cut out, so that shapes stay fixed.
    """
    some = spoken(weight)
    scores = logits.float()
    inside = (scores + weight.clamp_min(1e-9).log()).logsumexp(-1)
    each = (scores.logsumexp(-1) - inside) * some
    return each.sum() / some.sum().clamp_min(1)


def class_loss(logits: torch.Tensor, target: torch.Tensor, *, multi_label: bool) -> torch.Tensor:
    """Cross-entropy over classes, or the mean of independent binary ones; ``target`` rows x labels, 0 or 1.

    NaN (independent classes alone): not known, counts for nothing; 0, with a gradient of 0, where nothing is known.
    """
    if multi_label:
        known = ~target.isnan()
        each = functional.binary_cross_entropy_with_logits(logits.float(), target.nan_to_num(), reduction="none")
        return (each * known).sum() / known.sum().clamp_min(1)
    return functional.cross_entropy(logits.float(), target.argmax(-1))


def distillation_loss(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor, temperature: float) -> torch.Tensor:
    """``T^2 * KL(teacher || student)`` averaged over ``mask`` (Hinton et al. 2015)."""
    target = functional.log_softmax(teacher.float() / temperature, -1)
    guess = functional.log_softmax(student.float() / temperature, -1)
    each = functional.kl_div(guess, target, reduction="none", log_target=True).sum(-1) * mask
    return each.sum() / mask.sum().clamp_min(1) * temperature**2


def binary_distillation_loss(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """The same for independent classes: binary cross-entropy against the teacher's softened probabilities."""
    target = torch.sigmoid(teacher.float() / temperature)
    return functional.binary_cross_entropy_with_logits(student.float() / temperature, target) * temperature**2


def hidden_loss(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of hidden states (batch x length x width) over ``mask`` (batch x length)."""
    each = (student.float() - teacher.float()).square().mean(-1) * mask
    return each.sum() / mask.sum().clamp_min(1)
