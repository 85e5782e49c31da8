"""Telephone and fax numbers (NANP and international), e-mail, web and network addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from agents.deidentify.text.span import Found

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}\s?@\s?[\w-]{1,63}(?:\.[\w-]{1,63}){1,6}")
_URL = re.compile(r"\b(?:https?://|ftp://|www\.)[^\s<>\"'\[\]]{3,300}", re.IGNORECASE)
_NANP = re.compile(
    r"(?<![\w.-])(?:\+?1[-. ]?)?(?:\([2-9]\d{2}\)\s?|[2-9]\d{2}[-. ])[2-9]\d{2}[-. ]\d{4}(?:\s?(?:x|ext\.?)\s?\d{1,6})?(?![\w-])"
)
_LOCAL = re.compile(
    r"\b(?:phone|tel|telephone|cell|mobile|fax|pager|call|ph|contact|home|work|reach(?:ed)? at)\b\W{0,4}(?:number|no\.?|#|at|is)?\W{0,4}"
    r"(\+?[\d(][\d() .-]{5,18}\d(?:\s?(?:x|ext\.?)\s?\d{1,6})?)(?!\w)",
    re.IGNORECASE,
)
_INTERNATIONAL = re.compile(r"(?<![\w+])\+\d{1,3}[ .-]?(?:\(?\d{1,4}\)?[ .-]?){2,5}\d{2,4}(?!\w)")
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")
_IPV6 = re.compile(r"(?<![\w:])[0-9a-fA-F]{1,4}(?::{1,2}[0-9a-fA-F]{1,4}){3,7}(?![\w:])")


def find(text: str) -> Iterator[Found]:
    """Numbers of seven digits only after a word that says they are a telephone."""
    for match in _EMAIL.finditer(text):
        yield Found(*match.span(), "EMAIL", "pattern", "email")
    for match in _URL.finditer(text):
        end = match.end() - (len(match[0]) - len(match[0].rstrip(".,;)")))
        yield Found(match.start(), end, "URL", "pattern", "url")
    for match in (*_NANP.finditer(text), *_INTERNATIONAL.finditer(text)):
        yield Found(*match.span(), "PHONE", "pattern", "phone")
    for match in _LOCAL.finditer(text):
        if sum(character.isdigit() for character in match[1]) >= 7:
            yield Found(*match.span(1), "PHONE", "pattern", "phone-context")
    for match in (*_IPV4.finditer(text), *_IPV6.finditer(text)):
        try:
            ipaddress.ip_address(match[0])
        except ValueError:
            continue
        yield Found(*match.span(), "URL", "pattern", "ip")
