"""``wardstream pretrain``: one step of the model factory."""

from ops.recipe_command import recipe_command

command = recipe_command("pretrain", "Go on pretraining the encoder on free medical text (masked words).")
