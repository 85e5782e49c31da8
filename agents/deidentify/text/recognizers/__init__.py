"""One identifier, one file: ``find(text)`` yields every occurrence. All patterns are bounded, so that time is linear in the text.

Order does not matter: what overlaps is merged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agents.deidentify.text.recognizers import (
    address,
    age,
    date,
    email,
    hidden,
    ip,
    organization,
    person,
    phone,
    record_number,
    signature,
    ssn,
    url,
)
from agents.deidentify.text.spans import Found

Recognizer = Callable[[str], Iterator[Found]]

RECOGNIZERS: dict[str, Recognizer] = {
    "ssn": ssn.find,
    "phone": phone.find,
    "email": email.find,
    "url": url.find,
    "ip": ip.find,
    "record_number": record_number.find,
    "date": date.find,
    "age": age.find,
    "address": address.find,
    "person": person.find,
    "signature": signature.find,
    "organization": organization.find,
    "hidden": hidden.find,
}

#: Raised when a pattern changes what it finds; part of the policy version.
VERSION = "2"


def find_all(text: str) -> list[Found]:
    return [span for find in RECOGNIZERS.values() for span in find(text)]
