"""The site's subscriptions, from the YAML file that ``subscriptions.file`` names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from agents.publish.fhir_sender import check_address
from schemas.errors import ConfigurationError

#: Canonical of the one topic there is: a message brought results of the wanted types.
TOPIC = "https://wardstream.org/fhir/SubscriptionTopic/results"
_SETTING = "subscriptions.file"
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")
_OURS = frozenset({"content-type", "content-length", "host", "transfer-encoding", "connection"})


class Subscription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One subscriber; ``name`` is the id of its Subscription.

    ``results``: de-identified Bundles or those released for the EHR. ``resources``: types whose arrival is an event. ``server``: base address
    of the FHIR server where they are found. ``heartbeat_s``: silence after which a heartbeat is sent. ``header_file``: lines ``Name: value``.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9-]{1,64}\Z")]
    endpoint: str
    results: Literal["deid", "released"]
    content: Literal["empty", "id-only", "full-resource"] = "id-only"
    resources: tuple[str, ...] = ("DetectedIssue", "RiskAssessment")
    server: str | None = None
    heartbeat_s: Annotated[float, msgspec.Meta(gt=0)] | None = None
    header_file: str | None = None

    @property
    def reference(self) -> str:
        return f"Subscription/{self.name}"


class _Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    api_version: Literal["subscriptions/v1"]
    subscriptions: tuple[Subscription, ...]


def load(path: Path) -> tuple[Subscription, ...]:
    """Raises ConfigurationError naming the setting and what is wrong, never an address.

    ``full-resource`` is for de-identified results alone: notifications wait in the store, and identities lie there under the vault's keys only.
    """
    try:
        form = msgspec.yaml.decode(path.read_bytes(), type=_Form)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        detail = str(error) if isinstance(error, msgspec.ValidationError) else "cannot be read"
        raise ConfigurationError(path=_SETTING, detail=detail) from None
    names = [one.name for one in form.subscriptions]
    if len(set(names)) != len(names):
        raise ConfigurationError(path=_SETTING, detail="two subscriptions have one name")
    for one in form.subscriptions:
        check_address(one.endpoint, f"{_SETTING}.{one.name}.endpoint")
        if one.server is not None:
            check_address(one.server, f"{_SETTING}.{one.name}.server")
        if one.results == "released" and one.content == "full-resource":
            raise ConfigurationError(path=f"{_SETTING}.{one.name}.content", detail="full-resource is for de-identified results")
    return form.subscriptions


def headers(path: str | None, name: str) -> dict[str, str]:
    """What is sent with every notification. Raises ConfigurationError, without the line."""
    if path is None:
        return {}
    try:
        lines = [line for line in Path(path).read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(path=f"{_SETTING}.{name}.header_file", detail="cannot be read") from None
    found = [_HEADER.fullmatch(line) for line in lines]
    rows = {match[1]: match[2] for match in found if match is not None and match[1].lower() not in _OURS}
    if len(rows) != len(lines):
        raise ConfigurationError(path=f"{_SETTING}.{name}.header_file", detail="lines of the form Name: value are needed")
    return rows
