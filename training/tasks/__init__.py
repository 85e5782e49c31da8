"""What the models are taught, one module a task: its training texts, its development sets, its figures."""
