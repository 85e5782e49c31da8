"""The policy's HL7 part as tables: for every standard segment one compiled rule a field. Made once per process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from agents.deidentify.policy import ByType, Hl7Policy
from agents.deidentify.policy import Hl7Rule as Written
from schemas.hl7 import tables
from schemas.hl7.header import HEADERS

#: Methods that give the same for the same in every message that knows nothing of it.
_CONSTANT = frozenset({"code", "term", "display", "comparator", "state", "zip3", "country"})
#: Methods that give the same for the same in one message, whatever path it stands on.
_REPEATABLE = _CONSTANT | {"token", "practitioner", "organization", "message_token"}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One method for the whole repetition (text) or its first leaf (everything else)."""

    method: str

    @property
    def repeatable(self) -> bool:
        return self.method in _REPEATABLE

    @property
    def constant(self) -> bool:
        return self.method in _CONSTANT


#: One object a method, so that rules compare by identity.
leaf = cache(Leaf)


@dataclass(frozen=True, slots=True)
class Components:
    """A rule by component, from 1; ``None`` and what is beyond are redacted."""

    rules: tuple[Leaf | Components | None, ...]

    @property
    def repeatable(self) -> bool:
        """Whether equal fields of one message always become equal: nothing is noted by path."""
        return all(rule is None or rule.repeatable for rule in self.rules)

    @property
    def constant(self) -> bool:
        """Whether equal fields of any two messages become equal, as far as neither knows a word of them."""
        return all(rule is None or rule.constant for rule in self.rules)


@dataclass(frozen=True, slots=True)
class Typed:
    """A field whose rule depends on what another field of the segment says."""

    field: int
    cases: Mapping[str, Leaf | Components | None]
    default: Leaf | Components | None


Rule = Leaf | Components | None


@dataclass(frozen=True, slots=True)
class Row:
    """One field. ``repeatable``, ``constant``: see ``Components``; ``digits_stay``: a few digits alone are no identifier."""

    label: str
    rule: Rule | Typed
    repeatable: bool
    constant: bool
    digits_stay: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """How one kind of segment is gone through.

    Attributes:
        rows: of the fields 1..n.
        constants: fields whose rows are ``constant``, from 2 on.
        others: the other fields with their rows.
    """

    rows: tuple[Row, ...]
    constants: tuple[int, ...]
    others: tuple[tuple[int, Row], ...]


class Hl7Rules:
    """``of(segment id)``: rows of the fields 1..n; ``None`` for a segment that no version of the standard has. ``plan``: the same, sorted."""

    def __init__(self, policy: Hl7Policy) -> None:
        self._policy = policy
        self.of = cache(self._of)
        self.plan = cache(self._plan)

    def _of(self, segment: str) -> tuple[Row, ...] | None:
        kinds = tables.field_types(segment)
        if not kinds:
            return None
        rows: list[Row] = []
        for position, kind in enumerate(kinds, 1):
            label = f"{segment}-{position}"
            rule = self._field(label, kind)
            known = not isinstance(rule, Typed) and rule is not None
            rows.append(
                Row(
                    label,
                    rule,
                    repeatable=known and rule.repeatable,  # type: ignore[union-attr]
                    constant=known and rule.constant,  # type: ignore[union-attr]
                    digits_stay=isinstance(rule, Leaf) and rule.method in ("number", "scrub", "code"),
                )
            )
        return tuple(rows)

    def _plan(self, segment: str) -> Plan | None:
        rows = self.of(segment)
        if rows is None:
            return None
        placed = [
            row for row in enumerate(rows, 1) if row[0] > 2 or segment not in HEADERS
        ]  # a header's delimiters are no fields
        return Plan(
            rows,
            constants=tuple(position for position, row in placed if row.constant and position > 1),
            others=tuple((position, row) for position, row in placed if not row.constant or position == 1),
        )

    def _field(self, path: str, kind: str | None) -> Rule | Typed:
        written = self._policy.fields.get(path)
        if isinstance(written, ByType):
            cases = {name: self._compiled(rule) for name, rule in written.cases.items()}
            return Typed(written.field, cases, self._compiled(written.default))
        return self._compiled(written) if written is not None else self._datatype(kind, 0)

    def _datatype(self, kind: str | None, depth: int) -> Rule:
        if kind is None or depth > 2:
            return None
        written = self._policy.datatypes.get(kind)
        if written is not None:
            return self._compiled(written)
        parts = tuple(self._datatype(part, depth + 1) for part in tables.component_types(kind))
        return Components(parts) if any(parts) else None

    @staticmethod
    def _compiled(written: Written) -> Rule:
        if isinstance(written, str):
            return None if written == "redact" else leaf(written)
        last = max(written)
        return Components(tuple(leaf(m) if (m := written.get(n, "redact")) != "redact" else None for n in range(1, last + 1)))
