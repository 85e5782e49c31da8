"""Names that their surroundings announce (45 CFR 164.514(b)(2)(i)(A)): titles, degrees, labels, kinship."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agents.deidentify.text.protect import NOT_NAMES
from agents.deidentify.text.signs import Near, NearMatch
from agents.deidentify.text.spans import NAME, Found

RULE = "person"

_WORD = r"(?:[A-Z](?:[a-z]+|['’][A-Z])[\w'’-]{0,30}|[A-Z]{2,20}(?:-[A-Z]{2,20})?(?![a-z]))"
_PART = rf"(?:{_WORD}|[A-Z]\b\.?)"
_PARTICLE = r"(?:(?:de|da|dos|del|della|di|la|le|van|von|der|den|ter|bin|ibn|al|el|st)\.?[ \t])"
_FULL = rf"(?:{_PARTICLE}{{0,2}}{_PART}(?:[ \t]{{1,2}}{_PARTICLE}{{0,2}}{_PART}){{0,3}})"
_COMMA = rf"(?:{_WORD}(?:[ -]{_WORD})?,[ \t]{{1,2}}{_WORD}(?:[ \t]{_PART})?)"
_NAME = rf"({_COMMA}|{_FULL})"
_FIRST_LAST = rf"({_PARTICLE}{{0,2}}{_WORD}(?:[ \t][A-Z]\b\.?)?(?:[ \t]{_PARTICLE}{{0,2}}{_WORD}){{1,2}})"

_TITLED = Near(
    re.compile(
        rf"\b(?:Dr|Drs|Mr|Mrs|Ms|Mx|Miss|Prof|Professor|Doctor|Sister|Rev|Reverend|Father|Rabbi|Imam|Pastor|Capt|Captain|Sgt|Lt|Officer|Judge|Chaplain|Nurse|DR|MR|MRS|MS)\b\.?[ \t]{{1,2}}{_NAME}"
    ),
    "dr drs mr mrs ms mx miss prof professor doctor sister rev reverend father rabbi imam pastor capt captain sgt lt officer judge chaplain nurse",
    after=260,
)
_DEGREE = (
    r"(?:M\.?D\.?|D\.?O\.?|R\.?N\.?|N\.?P\.?|PA(?:-C)?|Ph\.?D\.?|LCSW|MSW|Pharm\.?D\.?|DPM|DDS|DMD|FNP(?:-C|-BC)?|CRNA|APRN|ARNP|LPN|"
    r"BSN|MSN|DNP|PsyD|RD|RT|OTR|DPT|MBBS|FRCS|FACS|FACP|Esq|Jr|Sr|III)"
)
_DEGREED = Near(
    re.compile(rf"\b{_FIRST_LAST},?[ \t]{{0,2}}{_DEGREE}(?![\w])"),
    "m.d md do d.o rn r.n np n.p pa phd ph.d lcsw msw pharmd pharm.d dpm dds dmd fnp crna aprn arnp lpn bsn msn dnp psyd rd rt otr dpt mbbs frcs "
    "facs facp esq jr sr iii",
    before=230,
    after=24,
)
_LABELLED = Near(
    re.compile(
        r"\b(?i:patient(?:'s)?(?: name)?|pt(?:\.| name)?|(?:full |legal |preferred |maiden |first |last |given |family )?name|attending(?: physician| provider| md)?|physician|provider|"
        r"referr(?:ing|ed)(?: physician| provider| by| md)?|primary care(?: physician| provider)?|pcp|surgeon|assistant|anesthesiologist|radiologist|pathologist|"
        r"(?:electronically |digitally )?signed(?: by)?|dictated(?: by)?|authored? ?(?:by)?|reviewed by|transcribed by|verified by|performed by|interpreted by|prepared by|"
        r"ordered by|approved by|cc|nurse|therapist|clinician|author|guardian|caregiver|proxy|"
        r"emergency contact|next of kin|contact(?: person)?|interpreter|attn|to|from|re)"
        rf"[ \t]{{0,2}}:[ \t]{{0,3}}{_NAME}"
    ),
    ":",
    before=60,
    after=260,
    whole=False,
)
#: ``Mother: Jane Roe`` names her; ``Mother: breast cancer`` is her history.
_KIN_LABELLED = Near(
    re.compile(
        rf"\b(?i:spouse|mother|father|wife|husband|partner|daughter|son|brother|sister|aunt|uncle|grandmother|grandfather)[ \t]{{0,2}}:[ \t]{{0,3}}{_NAME}"
    ),
    "spouse mother father wife husband partner daughter son brother sister aunt uncle grandmother grandfather",
    after=260,
)
_HISTORY = re.compile(
    r"(?:[\w'’-]+,?[ \t]+){0,3}?(?:\w*(?:cancer|carcinoma|itis|emia|aemia|oma|osis|pathy|algia|trophy|plegia|sclerosis|thyroidism)s?|disease|syndrome|"
    r"failure|attack|infarct\w*|stroke|tumou?r|disorder|hypertension|diabetes|dementia|asthma|arrest|arrhythmia|fibrillation|aneurysm|clots?|embol\w+|"
    r"seizures?|epilepsy|depression|alcoholism|hyperlipid\w+|cholesterol|parkinson['’]?s?|alzheimer['’]?s?|hodgkin['’]?s?|copd|cad|chf|htn|dm2?|mi|cva)\b",
    re.IGNORECASE,
)
_INTRODUCED = Near(
    re.compile(
        r"\b(?i:(?:is |was )?(?:named|called|known as|by the name of)|name is|(?:this|it) is|i am|signed by|seen by|per|discussed with|spoke (?:to|with)|"
        r"accompanied by|brought in by|evaluated by|consulted|referred by|followed by|under the care of|dictated by|reviewed (?:by|with))[ \t]{1,2}"
        rf"{_FIRST_LAST}"
    ),
    "named called known by name this it i signed seen per discussed spoke accompanied brought evaluated consulted referred followed under dictated "
    "reviewed",
    before=6,
    after=260,
)
_PATIENT_NAME = Near(
    re.compile(rf"\b(?:[Pp]atient|[Pp]t|PATIENT|[Cc]lient|[Rr]esident|[Mm]ember)\.?,?[ \t]{{1,2}}{_FIRST_LAST}"),
    "patient pt client resident member",
    after=260,
)
_KIN = Near(
    re.compile(
        r"\b(?:wife|husband|spouse|partner|son|daughter|mother|father|mom|dad|brother|sister|friend|aunt|uncle|cousin|nephew|niece|"
        rf"grand(?:mother|father|son|daughter)|boyfriend|girlfriend|fianc[eé]e?|neighbor|roommate|caregiver),?[ \t]{{1,2}}(?:named[ \t])?({_WORD}(?:[ \t]{_WORD})?)"
    ),
    "wife husband spouse partner son daughter mother father mom dad brother sister friend aunt uncle cousin nephew niece grandmother grandfather "
    "grandson granddaughter boyfriend girlfriend fiance fiancee neighbor roommate caregiver",
    after=160,
)
_POSSESSIVE_AGE = NearMatch(
    re.compile(
        rf"\b({_WORD}[ \t]{_WORD}),?[ \t](?:is )?(?:an? )?(?=\d{{1,3}}[- ]?(?:y(?:ear|r|\.?o)|/)|[Dd][Oo][Bb]\b|born\b|MRN\b|\(?(?:DOB|MRN|SSN)\b)"
    ),
    r"\d[- ]?[y/]|[Dd][Oo][Bb]|born|MRN|SSN",
    before=110,
    after=30,
)


def find(text: str) -> Iterator[Found]:
    for pattern, score in (
        (_TITLED, 0.95), (_DEGREED, 0.9), (_LABELLED, 0.85), (_INTRODUCED, 0.8), (_PATIENT_NAME, 0.8), (_KIN, 0.75),
        (_POSSESSIVE_AGE, 0.8),
    ):  # fmt: skip
        for match in pattern.finditer(text):
            yield from _name(text, match.start(1), match.end(1), score)
    for match in _KIN_LABELLED.finditer(text):
        if not _HISTORY.match(text, match.start(1)):
            yield from _name(text, match.start(1), match.end(1), 0.85)


_PIECES = re.compile(r"[^\s,]+")


def _name(text: str, start: int, end: int, score: float) -> Iterator[Found]:
    """The leading words that can be a name; what cannot (``Dr. Smith MRI``, ``Patient Denies``) ends it."""
    stop = start
    first = text[start:end].split(maxsplit=1)[0]
    shouting = first.isupper() and len(first) > 2
    for words, piece in enumerate(_PIECES.finditer(text, start, end)):
        word = piece[0].strip(".'’-")
        plain = word.casefold().removesuffix("'s").removesuffix("’s")
        if plain in NOT_NAMES or (words and not shouting and len(word) > 1 and word.isupper()):
            break
        stop = piece.end()
    while stop > start and text[stop - 1] in ".,'’":
        stop -= 1
    if text[start:stop].endswith(("'s", "’s")):
        stop -= 2
    if stop - start >= 2:
        yield Found(start, stop, NAME, "pattern", RULE, score)
