"""``wardstream prune``: one step of the model factory."""

from ops.recipe_command import recipe_command

command = recipe_command("prune", "Take heads, feed-forward width, layers and word pieces out of the recipe's start.")
