"""Layer one: what the message itself says about the patient, the relatives and the clinicians, found again in its notes.

Names by whole word in any order, with possessives and, from five letters, one typing error; numbers with any separators;
addresses by line, city and ZIP. The first layer, never the only one: relatives and nicknames that no field names are not here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rapidfuzz.distance import Levenshtein

from agents.deidentify.text.common_words import COMMON_WORDS
from agents.deidentify.text.span import Found, PhiType
from schemas.identity import MessageIdentity, Person

SHORTEST_NAME, SHORTEST_FUZZY, SHORTEST_NUMBER, SHORTEST_PHONE = 2, 6, 5, 7
#: Words that senders put into name fields and that name nobody.
_NO_NAMES = frozenset(
    [
        "jr",
        "sr",
        "ii",
        "iii",
        "iv",
        "md",
        "phd",
        "rn",
        "do",
        "np",
        "pa",
        "dr",
        "mr",
        "mrs",
        "ms",
        "miss",
        "mstr",
        "the",
        "and",
        "of",
        "none",
        "unknown",
        "unk",
        "test",
        "patient",
        "baby",
        "boy",
        "girl",
    ]
)
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_ALNUM = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Known:
    """Compiled identifiers of one message. ``words`` are casefolded names; ``patterns`` (type, rule, pattern) find the rest."""

    words: frozenset[str] = frozenset()
    capitalised: frozenset[str] = frozenset()
    patterns: tuple[tuple[PhiType, str, re.Pattern[str]], ...] = ()
    _fuzzy: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def find(self, text: str) -> Iterator[Found]:
        """Spans in ``text`` (normalised); may overlap."""
        if self.words or self.capitalised:
            yield from self._names(text)
        for kind, rule, pattern in self.patterns:
            for match in pattern.finditer(text):
                yield Found(*match.span(), kind, "known", rule)

    def _names(self, text: str) -> Iterator[Found]:
        shouted = text.isupper()
        for match in _WORD.finditer(text):
            word = match[0]
            base = word.casefold()
            for suffix in ("'s", "’s", "'", "’"):
                base = base.removesuffix(suffix)
            # a hyphenated word is a name when a part of it is
            pieces = {base, *base.split("-")} if "-" in base else {base}
            if pieces & self.words:
                yield Found(*match.span(), "NAME", "known", "name")
            elif pieces & self.capitalised and word[0].isupper() and not shouted and not _starts_sentence(text, match.start()):
                yield Found(*match.span(), "NAME", "known", "name-word")
            elif word[0].isupper() and self._near(base):
                yield Found(*match.span(), "NAME", "known", "name-typo", 0.9)

    def _near(self, word: str) -> bool:
        size = len(word)
        if size < SHORTEST_FUZZY - 1 or word in COMMON_WORDS:
            return False
        candidates = (name for length in (size - 1, size, size + 1) for name in self._fuzzy.get(length, ()))
        return any(name[0] == word[0] and Levenshtein.distance(word, name, score_cutoff=1) <= 1 for name in candidates)


def compile_known(identity: MessageIdentity) -> Known:
    """All that can be searched for; short or wordless values are left to the other layers."""
    people = [identity.patient] if identity.patient else []
    people += identity.others
    words, capitalised = _name_words(people)
    fuzzy: dict[int, list[str]] = {}
    for word in words:
        if len(word) >= SHORTEST_FUZZY:
            fuzzy.setdefault(len(word), []).append(word)
    numbers = [i.value for person in people for i in person.identifiers]
    numbers += [i.value for i in (*identity.prior, *identity.numbers)]
    numbers += [identity.encounter.value] if identity.encounter else []
    lines = [line for person in people for address in person.addresses for line in address.lines]
    cities = [address.city for person in people for address in person.addresses]
    zips = [address.postal_code for person in people for address in person.addresses]
    phones = [phone for person in people for phone in person.phones]
    emails = [email for person in people for email in person.emails]
    groups: list[tuple[PhiType, str, list[str]]] = [
        ("EMAIL", "email", [re.escape(email) for email in emails]),
        ("ID", "number", [_number_pattern(value) for value in numbers if _searchable_number(value)]),
        ("PHONE", "phone", [_number_pattern(_last_digits(phone)) for phone in phones if len(_digits(phone)) >= SHORTEST_PHONE]),
        ("LOCATION", "address", [_phrase_pattern(line) for line in lines if len(line.strip()) >= 6 and _has_both(line)]),
        ("LOCATION", "city", [f"(?-i:{_phrase_pattern(_title(city))})" for city in cities if len(city.strip()) >= 4]),
        ("LOCATION", "zip", [re.escape(code.strip()) for code in zips if len(code.strip()) >= 5]),
        (
            "ORGANIZATION",
            "organization",
            [_phrase_pattern(name) for name in identity.organizations if _searchable_organization(name)],
        ),
    ]
    patterns = tuple(
        (
            kind,
            rule,
            re.compile(
                r"(?<![^\W_])(?:" + "|".join(sorted(set(texts), key=lambda t: (-len(t), t))) + r")(?![^\W_])", re.IGNORECASE
            ),
        )
        for kind, rule, texts in groups
        if texts
    )
    return Known(
        frozenset(words), frozenset(capitalised), patterns, {size: tuple(sorted(names)) for size, names in fuzzy.items()}
    )


def _name_words(people: Iterable[Person]) -> tuple[set[str], set[str]]:
    words: set[str] = set()
    capitalised: set[str] = set()
    for person in people:
        for name in person.names:
            for part in (name.family, *name.given, name.text):
                for match in _WORD.finditer(part):
                    word = match[0].casefold()
                    if len(word) < SHORTEST_NAME or word in _NO_NAMES:
                        continue
                    (capitalised if word in COMMON_WORDS or len(word) == SHORTEST_NAME else words).add(word)
    return words, capitalised


def _starts_sentence(text: str, position: int) -> bool:
    before = text[max(0, position - 3) : position].rstrip(" ")
    return not before or before[-1] in ".!?:\n"


def _searchable_number(value: str) -> bool:
    letters_and_digits = _ALNUM.findall(value)
    return len(letters_and_digits) >= SHORTEST_NUMBER and any(character.isdigit() for character in letters_and_digits)


def _searchable_organization(name: str) -> bool:
    folded = name.strip().casefold()
    return len(folded) >= 6 and folded not in COMMON_WORDS and any(character.isalpha() for character in folded)


def _number_pattern(value: str) -> str:
    return r"[-./() ]{0,2}".join(re.escape(character) for character in _ALNUM.findall(value))


def _phrase_pattern(text: str) -> str:
    return r"\W{1,3}".join(re.escape(word) for word in re.findall(r"\w+", text))


def _digits(text: str) -> str:
    return "".join(character for character in text if character.isdigit())


def _last_digits(phone: str) -> str:
    """Ten digits of a North American number, otherwise all: the country code may be left out in a note."""
    digits = _digits(phone)
    return digits[-10:] if len(digits) in (10, 11) else digits


def _has_both(line: str) -> bool:
    return any(c.isdigit() for c in line) and any(c.isalpha() for c in line)


def _title(city: str) -> str:
    return city.strip().title() if city.isupper() or city.islower() else city.strip()
