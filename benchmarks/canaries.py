"""Canary texts: identifiers of eight kinds, in every disguise that a note or an interface engine has been seen to write, in clinical sentences.

Seeded; names are invented combinations, numbers come from ranges that nobody is assigned (telephone 555-01xx, SSN 9xx, ``.example`` domains).
"""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from schemas.identity import Identifier, MessageIdentity, Person, PersonName, PostalAddress, Role

GIVEN: Final = [
    "Alejandra",
    "Benedikt",
    "Catherine",
    "Dmitri",
    "Elizabeth",
    "Farouk",
    "Genevieve",
    "Hiroshi",
    "Ingeborg",
    "Jeremiah",
    "Katarzyna",
    "Leopold",
    "Margaret",
    "Nikolaos",
    "Oluwaseun",
    "Patricia",
    "Quentin",
    "Rosalind",
    "Sebastian",
    "Thandiwe",
    "Ulrika",
    "Valentina",
    "William",
    "Xiomara",
    "Yevgenia",
    "Zachary",
    "Christopher",
    "Deborah",
]
FAMILY: Final = [
    "Abernathy",
    "Brzezinski",
    "Castellanos",
    "Drummond",
    "Eriksson",
    "Fitzgerald",
    "Gonzalez",
    "Haverford",
    "Ibrahimovic",
    "Jankowski",
    "Kowalczyk",
    "Lindqvist",
    "Montgomery",
    "Nakamura",
    "Okonkwo",
    "Papadopoulos",
    "Quillfeather",
    "Rasmussen",
    "Silverstein",
    "Thornbury",
    "Underhill",
    "Vandermeer",
    "Whitlock",
    "Yamamoto",
    "Zimmermann",
    "Achterberg",
    "Bellweather",
    "Crosswhite",
]
STREETS: Final = [
    "Alderbrook",
    "Bramblewood",
    "Copperfield",
    "Dunmorrow",
    "Elderflower",
    "Foxhollow",
    "Greystone",
    "Hawksmoor",
    "Ironbridge",
    "Juniperhill",
]
NICKNAMES: Final = {"Elizabeth": "Liz", "Margaret": "Peggy", "William": "Bill", "Christopher": "Chris", "Patricia": "Pat",
                    "Catherine": "Cathy", "Deborah": "Debbie"}  # fmt: skip
CARRIERS: Final = {
    "patient": ("{} was seen in clinic today for follow-up of hypertension.", "Reason for visit: {} reports worsening dyspnea on exertion.",
                "I examined {} at the bedside; lungs are clear.", "Metformin was refilled for {} with 90 tablets."),
    "relative": ("Patient lives with her sister {} and walks daily.", "His wife {} noticed the tremor first.",
                 "Collateral history from the daughter, {}, who manages the pills.", "Discussed goals of care with {} by phone."),
    "clinician": ("Seen by Dr. {} in cardiology last week.", "Biopsy was performed by {}, MD without complications.",
                  "Will follow up with Dr. {} in two weeks.", "Case discussed with {} who agrees with heparin."),
    "record": ("MRN {} admitted with sepsis.", "Record number {} was reviewed.", "Chart {}: potassium 5.9, creatinine 2.1.", "Specimen labelled {} arrived."),
    "ssn": ("SSN {} on file.", "Social security number is {}.", "Benefits under {} were verified.", "ID given as {} at check-in."),
    "phone": ("Call back at {} with the culture result.", "Phone {} for questions about warfarin.", "Reached at {} this morning.", "Fax the echo report to {}."),
    "email": ("Send the results to {} please.", "Contact {} about the MRI.", "Portal account {} was activated.", "She writes from {} about dizziness."),
    "street": ("Lives at {} with two cats.", "Home visit at {} on Monday.", "Ambulance picked him up from {}.", "Mail the glucometer to {}."),
}  # fmt: skip
PEOPLE: Final = ("patient", "relative", "clinician")

_CYRILLIC = str.maketrans("aeocpxiABEKMHOPCTX", "аеосрхіАВЕКМНОРСТХ")
_WIDE = {c: chr(c + 0xFEE0) for c in range(0x21, 0x7F)}
_ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


def _split(value: str) -> str:
    middle = len(value) // 2
    return f"{value[:middle]}\n{value[middle:]}"


