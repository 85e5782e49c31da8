"""``wardstream distil``: one step of the model factory."""

from ops.recipe_command import recipe_command

command = recipe_command("distil", "Teach the recipe's student by its teachers: logits, hidden states, gold labels.")
