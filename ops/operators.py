"""Who sits at the terminal, and whether that account has the role for what it asks (``operators`` of the settings).

The account is the operating system's, not what somebody says; the settings file must be writable for its administrators alone. Whoever has the
key-encryption key and the store could do without this command, so those rights are the lock, and this is the book of who may use it.
"""

from __future__ import annotations

import os
import pwd
from typing import Literal

import click

from agents.vault.tokens import is_token
from streams.settings import Settings

Role = Literal["reidentify", "decrypt", "erase", "redrive", "read_letters", "release", "review"]


def account() -> str:
    """The account that runs this process; behind sudo, the one that called it."""
    if os.getuid() == 0 and (caller := os.environ.get("SUDO_USER")):
        return caller
    return pwd.getpwuid(os.getuid()).pw_name


def has_role(settings: Settings, role: Role) -> bool:
    return account() in getattr(settings.operators, role)


def require_token(text: str) -> None:
    """A patient's number in a token's place would stand in the audit log. Raises click.UsageError, which does not repeat it."""
    if not is_token(text):
        raise click.UsageError("TOKEN is a token of the vault: 15 letters and digits")


def no_role(role: Role) -> click.ClickException:
    return click.ClickException(f"this account has not the role operators.{role}; the attempt was recorded")


def named(on_behalf: str | None) -> str:
    """How the audit log calls who acts: the account, and the person that a shared account says it acts for."""
    return account() if on_behalf in (None, account()) else f"{account()} for {on_behalf}"
