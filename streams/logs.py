"""Logs that cannot hold a patient: JSON lines whose keys are on a list, and third-party records without their arguments.

A field that is not on the list is dropped, so that a new call site leaks nothing before somebody has thought about it. What
libraries log is reduced to where it was logged and its unformatted template: arguments can quote records, keys, commands.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from pathlib import PurePath
from typing import Any, Literal, TextIO

import structlog

#: Counts, codes, ids, names of our own things; never text, keys, values or headers of a record.
ALLOWED_KEYS: frozenset[str] = frozenset(
    {
        "event", "level", "timestamp", "logger", "where", "template",
        "stage", "stages", "topic", "partition", "partitions", "offset", "group", "record_id", "origin",
        "reason", "path", "error_type", "attempt", "attempts", "count", "records", "outputs", "seconds", "delay_s",
        "exit_code", "pid", "port", "host", "version", "model", "policy", "setting", "detail", "status", "lag", "age_s",
        "connection", "code", "method", "bytes", "signal",
    }
)  # fmt: skip

_QUIET = (
    "faust",
    "mode",
    "aiokafka",
    "librdkafka",
    "kafka",
    "asyncio",
    "httpx",
    "httpcore",
    "uvicorn",
    "redis",
    "fhir",
    "urllib3",
)

EventDict = MutableMapping[str, Any]


def drop_unlisted(_logger: Any, _name: str, event: EventDict) -> EventDict:
    """structlog processor: keep listed keys with plain scalar values (lists of them too), drop everything else."""
    return {key: value for key, value in event.items() if key in ALLOWED_KEYS and _plain(value)}


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float | bool)


def describe(error: BaseException) -> dict[str, str]:
    """Type and place of an exception, without its text: ``{"error_type": ..., "where": "step.py:41"}``."""
    trace = error.__traceback__
    where = ""
    while trace is not None:
        where = f"{PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return {"error_type": type(error).__name__, "where": where}


class ForeignFormatter(logging.Formatter):
    """Third-party log records as JSON: logger, level, place, and the template only where it has arguments apart from it."""

    def __init__(self, renderer: structlog.types.Processor) -> None:
        super().__init__()
        self._render = renderer

    def format(self, record: logging.LogRecord) -> str:
        event: EventDict = {
            "event": "library",
            "level": record.levelname.lower(),
            "logger": record.name,
            "where": f"{PurePath(record.pathname).name}:{record.lineno}",
        }
        if record.name == "librdkafka" and isinstance(record.args, tuple) and record.args:
            event["code"] = str(record.args[0])  # its facility: FAIL, CONNECT, GETSUBSCRIPTIONS; the text names brokers only
        elif record.args and isinstance(record.msg, str):
            event["template"] = record.msg[:200]
        if record.exc_info and record.exc_info[1] is not None:
            event["error_type"] = type(record.exc_info[1]).__name__
        event = structlog.processors.TimeStamper(fmt="iso", utc=True)(None, "", event)
        return str(self._render(None, "", event))


def configure(
    log_format: Literal["json", "console"] = "json", level: str = "INFO", *, stream: TextIO | None = None
) -> structlog.typing.FilteringBoundLogger:
    """Set the process's logging up and return the logger of our own code. Call once, at start."""
    out = stream or sys.stderr
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if log_format == "json" else structlog.dev.ConsoleRenderer(colors=out.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            drop_unlisted,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(ForeignFormatter(renderer))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _QUIET:
        foreign = logging.getLogger(name)
        foreign.handlers.clear()
        foreign.propagate = True
        foreign.setLevel(logging.WARNING)
    # wrong-way tracebacks: the default hook prints exception texts
    sys.excepthook = lambda _kind, error, _trace: structlog.get_logger().critical("crashed", **describe(error))
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger
