"""Draft orders beside what the EHR says of the patient: the rules on medicines, run on the request alone. Nothing is stored, nothing is sent.

The door of CDS Hooks calls this through a function that the command hands it: doors do not know stages.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from agents.decide.context import PatientContext, merge
from agents.decide.ruleset import RuleSet
from agents.decide.step import Decider
from agents.publish.cards import card, with_cancellation
from schemas.cards import CheckedCard, DraftCheck
from schemas.clinical import Fact
from schemas.fhir.facts import read_facts
from schemas.findings import Findings
from schemas.ids import derived_id, source_id
from streams.settings import Settings

#: Rules that judge a medication beside the record; scores and results are the stream's business.
RULES = frozenset({"drug.allergy", "drug.contraindication", "drug.dose", "drug.duplicate", "drug.interaction"})
_STAGE = "order-check"
_SUBJECT = "draft"
_UNNAMED = "unnamed"
#: A year alone, a month, a day; times of the day and their zones as FHIR writes them.
_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")


class OrderChecker:
    """Safe to use from several threads at once."""

    def __init__(self, rules: RuleSet) -> None:
        self._decider = Decider(dataclasses.replace(rules, rules=tuple(r for r in rules.rules if r.form.id in RULES)))

    def check(self, request: DraftCheck, now: datetime) -> tuple[CheckedCard, ...]:
        """A card for each issue that a chosen draft has with the record, another draft or itself; each suggests to take that draft away.

        Medications of the record are taken as current whatever their date: the EHR sent them as such. ``now``: for the age of results.
        The same request gives the same cards. Resources that cannot be read give nothing; other kinds than facts are passed over.
        """
        record = [*_facts("record", request.record, now), *map(_ordered, _facts("draft", request.drafts, now))]
        chosen = [_ordered(fact) for fact in _facts("chosen", request.chosen, now) if fact.kind == "medication"]
        if not chosen:
            return ()
        own = {fact.id for fact in chosen}
        context = merge(PatientContext(), self._message("record", [fact for fact in record if fact.id not in own], request, now))
        decision, _ = self._decider.decide(self._message("drafts", chosen, request, now), context)
        found = []
        for flag in decision.flags:
            about = {row.ref for row in flag.basis.inputs} & own
            drafts = sorted(ref for ref in about if not ref.startswith(_UNNAMED))
            products = sorted({_product(fact) for fact in chosen if fact.id in about})
            found.append(CheckedCard(type=flag.type, card=with_cancellation(card(flag), drafts), products=tuple(products)))
        return tuple(found)

    def _message(self, name: str, facts: list[Fact], request: DraftCheck, now: datetime) -> Findings:
        content = hashlib.sha256(msgspec.json.encode((name, facts, request.birth_date, request.sex))).hexdigest()
        origin = source_id(_STAGE, content)
        return Findings(
            id=derived_id(origin, _STAGE),
            origin=origin,
            subject=_SUBJECT,
            format="fhir",
            kind="Bundle",
            time="",
            elapsed=_minutes(now),
            age_years=_age(request.birth_date, now),
            sex=request.sex,
            facts=tuple(facts),
        )


def _facts(place: str, resources: Sequence[dict[str, Any]], now: datetime) -> list[Fact]:
    """Every resource is one of its own, also where the EHR gave it no id yet."""
    found = []
    for number, resource in enumerate(resources):
        for timed in read_facts(resource):
            fact = timed.fact
            name = f"{_UNNAMED}/{place}/{number}/{fact.id[1:]}" if fact.id.startswith("#") else fact.id
            when = None if fact.kind == "medication" else _instant(fact.time)
            elapsed = _minutes(now) if when is None else min(_minutes(when), _minutes(now))
            found.append(msgspec.structs.replace(fact, id=name, time="", elapsed=elapsed))
    return found


def _ordered(fact: Fact) -> Fact:
    """A draft as if it were given: that is what is asked."""
    return msgspec.structs.replace(fact, status="active") if fact.kind == "medication" else fact


def _product(fact: Fact) -> str:
    return ",".join(sorted(f"{one.system}|{one.code}" for one in fact.codes if one.code)) or fact.text


def _minutes(when: datetime) -> int:
    return int(when.timestamp()) // 60


def _instant(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        date = _DATE.fullmatch(text)
        return None if date is None else datetime(int(date[1]), int(date[2] or 1), int(date[3] or 1), tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _age(birth_date: str, now: datetime) -> int | None:
    """Whole years; of a bare year or month the least that it can be."""
    found = _DATE.fullmatch(birth_date)
    if found is None:
        return None
    year, month, day = int(found[1]), int(found[2] or 12), int(found[3] or 31)
    return max(0, now.year - year - ((now.month, now.day) < (month, day)))


def make_checker(settings: Settings) -> OrderChecker:
    """The checker with the shipped rules and the site's. Raises ConfigurationError naming file and path."""
    return OrderChecker(RuleSet.of_site(settings.decide))
