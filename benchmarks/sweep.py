"""Search for identifiers of raw messages in everything that must not hold one: topics, keys, headers, logs, metrics.

Independent of the product's own leak check on purpose: other code, other matching (whole words, case folded, plus base64, hex and
URL form of long values), so that one does not inherit the other's blind spot.
"""

from __future__ import annotations

import base64
import re
import urllib.parse
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas.identity import MessageIdentity, Person, Role
from schemas.identity_reader import read_identity
from schemas.message import parse

#: Shorter values ("A", "Li", "12") match everywhere and say nothing.
SHORTEST_NAME, SHORTEST_NUMBER = 3, 5
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_DIGITS = re.compile(r"\d+")
#: What a text is cut into before it is searched.
_TOKEN = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Needle:
    """``kind`` is name, number, phone, email or address; ``text`` is case folded."""

    kind: str
    text: str


def needles_of(content_type: str, payload: bytes) -> set[Needle]:
    """Names, numbers, phones, mail and street addresses of the patient and the relatives in one raw message."""
    identity: MessageIdentity = read_identity(parse(content_type, payload))
    people = [identity.patient] if identity.patient else []
    people += [person for person in identity.others if person.role in {Role.RELATIVE, Role.GUARANTOR, Role.INSURED}]
    found = {needle for person in people for needle in _person(person)}
    for number in (*identity.prior, *([identity.encounter] if identity.encounter else [])):
        found |= _number(number.value)
    return found


def _person(person: Person) -> set[Needle]:
    found: set[Needle] = set()
    for name in person.names:
        for part in (name.family, *name.given):
            found |= {
                Needle("name", word.casefold())
                for word in _WORD.findall(part)
                if len(word) >= SHORTEST_NAME and not word.isdigit()
            }
    for identifier in person.identifiers:
        found |= _number(identifier.value)
    for phone in person.phones:
        digits = "".join(_DIGITS.findall(phone))
        if len(digits) >= 7:
            found |= {Needle("phone", digits), Needle("phone", phone.casefold())}
    found |= {Needle("email", email.casefold()) for email in person.emails if "@" in email}
    for address in person.addresses:
        found |= {Needle("address", line.casefold()) for line in address.lines if len(line) >= 6 and " " in line.strip()}
    return found


def _number(value: str) -> set[Needle]:
    return {Needle("number", value.casefold())} if len(value) >= SHORTEST_NUMBER else set()


@dataclass(slots=True)
class Sweep:
    """Collects hits by place and kind; values stay inside, reports show counts (and, on request, where)."""

    needles: set[Needle]
    hits: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    searched_bytes: int = 0
    _by_first: dict[str, list[tuple[tuple[str, ...], str]]] = field(init=False)

    def __post_init__(self) -> None:
        self._by_first = defaultdict(list)
        forms = [(n.text, n.kind) for n in self.needles]
        forms += [(form, n.kind) for n in self.needles if len(n.text) >= 7 for form in _encodings(n.text)]
        for text, kind in forms:
            words = tuple(_TOKEN.findall(text))
            if words:
                self._by_first[words[0]].append((words, kind))

    def search(self, place: str, text: str) -> None:
        """Count every needle in ``text`` under ``place``: its words one after another, whatever stands between them."""
        folded = text.casefold()
        self.searched_bytes += len(folded)
        tokens = _TOKEN.findall(folded)
        for position in [p for p, token in enumerate(tokens) if token in self._by_first]:
            for words, kind in self._by_first[tokens[position]]:
                if tuple(tokens[position : position + len(words)]) == words:
                    self._hit(place, kind, " ".join(words))

    def _hit(self, place: str, kind: str, text: str) -> None:
        self.hits[place, kind] += 1
        self.examples[place, kind].add(text)


def _encodings(text: str) -> Iterable[str]:
    raw = text.encode()
    yield base64.b64encode(raw).decode().rstrip("=").casefold()
    yield raw.hex()
    quoted = urllib.parse.quote(text).casefold()
    if quoted != text:
        yield quoted
