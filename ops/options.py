"""Values that several commands read from their options."""

from __future__ import annotations

from datetime import datetime

import click


def instant(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    """An aware ISO 8601 instant; ``None`` where the option is not given. Raises click.BadParameter."""
    return None if text is None else instant_of(text)


def instant_of(text: str) -> datetime:
    """Raises click.BadParameter."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter("an ISO 8601 instant is needed") from None
    if found.tzinfo is None:
        raise click.BadParameter("the instant needs a time zone, such as Z or +01:00")
    return found
