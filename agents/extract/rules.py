"""Patterns for what has a fixed form: doses, routes, frequencies, vital signs, laboratory values; and suicidality, by phrase.

Rule spans and model spans are united by ``unite``; the patterns are versioned and every mention names its source.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from schemas.clinical import Coding
from schemas.findings import MentionType

VERSION = "1.0.0"
SOURCE = f"rules/{VERSION}"
#: Drug attributes.
ATTRIBUTES: frozenset[MentionType] = frozenset({"dosage", "form", "route", "frequency", "duration"})
#: Types whose spans rules may replace: the patterns cut them finer than a tagger does.
_REFINED: frozenset[MentionType] = ATTRIBUTES | {"value", "test"}

ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
_SUICIDAL = Coding(system=ICD10CM, code="R45.851", display="Suicidal ideations")
_HOMICIDAL = Coding(system=ICD10CM, code="R45.850", display="Homicidal ideations")
_ATTEMPT = Coding(system=ICD10CM, code="T14.91", display="Suicide attempt")


@dataclass(frozen=True, slots=True)
class Span:
    """``fixed`` spans win over every other; ``group`` ties a test to its value (0 = none)."""

    start: int
    end: int
    type: MentionType
    score: float
    source: str
    codes: tuple[Coding, ...] = ()
    fixed: bool = False
    group: int = 0


_N = r"(?:\d{1,6}(?:,\d{3})*(?:\.\d+)?|\.\d+)"
_COUNT = r"(?:\d{1,3}|one|two|three|four|five|six|seven|eight|nine|ten|twelve|fourteen|several|a few)"
_PERIOD = r"(?:minutes?|mins?|hours?|hrs?|days?|weeks?|wks?|months?|mos?|years?|yrs?)"
_DOSE_UNIT = (
    r"(?:mg|mcg|µg|μg|ug|micrograms?|milligrams?|grams?|gm|g|mL|cc|milliliters?|international units|units?|IU|mEq|mmol|puffs?|drops?|gtts?"
    r"|tablespoons?|teaspoons?|tsp|tbsp)"
)
_PATTERNS: tuple[tuple[MentionType, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))  # type: ignore[misc]
    for kind, pattern in (
        (
            "dosage",
            rf"(?<![\w.,/]){_N}(?:\s?(?:-|to)\s?{_N})?[ -]?{_DOSE_UNIT}\b(?!\s?/\s?(?:dL|L)\b)"
            rf"(?:\s?/\s?(?:kg|m2|mL|hr|h|hour|day|d|min|dose|{_N}\s?(?:mcg|mg|mL))\b)*"
            r"|(?<![\w.])\d+(?:\.\d+)?\s?%(?=\s(?:cream|ointment|solution|gel|lotion|drops|saline|dextrose|foam|shampoo|patch))",
        ),
        (
            "form",
            r"\b(?:tablets?|tabs?|capsules?|caplets?|pills?|patch(?:es)?|cream|ointment|gel|lotion|oral solution|solution|suspension|syrup|elixir"
            r"|eye drops|ear drops|nasal spray|spray|inhaler|nebulizer|nebs?|suppositor(?:y|ies)|injections?|lozenges?|foam|shampoo|mouthwash)\b",
        ),
        (
            "route",
            r"\b(?:by mouth|orally|oral|p\.o\.|po(?=[\s,.;)]|$)|per os|intravenous(?:ly)?|i\.v\.|intramuscular(?:ly)?|i\.m\."
            r"|subcutaneous(?:ly)?|subcut|subq|sub-?q|sublingual(?:ly)?|topical(?:ly)?|transdermal(?:ly)?|inhaled|by inhalation|via inhalation"
            r"|intranasal(?:ly)?|per rectum|rectally|vaginally|intrathecal(?:ly)?|ophthalmic|otic|via (?:g-tube|ng tube|peg(?: tube)?|nebulizer))(?!\w)"
            r"|(?<!stage )(?<!grade )(?<!class )(?<!nerve )(?<!type )(?<!phase )\b(?-i:IV|IVP|IM|SC|SQ|SL|PR|PO|INH|TD)\b(?! (?:drug|fluids?|access|line|filter|catheter|contrast))",
        ),
        (
            "frequency",
            rf"\b(?:(?:once|twice|{_COUNT}(?: |-)?(?:times?|x)|\dx)(?: (?:a|per|each|every))? ?(?:day|daily|week|weekly|month|monthly|night|nightly|hour)"
            rf"|every (?:other )?(?:(?:{_COUNT}|{_N})(?:\s?(?:-|to)\s?(?:{_COUNT}|{_N}))? )?(?:hours?|hrs?|h|days?|weeks?|months?|morning|evening|night|nights|bedtime|minutes)"
            r"|q\.? ?\d{1,2}(?: ?(?:-|to) ?\d{1,2})? ?(?:hours?|hrs?|h|days?|d|minutes?|min|weeks?|w)|q\.?(?:d|h\.?s|a\.?m|p\.?m|o\.?d|week|day|shift|ac)"
            r"|b\.?i\.?d|t\.?i\.?d|q\.?i\.?d|daily|nightly|weekly|monthly|at bedtime|at night|in the (?:morning|evening)|before meals|with meals|after meals"
            r"|a\.?c\.? and h\.?s|p\.?r\.?n|as needed|as directed|once)\b\.?(?<![a-z]{3}\.)",
        ),
        (
            "duration",
            rf"\b(?:for|over|x|times)\s?(?:the )?(?:(?:next|last|past|first|another|about|approximately|at least) )*(?:{_COUNT}|{_N})"
            rf"(?:\s?(?:-|to)\s?(?:{_COUNT}|{_N}))?(?: more| full)?[ -]{_PERIOD}\b"
            rf"|\b(?:{_COUNT}|{_N})(?: |-)(?:day|week|month)(?= (?:course|supply|taper|trial)\b)",
        ),
    )
)

_SUICIDALITY: tuple[tuple[re.Pattern[str], tuple[Coding, ...]], ...] = tuple(
    (re.compile(pattern), codes)
    for pattern, codes in (
        (
            r"(?i:\bsuicidal\s?(?:or|and|/|,)\s?homicidal\s(?:ideations?|thoughts?|intent(?:ions?)?|plans?)\b|\bhomicidal\s?(?:or|and|/|,)\s?suicidal"
            r"\s(?:ideations?|thoughts?|intent(?:ions?)?|plans?)\b)|\bSI\s?/\s?HI\b|\bHI\s?/\s?SI\b",
            (_SUICIDAL, _HOMICIDAL),
        ),
        (
            r"(?i:\bsuicidal(?:\s(?:ideations?|thoughts?|intent(?:ions?)?|plans?|urges?|feelings?|gestures?))?\b|\bsuicidality\b"
            r"|\bthoughts\sof\s(?:suicide|self[ -]harm|dying|death|ending\s(?:his|her|their|my)\s(?:own\s)?life|(?:killing|harming|hurting)\s(?:him|her|my|them)sel(?:f|ves))\b"
            r"|\b(?:want(?:s|ed|ing)?|wish(?:es|ed|ing)?)\sto\s(?:die|be\sdead|kill\s(?:him|her|my|them)sel(?:f|ves)|end\s(?:his|her|their|my)\s(?:own\s)?life)\b"
            r"|\bwish(?:es|ed)?\s(?:he|she|they|I)\s(?:was|were)\sdead\b|\bbetter\soff\sdead\b|\bplan(?:s|ned|ning)?\sto\s(?:kill|harm|hang|shoot)\s(?:him|her|my|them)sel(?:f|ves)\b)"
            r"|(?<=[Dd]enies )SI\b|(?<=[Nn]o )SI\b|(?<=active )SI\b|(?<=passive )SI\b|(?<=Active )SI\b|(?<=Passive )SI\b|(?<=endorses )SI\b|(?<=Endorses )SI\b|(?<=reports )SI\b"
            r"|\bSI(?=\s(?:with|without)\s(?:a\s)?(?:plan|intent))",
            (_SUICIDAL,),
        ),
        (r"(?i:\bhomicidal(?:\s(?:ideations?|thoughts?|intent(?:ions?)?|plans?))?\b)|(?<=[Dd]enies )HI\b|(?<=[Nn]o )HI\b", (_HOMICIDAL,)),
        (
            r"(?i:\bsuicide\sattempts?\b|\battempted\ssuicide\b|\battempted\sto\s(?:kill|hang|harm)\s(?:him|her|my|them)sel(?:f|ves)\b"
            r"|\b(?:tried|trying)\sto\s(?:kill|hang)\s(?:him|her|my|them)sel(?:f|ves)\b)",
            (_ATTEMPT,),
        ),
    )
)
_MAY_BE_SUICIDALITY = re.compile(r"(?i:suicid|homicid|sel(?:f|ves)\b|self[ -]harm|\bdead\b|to die\b|dying|of death|(?:own |his |her |their |my )life)|\b[SH]I\b")

_VALUES = {
    "": r"(?:[<>≤≥]=?\s?)?\d{1,6}(?:,\d{3})*(?:\.\d+)?(?:\s?[-–]\s?\d{1,4}(?:\.\d+)?)?(?![\d/]|\.\d|-\d|\s?(?:mg|mcg|units?|IU|g)\b(?!\s?/))",
    "decimal": r"\d{1,3}\.\d{1,2}(?![\d/.])",
    "pressure": r"\d{2,3}(?:\.\d+)?\s?(?:/|over)\s?\d{2,3}(?:\.\d+)?(?![\d/]|\.\d)",
}
_LINK = (
    r"(?:\s(?:level|count|reading|value|score|today|now|currently|on admission|on arrival|on room air))?\s?(?:\([^()\n]{1,24}\)\s?)?"
    r"(?:[:=,-]|\s(?:is|was|of|at|were|are|has been|remains|remained))?(?:\s(?:currently|still|now|elevated|low|high|stable|normal|down|up|measured|noted|found|improved|increased|decreased|to be|at|to|of|around|about|approximately|only|from)){0,3}\s{0,4}"
)
_UNIT = (
    r"(?:\s?(?:%|percent\b|mm\s?Hg\b|mg/dL|g/dL|g/L|mg/L|mmol/L|mEq/L|[uµμ]mol/L|nmol/L|pmol/L|IU/L|U/L|mIU/L|[mu]IU/mL|U/mL|ng/mL|ng/dL|ng/L|pg/mL|mcg/dL|mcg/L|[uµμ]g/dL|[uµμ]g/L"
    r"|mmol\b|mEq\b|x\s?10\^?[39]/[uµμ]?L|10\^?[39]/L|K/[uµμ]L|/[uµμ]L|/mm3|cells/mm3|mm/h(?:r|our)?\b|fL\b|pg\b|bpm\b|beats per minute|beats/min|breaths per minute|breaths/min"
    r"|°\s?[FC]\b|degrees(?: (?:Fahrenheit|Celsius|F|C)\b)?|kg/m2|kg/m²|kg\b|lbs?\b|pounds\b|cm\b|inches\b|feet\b|mL/min(?:/1\.73\s?m2)?|seconds\b|sec\b|copies/mL|mmHg\b|F\b|C\b|/10\b))?"
)
_TABLE = Path(__file__).with_name("lexicon") / "tests.toml"


@cache
def _test_patterns() -> tuple[re.Pattern[str], ...]:
    rows = tomllib.loads(_TABLE.read_text("utf-8"))["test"]
    patterns = []
    for row in rows:
        folded = "|".join(re.escape(n).replace(r"\ ", r"\s") for n in sorted(row.get("names", ()), key=len, reverse=True))
        exact = "|".join(re.escape(n) for n in sorted(row.get("exact", ()), key=len, reverse=True))
        names = "|".join(part for part in (f"(?i:{folded})" if folded else "", exact) if part)
        link = _LINK if row.get("value", "") != "decimal" else r"\s?(?:[:=]|\s?of|\swas|\sis)?\s?"
        patterns.append(re.compile(rf"(?<![\w-])(?P<test>{names})(?![\w+]){link}(?P<value>{_VALUES[row.get('value', '')]}{_UNIT})"))
    return tuple(patterns)


_DIGIT = re.compile(r"\d")


def find(text: str, start: int, end: int, *, drugs: bool) -> list[Span]:
    """Rule spans of one sentence ``text[start:end]``, disjoint, in order.

    ``drugs`` says that the sentence names a drug or stands in a medication list; without it, attributes are kept only where
    a dose stands with its route or frequency.
    """
    found: list[Span] = []
    if _MAY_BE_SUICIDALITY.search(text, start, end):
        for pattern, codes in _SUICIDALITY:
            for m in pattern.finditer(text, start, end):
                _keep(found, Span(m.start(), m.end(), "finding", 1.0, SOURCE, codes, fixed=True))
    digits = _DIGIT.search(text, start, end) is not None
    if digits:
        for pattern in _test_patterns():
            for m in pattern.finditer(text, start, end):
                if not any(_overlap(m.start(), m.end(), s) for s in found):
                    group = m.start() + 1
                    found.append(Span(m.start("test"), m.end("test"), "test", 1.0, SOURCE, group=group))
                    found.append(Span(m.start("value"), m.end("value"), "value", 1.0, SOURCE, group=group))
    if drugs or (digits and _PATTERNS[0][1].search(text, start, end)):
        attributes: list[Span] = list(found)
        for kind, pattern in _PATTERNS:
            for m in pattern.finditer(text, start, end):
                _keep(attributes, Span(m.start(), m.end(), kind, 1.0, SOURCE))
        kinds = {span.type for span in attributes}
        if drugs or ("dosage" in kinds and kinds & {"route", "frequency"}):
            found = attributes
    return sorted(found, key=lambda s: s.start)


def _keep(found: list[Span], span: Span) -> None:
    if span.end > span.start and not any(_overlap(span.start, span.end, s) for s in found):
        found.append(span)


def _overlap(start: int, end: int, span: Span) -> bool:
    return start < span.end and span.start < end


def unite(model: Sequence[Span], rules: Sequence[Span]) -> list[Span]:
    """Disjoint union in text order; depends on nothing but the two lists.

    A fixed rule span replaces what it overlaps. Any other rule span replaces model spans of a type that the patterns cut
    finer (attributes, tests, values) unless the model span has the same type and is longer; it shortens a medication span at
    whose edge it stands ("metformin 500 mg"); everywhere else the model's span stays and the rule's goes.
    """
    kept = sorted(model, key=lambda s: (s.start, -s.end))
    accepted: list[Span] = []
    for rule in rules:
        hit = [s for s in kept if _overlap(rule.start, rule.end, s)]
        outcome = [] if rule.fixed else [_against(rule, s) for s in hit]
        if any(o is s for o, s in zip(outcome, hit, strict=False)):
            continue
        kept = [s for s in kept if s not in hit] + [o for o in outcome if o is not None]
        accepted.append(rule)
    return sorted([*kept, *accepted], key=lambda s: (s.start, s.end, s.type))


def _against(rule: Span, model: Span) -> Span | None:
    """What is left of ``model`` when ``rule`` is taken: itself (the rule loses), a shortened span, or nothing."""
    if model.type == rule.type and model.end - model.start > rule.end - rule.start:
        return model
    if model.type in _REFINED or (rule.start <= model.start and model.end <= rule.end and model.type == "anatomy"):
        return None
    if model.type == "medication" and rule.start > model.start and rule.end >= model.end:
        return Span(model.start, rule.start, model.type, model.score, model.source)
    if model.type == "medication" and rule.start <= model.start and rule.end < model.end:
        return Span(rule.end, model.end, model.type, model.score, model.source)
    return model
