"""The patterns of ``rules.py``: drug attributes, values behind the tests of ``lexicon/tests.toml``, suicidality.

A change here or to the rules of relations is a change of ``VERSION``: it stands in the source of every mention and relation that they made. All patterns are applied
to one sentence at a time and hold no nested unbounded repetition, so their time is linear in its length.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

from schemas.clinical import Coding
from schemas.findings import MentionType

VERSION = "1.3.0"

_NUMBER = r"(?:\d{1,6}(?:,\d{3})*(?:\.\d+)?|\.\d+)"
_COUNT = r"(?:\d{1,3}|one|two|three|four|five|six|seven|eight|nine|ten|twelve|fourteen|several|a\sfew)"
_AMOUNT = rf"(?:{_COUNT}|{_NUMBER})(?:\s?(?:-|to)\s?(?:{_COUNT}|{_NUMBER}))?"
_PERIOD = r"(?:minutes?|mins?|hours?|hrs?|days?|weeks?|wks?|months?|mos?|years?|yrs?)"

_DOSAGE = rf"""
    (?<![\w.,/]) {_NUMBER} (?:\s?(?:-|to)\s?{_NUMBER})? [ -]?
    (?: mg|mcg|µg|μg|ug|micrograms?|milligrams?|grams?|gm|g|mL|cc|milliliters?|international\sunits|units?|IU|mEq|mmol
      | puffs?|drops?|gtts?|tablespoons?|teaspoons?|tsp|tbsp ) \b
    (?! \s?/\s?(?:dL|L)\b )                                       # a concentration is a result, no dose
    (?: \s?/\s? (?:kg|m2|mL|hr|h|hour|day|d|min|dose|{_NUMBER}\s?(?:mcg|mg|mL)) \b )*
  | (?<![\w.]) \d+(?:\.\d+)?\s?% (?= \s(?:cream|ointment|solution|gel|lotion|drops|saline|dextrose|foam|shampoo|patch) )
"""
_FORM = r"""
    \b (?: tablets?|tabs?|capsules?|caplets?|pills?|patch(?:es)?|cream|ointment|gel|lotion|oral\ssolution|solution|suspension
         | syrup|elixir|eye\sdrops|ear\sdrops|nasal\sspray|spray|inhaler|nebulizer|nebs?|suppositor(?:y|ies)|injections?
         | lozenges?|foam|shampoo|mouthwash ) \b
"""
_ROUTE = r"""
    \b (?: by\smouth|orally|oral|p\.o\.|po(?=[\s,.;)]|$)|per\sos|intravenous(?:ly)?|i\.v\.|intramuscular(?:ly)?|i\.m\.
         | subcutaneous(?:ly)?|subcut|sub-?q|sublingual(?:ly)?|topical(?:ly)?|transdermal(?:ly)?|inhaled|(?:by|via)\sinhalation
         | intranasal(?:ly)?|per\srectum|rectally|vaginally|intrathecal(?:ly)?|ophthalmic|otic
         | via\s(?:g-tube|ng\stube|peg(?:\stube)?|nebulizer) ) (?!\w)
  | (?<!stage\s)(?<!grade\s)(?<!class\s)(?<!nerve\s)(?<!type\s)(?<!phase\s)     # IV is also a numeral
    \b (?-i: IV|IVP|IM|SC|SQ|SL|PR|PO|INH|TD ) \b (?! \s(?:drug|fluids?|access|line|filter|catheter|contrast) )
"""
_UNIT_OF_TIME = r"(?:hours?|hrs?|h|days?|weeks?|months?|morning|evening|nights?|bedtime|minutes)"
_FREQUENCY = rf"""
    \b (?: (?: once|twice|{_COUNT}[ -]?(?:times?|x)|\dx ) (?:\s(?:a|per|each|every))? \s?
             (?:day|daily|week|weekly|month|monthly|night|nightly|hour)
         | every\s (?:other\s)? (?:{_AMOUNT}\s)? {_UNIT_OF_TIME}
         | q\.?\s?\d{{1,2}} (?:\s?(?:-|to)\s?\d{{1,2}})? \s? (?:hours?|hrs?|h|days?|d|minutes?|min|weeks?|w)
         | q\.?(?:d|h\.?s|a\.?m|p\.?m|o\.?d|week|day|shift|ac)
         | b\.?i\.?d|t\.?i\.?d|q\.?i\.?d|daily|nightly|weekly|monthly|at\sbedtime|at\snight|in\sthe\s(?:morning|evening)
         | (?:before|with|after)\smeals|a\.?c\.?\sand\sh\.?s|p\.?r\.?n|as\sneeded|as\sdirected|once )
    \b \.? (?<![a-z]{{3}}\.)                                      # the last dot of "b.i.d." belongs to it
"""
_DURATION = rf"""
    \b (?:for|over|x|times)\s? (?:the\s)? (?:(?:next|last|past|first|another|about|approximately|at\sleast)\s){{0,3}}
       {_AMOUNT} (?:\smore|\sfull)? [ -] {_PERIOD} \b
  | \b {_AMOUNT} [ -] (?:day|week|month) (?= \s(?:course|supply|taper|trial)\b )
"""

#: In order of precedence where they overlap.
ATTRIBUTE_PATTERNS: tuple[tuple[MentionType, re.Pattern[str]], ...] = (
    ("dosage", re.compile(_DOSAGE, re.IGNORECASE | re.VERBOSE)),
    ("form", re.compile(_FORM, re.IGNORECASE | re.VERBOSE)),
    ("route", re.compile(_ROUTE, re.IGNORECASE | re.VERBOSE)),
    ("frequency", re.compile(_FREQUENCY, re.IGNORECASE | re.VERBOSE)),
    ("duration", re.compile(_DURATION, re.IGNORECASE | re.VERBOSE)),
)

ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
_SUICIDAL = Coding(system=ICD10CM, code="R45.851", display="Suicidal ideations")
_HOMICIDAL = Coding(system=ICD10CM, code="R45.850", display="Homicidal ideations")
_ATTEMPT = Coding(system=ICD10CM, code="T14.91", display="Suicide attempt")
_SELF = r"(?:him|her|my|them)sel(?:f|ves)"
_THOUGHTS = r"(?:ideations?|thoughts?|intent(?:ions?)?|plans?|urges?|feelings?|gestures?)"
_LIFE = r"(?:his|her|their|my)\s(?:own\s)?life"

#: Capitals alone are too ambiguous (SI joint, SI units): "SI" counts behind a word of asking or before a plan.
SUICIDALITY: tuple[tuple[re.Pattern[str], tuple[Coding, ...]], ...] = (
    (
        re.compile(
            rf"""(?i: \b (?:suicidal\s?(?:or|and|/|,)\s?homicidal|homicidal\s?(?:or|and|/|,)\s?suicidal) \s{_THOUGHTS} \b )
               | \b SI\s?/\s?HI \b | \b HI\s?/\s?SI \b""",
            re.VERBOSE,
        ),
        (_SUICIDAL, _HOMICIDAL),
    ),
    (
        re.compile(
            rf"""(?i: \b suicidal (?:\s{_THOUGHTS})? \b | \b suicidality \b
                   | \b thoughts\sof\s (?: suicide|self[ -]harm|dying|death|ending\s{_LIFE}
                                        | (?:killing|harming|hurting)\s{_SELF} ) \b
                   | \b (?:want(?:s|ed|ing)?|wish(?:es|ed|ing)?)\sto\s (?: die|be\sdead|kill\s{_SELF}|end\s{_LIFE} ) \b
                   | \b wish(?:es|ed)?\s(?:he|she|they|I)\s(?:was|were)\sdead \b | \b better\soff\sdead \b
                   | \b plan(?:s|ned|ning)?\sto\s(?:kill|harm|hang|shoot)\s{_SELF} \b )
               | (?: (?<=enies\s)|(?<=[Nn]o\s)|(?<=ctive\s)|(?<=assive\s)|(?<=ndorses\s)|(?<=eports\s) ) SI \b
               | \b SI (?= \s(?:with|without)\s(?:a\s)?(?:plan|intent) )""",
            re.VERBOSE,
        ),
        (_SUICIDAL,),
    ),
    (
        re.compile(rf"(?i: \b homicidal (?:\s{_THOUGHTS})? \b ) | (?: (?<=enies\s)|(?<=[Nn]o\s) ) HI \b", re.VERBOSE),
        (_HOMICIDAL,),
    ),
    (
        re.compile(
            rf"""\b (?: suicide\sattempts?|attempted\ssuicide|attempted\sto\s(?:kill|hang|harm)\s{_SELF}
                      | (?:tried|trying)\sto\s(?:kill|hang)\s{_SELF} ) \b""",
            re.VERBOSE | re.IGNORECASE,
        ),
        (_ATTEMPT,),
    ),
)
#: A cheap look before the four above.
SUICIDALITY_HINT = re.compile(
    rf"(?i: suicid|homicid|{_SELF}\b|self[ -]harm|\bdead\b|to\sdie\b|dying|of\sdeath|\s{_LIFE} ) | \b[SH]I\b", re.VERBOSE
)

_VALUES = {
    "": r"""(?:[<>≤≥]=?\s?)? \d{1,6}(?:,\d{3})*(?:\.\d+)? (?:\s?[-–]\s?\d{1,4}(?:\.\d+)?)?
            (?! [\d/] | \.\d | -\d | \s?(?:mg|mcg|units?|IU|g)\b(?!\s?/) )""",  # no date, no dose
    "decimal": r"\d{1,3}\.\d{1,2} (?! [\d/.] )",
    "pressure": r"\d{2,3}(?:\.\d+)?\s?(?:/|over)\s?\d{2,3}(?:\.\d+)? (?! [\d/] | \.\d )",
}
#: What may stand between a test's name and its value.
_LINK = r"""
    (?:\s(?:level|count|reading|value|score|today|now|currently|on\sadmission|on\sarrival|on\sroom\sair))? \s?
    (?: \([^()\n]{1,24}\)\s? )?
    (?: [:=,-] | \s(?:is|was|of|at|were|are|has\sbeen|remains|remained) )?
    (?: \s(?:currently|still|now|elevated|low|high|stable|normal|down|up|measured|noted|found|improved|increased|decreased|to\sbe
           |at|to|of|around|about|approximately|only|from) ){0,3}
    \s{0,4}
"""
_SHORT_LINK = r"\s? (?: [:=] | \sof | \swas | \sis )? \s?"
_UNIT = r"""
    (?: \s? (?: % | percent\b | mm\s?Hg\b | bpm\b | beats\sper\sminute | beats/min | breaths\sper\sminute | breaths/min
              | [mkuµμn]?g/[dm]?L | mcg/[dm]?L | pg/mL | [mnpuµμ]?mol/L | mEq/L | m?[uµμ]?I?U/m?L
              | mmol\b | mEq\b | x\s?10\^?[39]/[uµμ]?L | 10\^?[39]/L | K/[uµμ]L | /[uµμ]L | (?:cells)?/mm3 | copies/mL
              | mL/min(?:/1\.73\s?m2)? | mm/h(?:r|our)?\b | fL\b | pg\b | seconds\b | sec\b
              | °\s?[FC]\b | degrees(?:\s(?:Fahrenheit|Celsius|F|C)\b)? | [FC]\b
              | kg/m2 | kg/m² | kg\b | lbs?\b | pounds\b | cm\b | inches\b | feet\b | /10\b ) )?
"""
_TABLE = Path(__file__).with_name("lexicon") / "tests.toml"


@cache
def test_patterns() -> tuple[re.Pattern[str], ...]:
    """One pattern per row of ``lexicon/tests.toml``, with the groups ``test`` and ``value``."""
    patterns = []
    for row in tomllib.loads(_TABLE.read_text("utf-8"))["test"]:
        kind = row.get("value", "")
        folded, exact = _alternatives(row.get("names", ())), _alternatives(row.get("exact", ()))
        names = "|".join(part for part in (f"(?i:{folded})" if folded else "", exact) if part)
        link = _SHORT_LINK if kind == "decimal" else _LINK
        patterns.append(
            re.compile(rf"(?<![\w-]) (?P<test>{names}) (?![\w+]) {link} (?P<value>{_VALUES[kind]} {_UNIT})", re.VERBOSE)
        )
    return tuple(patterns)


def _alternatives(names: list[str]) -> str:
    """Longest first, so that "hemoglobin a1c" is not read as "hemoglobin"."""
    return "|".join(r"\s".join(re.escape(word) for word in name.split()) for name in sorted(names, key=len, reverse=True))
