"""What a rule file and a table may say, and nothing else."""
