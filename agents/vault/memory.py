"""The vault without a store: same code, rows in this process. Offline annotation and tests."""

from __future__ import annotations

from agents.vault.vault import TokenVault, memory_vault


def MemoryVault(*, seed: int | None = None) -> TokenVault:  # noqa: N802 - stands where a class would
    """See ``vault.memory_vault``."""
    return memory_vault(seed)
