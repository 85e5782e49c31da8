"""``wardstream evaluate``: one step of the model factory."""

from ops.recipe_command import recipe_command

command = recipe_command("evaluate", "Score the recipe's graphs on the development sets and write its report.")
