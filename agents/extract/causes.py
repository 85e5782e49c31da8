"""Why a drug is given and what it did: medication-reason and medication-adverse_event, by the words between drug and problem.

A pair without such words is not related. What is denied is related to nothing. An allergy's reaction ("penicillin - hives") is an
adverse event of the drug that stands next before it.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from agents.extract.runs import REACH, between, runs
from schemas.findings import Mention, MentionType

_DRUG: frozenset[MentionType] = frozenset({"medication"})
_PROBLEM: frozenset[MentionType] = frozenset({"problem", "finding"})
_ALLERGIES = "allergies"
_PERSON = (
    r"(?:patients?|pts?|cases?|m[ae]n|wom[ae]n|males?|females?|child(?:ren)?|boys?|girls?|infants?|adults?|subjects?|individuals)"
)
_STOPPED = re.compile(r"\b(?:discontinu|withdraw|cessation|stopp|interrupt|terminat)", re.I)

#: "allergic to [penicillin] (hives)", "[penicillin] allergy with hives", outside a list of allergies.
_ALLERGIC_TO = re.compile(r"\b(?:allerg(?:ic|y|ies)|intoleran(?:t|ce)|hypersensitiv\w+)\s(?:to|of)\s(?:[\w-]+\s){0,2}$", re.I)
_REACTION = re.compile(
    r"\W*(?:(?:reaction|which|it|that|she|he|causes?|caused|causing|gets?|got|develops?|with|of|is|was|were|manifested|by|as)\b\W*){0,4}",
    re.I,
)
_ALLERGY_WITH = re.compile(rf"\s(?:allergy|intolerance|hypersensitivity)\b{_REACTION.pattern}", re.I)

# Drug first.
_GIVEN_FOR = re.compile(
    r"""\b(?:for|against)\b (?!\s(?:\d|¤\s*(?:days|weeks|months|years)))
      | \b(?:to|may|can|will)\s(?:treat|prevent|control|manage|relieve)\b
      | \b(?:treatment|therapy|management|prevention|prophylaxis|control)\sof\b
      | \b(?:treat|relieve|prevent|control|improve|resolve|reduce)[sd]?\b
      | \b(?:patients?|individuals|those|subjects|children|adults|wom[ae]n|m[ae]n|¤)\swith\b
      | \b(?:indicated|effective|used|useful|beneficial)\sin\b
      | \b(?:prn|as\sneeded)\W*$""",
    re.I | re.X,
)
_DID = re.compile(
    r"""induc|associat|[- ]relat|caus(?:ed|es|ing|e)\b|result(?:s|ed|ing)?\sin|\bled\sto|leading\sto|leads?\sto|produc|precipitat
      | provok|trigger|elicit|develop|complicat|experienc|suffer|present(?:ed|ing)\swith|manifest|followed\sby|exacerbat|worsen
      | aggravat|side[ -]effect|adverse|reaction|toxicity|intoleran|responsible\sfor|contribut|\brisk\sof|occur|mimic|overdose
      | appear|\binclud|\bmay\s|\bcan\s|\bshowed\b|\bnoted\b|\bbecame\b|\bhad\b|\bdied\b""",
    re.I | re.X,
)
_ADJACENT = re.compile(r"[\s-]{0,2}(?:therapy|treatment)?\s?", re.I)
# Problem first.
_TREATED = re.compile(
    r"""(?:treated|managed|controlled|maintained|stable|relieved|stabilized|treatment|therapy|improved|improving|responded|responding
         |responsive|resolved|resolving|better|subsided)\b[^.;]{0,40}?\b(?:with|by|on|to|using|included?|consisted|includes)\b
      | \b(?:is|was|were|are|been|and|who|for\swhich|then|therefore)\s(?:\w+\s){0,3}
        (?:received?|receiving|given|started|taking|takes|took|prescribed|administered|treated)\b
      | \b(?:receiving|received|taking|undergoing|underwent|requiring|treatment|therapy|prescribed)\b
      | ^\s*: | ^\s*[-–,]?\s*(?:continue|start|cont|take|takes|taking|increase|resume|given|on)\b""",
    re.I | re.X,
)
_AROSE = re.compile(
    r"""(?:induced|caused|produced|precipitated|triggered|provoked|complicated|mediated|elicited)\b.{0,30}\bby\b
      | \b(?:due|secondary|attribut\w+|relat(?:ed|ing)|link\w*|subsequent|reactions?|allerg\w+|ascribed|hypersensitivity|exposure)\s(?:\w+\s)?to\b
      | \bassociat\w+\b | \bresult\w*\s(?:of|from)\b | \bbecause\sof\b | \b(?:effect|complication|toxicity|manifestation)s?\b.{0,12}\b(?:of|to)\b
      | \b(?:follow(?:ing|ed|s)|after|during|while|since|upon|under)\b | ^\s*(?:from|by|to|on)\b
      | \bto\s(?:¤|the)?\s?$ | \bfrom\b | \bof\s(?:\S+\s){0,3}$ | \b(?:initiat|start|begin|commenc|introduc)\w*\b
      | \b(?:receiv|tak|treated|therapy|treatment|given|administ|ingest|use)\w*\b""",
    re.I | re.X,
)
#: "which was successfully", with nobody and no other time between.
_PLAINLY = re.compile(r"\W*(?:(?!in\b|during|after|following|while|since|on\b|when|develop)[\w-]+\W+){0,4}", re.I)
_WITH = re.compile(r"\bwith\s(?:\S+\s){0,3}$", re.I)
#: Before the problem: it is what the patient has, not what happened.
_HAS = re.compile(
    rf"""(?: \b{_PERSON}\s(?:(?!present|develop)\S+\s){{0,4}}?(?:with|having|suffering\sfrom)
          | \bhistory\sof | \bdiagnos(?:ed|is)\s(?:\w+\s)?(?:with|of|as)
          | \b(?:treatment|therapy|management|prophylaxis|prevention|control)\s(?:of|for)
          | \b(?:to\streat|treated\sfor|treat|treating|for|because\sof|against) | \bwith\s(?:known|underlying|established|refractory|advanced) )
        \s(?:an?\s|the\s|his\s|her\s)?(?:[\w'-]+\s){{0,3}}$""",
    re.I | re.X,
)

#: Behind the problem: it is what happened, whoever has it.
_THEN = re.compile(
    r"\s*(?:\S+\s){0,5}?(?:after|following|while|due|secondary|caused|induced|associated|result\w*|attribut\w*|related)\b", re.I
)
#: Behind another mention: what follows is what the patient has.
_IN_PERSON = re.compile(
    rf"¤[^¤]*\b(?:in|for|of|with|among)\b[^¤]*\b(?:{_PERSON}\s(?:\S+\s){{0,3}}(?:with|for|having)|treat\w*\s(?:of|for)|for)\b[^¤]*$",
    re.I,
)


def causes(text: str, sentence: Sequence[Mention]) -> Iterator[tuple[str, Mention, Mention]]:
    """``(type, medication, problem or finding)`` of one sentence's mentions, which stand in text order."""
    drugs = runs(text, sentence, _DRUG)
    if not drugs:
        return
    for problems in runs(text, sentence, _PROBLEM):
        opening = text[max(sentence[0].start - 60, problems[0].start - 60, 0) : problems[0].start]
        first = bisect_left(drugs, problems[0].start - REACH, key=lambda run: run[-1].end)
        last = bisect_right(drugs, problems[-1].end + REACH, key=lambda run: run[0].start)
        following = bisect_left(drugs, problems[0].start, key=lambda run: run[0].start)
        for number, given in enumerate(drugs[first:last], first):
            kind = _judge(text, sentence, given, problems, opening, nearest=number == following - 1)
            if kind:
                yield from ((kind, drug, p) for drug in given for p in problems if not p.assertion.negated)


def _judge(
    text: str, sentence: Sequence[Mention], drugs: Sequence[Mention], problems: Sequence[Mention], opening: str, *, nearest: bool
) -> str | None:
    drug_first = drugs[-1].end <= problems[0].start
    if not drug_first and problems[-1].end > drugs[0].start:
        return None
    left, right = (drugs[-1].end, problems[0].start) if drug_first else (problems[-1].end, drugs[0].start)
    if right - left > REACH:
        return None
    words = between(text, left, right, sentence)
    adverse, reason = "medication-adverse_event", "medication-reason"
    if drugs[0].section == _ALLERGIES:
        return adverse if drug_first and nearest else None
    if drug_first:
        stated = _ALLERGIC_TO.search(text, max(0, drugs[0].start - 60), drugs[0].start)
        if (stated and _REACTION.fullmatch(words)) or _ALLERGY_WITH.fullmatch(words):
            return adverse
        if _IN_PERSON.search(words):
            return reason
        if _GIVEN_FOR.search(words) and not _DID.search(words):
            return reason
        return adverse if _DID.search(words) or _ADJACENT.fullmatch(words) else None
    if _STOPPED.search(words):
        return adverse
    if _HAS.search(opening) and not _THEN.match(words):
        return reason if _TREATED.search(words) or _AROSE.search(words) or _WITH.search(words) else None
    treated = _TREATED.search(words)
    if treated and _PLAINLY.fullmatch(words, 0, treated.start()):
        return reason
    return adverse if _AROSE.search(words) else None
