"""How a model is made and released; nothing that serves imports it."""
