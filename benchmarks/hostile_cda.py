"""C-CDA documents that are well-formed, or nearly, with everything in their narrative that a sender or an attacker may put there.

Unlike damaged bytes, most of them reach the code that reads narrative. ``NAME`` stands in each, in writings that a reader sees as the name.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from random import Random

NAME = "Quillfeather"
_V3 = "urn:hl7-org:v3"
#: Declaration, codec, byte order mark; ``None`` for a codec that the declaration does not name.
_ENCODINGS: tuple[tuple[str, str, bytes], ...] = (
    ("", "utf-8", b""),
    ("UTF-8", "utf-8", b""),
    ("UTF-8", "utf-8", b"\xef\xbb\xbf"),
    ("UTF-16", "utf-16", b""),
    ("ISO-8859-1", "iso-8859-1", b""),
    ("windows-1252", "cp1252", b""),
    ("us-ascii", "ascii", b""),
)
_WRONG_ENCODINGS = (
    ("UTF-16", "utf-8", b""), ("UTF-8", "utf-16", b""), ("us-ascii", "utf-8", b""), ("UTF-8", "cp1252", b""), ("EBCDIC-CP-US", "utf-8", b""),
    ("UTF-7", "utf-8", b""), ("nope", "utf-8", b""), ("UTF-8", "utf-8", b"\xff\xfe"), ("", "utf-32", b""),
)  # fmt: skip
_ROOTS = (
    f'<ClinicalDocument xmlns="{_V3}" xmlns:sdtc="urn:hl7-org:sdtc" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">',
    f'<ClinicalDocument xmlns="{_V3}">',
    "<ClinicalDocument>",
    '<ClinicalDocument xmlns="urn:hl7-org:v2">',
    '<ClinicalDocument xmlns="http://www.w3.org/1999/xhtml">',
    f'<ClinicalDocument xmlns="{_V3}" xmlns:a="urn:a" xmlns:b="urn:a" a:x="1">',
)
_WORDS = (
    "Metformin 500 mg",
    "K 5.9",
    "no distress",
    "BP 120/80",
    "caf\u00e9",
    "\u00b5g",
    "seen today",
    "1 < 2".replace("<", "&lt;"),
    "A &amp; E",
)
_BEYOND = ("\u202e", "\u200b", "\U0001f600", "\u2028", "\u0085", "\u0301" * 40, "\ufeff", "e\u0301", "\u4e2d\u6587")
#: What stands for tokens inside the stage; a document that holds one is refused.
_MARKS = ("\ufdd0", "\ufdd1x", "\ufdd0p0\ufdd1", "&#xFDD0;&#xFDD1;")
#: Not well-formed, or refused for what they could do.
_FORBIDDEN = (
    "&nbsp;",
    "&#0;",
    "&#xD800;",
    "&#xFFFE;",
    "\x0b",
    "<![CDATA[ ]]>]]>",
    "<?xml version='1.0'?>",
    "<a:b/>",
    "<x a='1' a='2'/>",
    "&lt;&unknown;",
)
_DTDS = (
    "<!DOCTYPE ClinicalDocument [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'><!ENTITY c '&b;&b;&b;&b;&b;&b;'>]>",
    "<!DOCTYPE ClinicalDocument SYSTEM 'file:///etc/hostname'>",
    "<!DOCTYPE ClinicalDocument [<!ENTITY % x SYSTEM 'http://127.0.0.1:9/'>%x;]>",
    "<!DOCTYPE ClinicalDocument>",
)


def document(source: Random) -> bytes:
    """One document. One in twelve is not well-formed or declares another encoding than it has; one in fifty has a DTD."""
    broken = source.random()
    sections = "".join(_section(source, source.choice((0, 1, 3))) for _ in range(source.randint(1, 4)))
    body = f"<component><structuredBody>{sections}</structuredBody></component>"
    if source.random() < 0.03:
        body = f"<component><nonXMLBody><text mediaType='application/pdf' representation='B64'>{_base64(source)}</text></nonXMLBody></component>"
    text = f"{source.choice(_ROOTS)}{_header(source)}{body}</ClinicalDocument>"
    if broken < 0.04:
        at = source.randrange(len(text) // 2, len(text))
        text = text[:at] + source.choice(_FORBIDDEN) + text[at:]
    if 0.08 <= broken < 0.1:
        text = text.replace("<text>", f"<text>{source.choice(_MARKS)}", 1)
    if source.random() < 0.02:
        text = source.choice(_DTDS) + text
    declared, codec, mark = source.choice(_WRONG_ENCODINGS if 0.04 <= broken < 0.08 else _ENCODINGS)
    head = (
        f'<?xml version="1.0" encoding="{declared}"?>'
        if declared
        else source.choice(("", '<?xml version="1.0"?>', "<?xml-stylesheet href='x'?>"))
    )
    return mark + (head + text).encode(codec, "xmlcharrefreplace")


def _header(source: Random) -> str:
    null = source.choice((' nullFlavor="NI"', ' nullFlavor="MSK"', ' nullFlavor=""', ""))
    return (
        f"<typeId root='2.16.840.1.113883.1.3' extension='POCD_HD000040'/><id{null}/><title>{source.choice(_WORDS)}</title>"
        f"<recordTarget><patientRole><id extension='100200300'/><patient{null}><name><given>Jonas</given><family>{NAME}</family></name>"
        f"</patient></patientRole></recordTarget>"
    )


def _section(source: Random, depth: int) -> str:
    null = source.choice(("", "", ' nullFlavor="NI"'))
    inner = _blocks(source, source.choice((0, 1, 2, 2, 30)))
    parts = [
        f"<templateId root='2.16.840.1.113883.10.20.22.2.{source.randrange(70)}'/>",
        f"<code code='10164-2' codeSystem='2.16.840.1.113883.6.1'{null}/>",
        f"<title{null}>{_inline(source, 1)}</title>",
        source.choice((f"<text{null}>{inner}</text>",) * 6 + ("<text/>", f"<text{null}/>", f"<text>{inner}</text><text>{inner}</text>")),
        f"<entry><observationMedia classCode='OBS' moodCode='EVN' ID='m{source.randrange(9)}'><value mediaType='image/png' representation='B64'>"
        f"{_base64(source)}</value></observationMedia></entry>" if source.random() < 0.3 else "",
        "".join(f"<component>{_section(source, depth - 1)}</component>" for _ in range(source.randint(1, 2))) if depth else "",
    ]  # fmt: skip
    if source.random() < 0.15:
        source.shuffle(parts)
    if source.random() < 0.1:
        return f"<component><x:section xmlns:x='urn:other'>{''.join(parts)}</x:section></component>"
    return f"<component><section{null}{_attributes(source)}>{''.join(parts)}</section></component>"


def _blocks(source: Random, depth: int) -> str:
    return "".join(_block(source, depth) for _ in range(source.randint(1, 3 if depth < 5 else 1)))


def _block(source: Random, depth: int) -> str:
    if depth <= 0:
        return _inline(source, 2)
    match source.randrange(8):
        case 0:
            rows = "".join(
                f"<tr>{''.join(f'<td{_attributes(source)}>{_block(source, depth - 1)}</td>' for _ in range(source.randint(0, 3)))}</tr>"
                for _ in range(source.randint(1, 2))
            )
            return f"<table border='1'><caption>{_inline(source, 1)}</caption><thead><tr><th>x</th></tr></thead><tbody>{rows}</tbody></table>"
        case 1:
            items = "".join(f"<item>{_block(source, depth - 1)}</item>" for _ in range(source.randint(1, 2)))
            return f"<list listType='{source.choice(('ordered', 'unordered', ''))}'>{items}</list>"
        case 2:
            return f"<paragraph{_attributes(source)}>{_blocks(source, depth - 1)}</paragraph>"
        case 3:
            return f"<section><title>x</title><text>{_block(source, depth - 1)}</text></section>"
        case 4:
            return f"<renderMultiMedia referencedObject='m1'><caption>{_inline(source, 1)}</caption></renderMultiMedia>"
        case 5:
            deep = source.choice((3, 200, 3000))
            return "<content>" * deep + _inline(source, 1) + "</content>" * deep
        case 6:
            return f"<text nullFlavor='UNK'>{_inline(source, 1)}</text>"
        case _:
            return f"<paragraph>{_inline(source, 3)}<br/>{_inline(source, 1)}</paragraph>"


def _inline(source: Random, pieces: int) -> str:
    return source.choice((" ", "", "\n\t ")).join(source.choice(_INLINE)(source) for _ in range(pieces))


def _attributes(source: Random) -> str:
    match source.randrange(30):
        case 0:
            return f" ID='{'x' * source.choice((10, 10_000, 200_000))}'"
        case 1:
            return "".join(f" a{n}='{n}'" for n in range(source.choice((3, 500))))
        case 2:
            return " styleCode='&#x202E;&amp;&lt;b&gt;' xml:lang='zz-ZZ' xml:space='preserve'"
        case _:
            return ""


def _base64(source: Random) -> str:
    raw = source.randbytes(source.choice((0, 30, 3000)))
    return base64.b64encode(raw).decode() + source.choice(("", "=", "\n", "!!"))


def _name(source: Random) -> str:
    """The name as a reader of the rendered document sees it, however it is marked up."""
    half = len(NAME) // 2
    return source.choice(
        (
            NAME,
            NAME.upper(),
            "".join(f"&#{ord(c)};" for c in NAME),
            "".join(f"&#x{ord(c):x};" for c in NAME),
            f"<![CDATA[{NAME}]]>",
            f"{NAME[:half]}<![CDATA[{NAME[half:]}]]>",
            f"{NAME[:half]}<!-- x -->{NAME[half:]}",
            f"{NAME[:half]}<?x y?>{NAME[half:]}",
            f"<content styleCode='Bold'>{NAME[:half]}</content>{NAME[half:]}",
            f"{NAME[:half]}<sup/><sub></sub>{NAME[half:]}",
            f"<content>{NAME[0]}</content><content>{NAME[1:]}</content>",
            f"<linkHtml href='#{NAME}'>{NAME}</linkHtml>",
            f"{NAME[:half]}&#xAD;{NAME[half:]}",
            f"Jonas {NAME}",
        )
    )


_INLINE: tuple[Callable[[Random], str], ...] = (
    lambda source: f"Mr. {_name(source)} seen",
    lambda source: f" {_name(source)} ",
    lambda source: source.choice(_WORDS),
    lambda source: source.choice(_WORDS) * source.choice((1, 1, 300)),
    lambda source: source.choice(_BEYOND),
    lambda source: f"<![CDATA[<paragraph>{source.choice(_WORDS)}</paragraph>]]>",
    lambda source: f"<content{_attributes(source)}>{source.choice(_WORDS)}</content>",
    lambda source: f"<sub>2</sub><sup>+</sup><footnote ID='f'>{source.choice(_WORDS)}</footnote><footnoteRef IDREF='f'/>",
    lambda source: f"<h:p xmlns:h='http://www.w3.org/1999/xhtml'>{source.choice(_WORDS)}<h:script>x()</h:script></h:p>",
    lambda source: f"<paragraph nullFlavor='NI' xmlns=''>{source.choice(_WORDS)}</paragraph>",
    lambda source: "&#10;" * source.choice((1, 2000)),
    lambda source: "<br/>" * source.choice((1, 500)),
    lambda source: " " * source.choice((1, 5000)),
    lambda source: _base64(source).replace("!", ""),
)
