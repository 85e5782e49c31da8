"""What a rule reads of a patient: measured values, stated codes or phrases, medications, allergies."""

from __future__ import annotations

from decimal import Decimal

from agents.decide.form.base import Code, Form, Hours, Plausible
from schemas.clinical import FactKind
from schemas.findings import MentionType


class Measure(Form, frozen=True, kw_only=True, tag="measure", tag_field="is"):
    """A measured number. ``analyte`` names the row of ``units.py``; ``answers`` gives coded or written answers their number."""

    codes: tuple[Code, ...]
    analyte: str
    plausible: Plausible
    kinds: tuple[FactKind, ...] = ("lab", "vital", "score")
    answers: dict[str, Decimal] = {}


class Asserted(Form, frozen=True, kw_only=True):
    """Which assertions a mention may carry and still count. By default: present, certain, current, the patient's."""

    negated: bool = False
    possible: bool = False
    historical: bool = False
    hypothetical: bool = False
    family: bool = False


class Statement(Form, frozen=True, kw_only=True, tag="statement", tag_field="is"):
    """A coded fact or a mention. Either ``codes`` or one of ``terms`` (whole words, any case) must match.

    ``not_terms``: a text with one of these is not taken, whatever else it says ("accidental overdose").
    ``inferred``: a mention's codes that a vocabulary linked to its text count too. ``past``: facts that are resolved, inactive or not certain
    count too; refuted ones and errors never.
    """

    codes: tuple[Code, ...] = ()
    terms: tuple[str, ...] = ()
    not_terms: tuple[str, ...] = ()
    inferred: bool = False
    past: bool = False
    facts: tuple[FactKind, ...] = ()
    mentions: tuple[MentionType, ...] = ()
    assertion: Asserted = Asserted()
    sections: tuple[str, ...] = ()
    not_sections: tuple[str, ...] = ()


class Medications(Form, frozen=True, kw_only=True, tag="medications", tag_field="is"):
    """What the patient is given: medication facts that are not stopped, and asserted medication mentions."""

    lookback_hours: Hours
    assertion: Asserted = Asserted()


class Allergies(Form, frozen=True, kw_only=True, tag="allergies", tag_field="is"):
    """What the patient does not tolerate: allergy facts, mentions in an allergy section or beside the word."""

    assertion: Asserted = Asserted(possible=True, historical=True)


InputForm = Measure | Statement | Medications | Allergies
