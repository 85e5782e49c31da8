"""``wardstream quantize``: one step of the model factory."""

from ops.recipe_command import recipe_command

command = recipe_command("quantize", "Make the int8 graph from the exported one.")
