"""``wardstream pretrain``: the encoder goes on reading medical text."""

from training.pretrain import pretrain as run

__all__ = ["run"]
