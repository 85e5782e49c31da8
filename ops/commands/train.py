"""``wardstream train``: one step of the model factory."""

from ops.recipe_command import recipe_command

command = recipe_command("train", "Fine-tune the recipe's family on its task; an interrupted run goes on where it stopped.")
