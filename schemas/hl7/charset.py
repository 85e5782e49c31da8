"""Character set of a message: MSH-18 (HL7 table 0211) to a Python codec, decoded strictly, never with replacement.

Senders write MSH-18 wrongly or not at all, so a declared set that does not fit falls back to strict UTF-8 and then to the site's
configured single-byte set. A declared multi-byte set that does not fit is refused: guessing would turn names into noise that no
identifier list matches.
"""

from __future__ import annotations

from functools import lru_cache

from schemas.errors import MalformedMessage, Reason

#: Table 0211 (v2.8.2), and what senders write instead, upper case without blanks, "-" and "_".
_SINGLE_BYTE = {
    "": "ascii",
    "ASCII": "ascii",
    "ISOIR6": "ascii",
    "USASCII": "ascii",
    **{f"8859/{n}": f"iso8859-{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)},
    **{f"ISO8859{n}": f"iso8859-{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)},
    "ISOIR13": "iso2022_jp_ext",
    "WINDOWS1252": "cp1252",
    "CP1252": "cp1252",
}
_MULTI_BYTE = {
    "UNICODEUTF8": "utf-8",
    "UTF8": "utf-8",
    "ISOIR14": "iso2022_jp_ext",
    "ISOIR87": "iso2022_jp_ext",
    "ISOIR159": "iso2022_jp_ext",
    "GB180302000": "gb18030",
    "GB18030": "gb18030",
    "KSX1001": "euc_kr",
    "BIG5": "big5hkscs",
}
#: Known names of sets that MLLP forbids or Python lacks: only UTF-8 mislabelled as such can be read.
_UNREADABLE = frozenset({"UNICODE", "UNICODEUTF16", "UNICODEUTF32", "CNS116431992"})
_CODE_EXTENSIONS = frozenset({"ISOIR13", "ISOIR14", "ISOIR87", "ISOIR159"})


def decode(payload: bytes, declared: bytes, repetition: bytes, fallback: str) -> tuple[str, str]:
    """Text of ``payload`` and the codec that read it and will write it.

    Args:
        payload: the message without byte order mark.
        declared: MSH-18 as it stands.
        repetition: the message's repetition separator; empty when it has none.
        fallback: codec for messages whose own declaration does not fit; single-byte.

    Raises:
        MalformedMessage: ``undecodable_charset``, path ``MSH-18``.
    """
    for codec in _candidates(declared, repetition, fallback):
        try:
            return payload.decode(codec), "utf-8" if codec == "ascii" else codec
        except UnicodeDecodeError:
            continue
    raise MalformedMessage(Reason.UNDECODABLE_CHARSET, path="MSH-18")


@lru_cache(maxsize=256)
def _candidates(declared: bytes, repetition: bytes, fallback: str) -> tuple[str, ...]:
    """Codecs to try, in order; a repetition of MSH-18 that names code extensions decides for the one codec that has them."""
    names = [_normal(part) for part in (declared.split(repetition) if repetition else [declared])]
    first = next((name for name in names if name in _CODE_EXTENSIONS), names[0])
    if first in _MULTI_BYTE:
        return (_MULTI_BYTE[first], "utf-8")
    if first in _UNREADABLE:
        return ("utf-8",)
    return (_SINGLE_BYTE.get(first, "ascii"), "utf-8", fallback)


def _normal(name: bytes) -> str:
    return name.decode("latin-1").upper().replace(" ", "").replace("-", "").replace("_", "")
