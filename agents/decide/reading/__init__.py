"""What a fact, a mention, a drug name or a unit means for a rule's input."""
