"""Tokens and the identities behind them. Read by de-identification, which makes them, and by the audited release; by nobody else."""
