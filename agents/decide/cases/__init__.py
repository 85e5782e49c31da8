"""One case for each index of a rule: what a condition finds in it, and the evidence for that."""
