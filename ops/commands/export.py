"""``wardstream export``: one step of the model factory."""

from ops.recipe_command import recipe_command

command = recipe_command(
    "export", "Export the recipe's checkpoint to ONNX and prove parity at shapes away from the traced one; exit 1 without it."
)