#: What is done to a written form without changing what a reader sees, or decodes.
DISGUISES: Final[dict[str, Callable[[str], str]]] = {
    "plain": lambda v: v,
    "upper case": str.upper,
    "lower case": str.lower,
    "zero width": "\u200b".join,
    "soft hyphen": lambda v: f"{v[:3]}\u00ad{v[3:]}",
    "full width": lambda v: v.translate(_WIDE),
    "look-alikes": lambda v: v.translate(_CYRILLIC),
    "other digits": lambda v: v.translate(_ARABIC),
    "no-break space": lambda v: v.replace(" ", "\u00a0").replace("-", "\u2011"),
    "entities": lambda v: "".join(f"&#{ord(c)};" for c in v),
    "tags inside": lambda v: f"{v[:2]}<b>{v[2:4]}</b>{v[4:]}",
    "url": lambda v: "".join(f"%{ord(c):02X}" for c in v),
    "url quoted": lambda v: urllib.parse.quote(v, safe=""),
    "base64": lambda v: base64.b64encode(v.encode()).decode(),
    "rtf escapes": lambda v: "".join(f"\\'{ord(c):02x}" for c in v),
    "hl7 escapes": lambda v: "".join(f"\\X{ord(c):02X}\\" for c in v),
    "combining": lambda v: "".join(f"{c}\u0301" if c.isalpha() else c for c in v),
    "spaced out": " ".join,
    "over lines": _split,
}


@dataclass(frozen=True, slots=True)
class Canary:
    """``written`` is the identifier as a reader reads it in ``text``; ``identity`` what its message would say."""

    kind: str
    variant: str
    text: str
    written: str
    identity: MessageIdentity


def _typo(word: str, random: Random) -> str:
    at = random.randrange(2, len(word) - 1)
    return random.choice(
        (word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:], word[:at] + word[at + 1] + word[at] + word[at + 2 :])
    )


def forms(kind: str, given: str, family: str, random: Random) -> dict[str, str]:
    """Ways in which people write one name; other kinds have none."""
    if kind not in PEOPLE:
        return {}
    found = {
        "reordered": f"{family}, {given}",
        "initial": f"{given[0]}. {family}",
        "family alone": family,
        "typing error": f"{given} {_typo(family, random)}",
        "possessive": f"{given} {family}'s",
    }
    return found | ({"nickname": f"{NICKNAMES[given]} {family}"} if given in NICKNAMES else {})


def _person(role: Role, given: str, family: str) -> Person:
    return Person(role=role, names=(PersonName(family=family, given=(given,)),))


def canaries(count: int, seed: int) -> Iterator[Canary]:
    """``count`` records; each gives one text for every kind and every variant."""
    for number in range(count):
        random = Random(f"{seed}/{number}")
        names = {kind: (random.choice(GIVEN), random.choice(FAMILY)) for kind in PEOPLE}
        given, family = names["patient"]
        values = {kind: " ".join(name) for kind, name in names.items()} | {
            "record": f"{random.randrange(10**7, 10**8)}",
            "ssn": f"9{random.randrange(100):02d}-{random.randrange(10, 99)}-{random.randrange(1000, 9999)}",
            "phone": f"{random.randrange(201, 989)}-555-01{random.randrange(100):02d}",
            "email": f"{given}.{family}{random.randrange(99)}@mail.example".lower(),
            "street": f"{random.randrange(11, 989)} {random.choice(STREETS)} {random.choice(('Road', 'Street', 'Avenue', 'Lane'))}",
        }
        identity = MessageIdentity(
            patient=Person(
                role=Role.PATIENT,
                names=(PersonName(family=family, given=(given,)),),
                identifiers=(Identifier(value=values["record"]), Identifier(value=values["ssn"], type="SS")),
                phones=(values["phone"],),
                emails=(values["email"],),
                addresses=(PostalAddress(lines=(values["street"],)),),
            ),
            others=(_person(Role.RELATIVE, *names["relative"]), _person(Role.PRACTITIONER, *names["clinician"])),
        )
        for kind, value in values.items():
            carrier = CARRIERS[kind][number % len(CARRIERS[kind])]
            written = forms(kind, *names.get(kind, ("", "")), random)
            for variant, form in written.items():
                yield Canary(kind, variant, carrier.format(form), form, identity)
            for variant, disguise in DISGUISES.items():
                yield Canary(kind, variant, carrier.format(disguise(value)), value, identity)
