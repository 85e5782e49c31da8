"""The only place that knows which token stands for whom. Used by ``agents.deidentify`` and by the audited release."""
