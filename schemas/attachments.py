"""Readable text of an attachment: plain text, HTML, RTF, C-CDA and PDF. What cannot be opened is withheld, not guessed.

Nothing is ever fetched or executed; only PDF is decompressed, under limits (``schemas.pdf``); DTDs and entities are refused (defusedxml). An unknown or binary type gives
``None``: the caller must then keep the whole attachment back.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Literal, NamedTuple
from xml.etree.ElementTree import Element

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from striprtf.striprtf import rtf_to_text

from schemas.errors import MalformedMessage, Reason
from schemas.markup import LineWriter, html_to_text
from schemas.media_type import split_media_type
from schemas.pdf import pdf_to_text
from schemas.scan import OpenScan, Scan

Format = Literal["plain", "html", "rtf", "ccda", "pdf", "scan", "narrative"]

#: Clinical documents are a few hundred kilobytes of text; images inside RTF or CDA make them larger.
MAX_BYTES = 16 * 1024 * 1024
#: XML trees cost some hundred bytes an element.
MAX_MARKUP_BYTES = 4 * 1024 * 1024

_PLAIN = frozenset({"text/plain", "text/markdown", "text/x-plain"})
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_RTF = frozenset({"application/rtf", "text/rtf", "application/x-rtf", "text/richtext"})
_PDF = frozenset({"application/pdf", "application/x-pdf"})
_XML = frozenset(
    {"text/xml", "application/xml", "application/cda+xml", "application/hl7-sda+xml", "application/hl7-cda+xml", "text/cda+xml"}
)
#: Python codecs that do not turn bytes into text, or that mean other bytes on other days.
_CHARSETS = re.compile(r"(?i)(us-)?ascii|utf-?8|utf-?16(le|be)?|iso[-_]?8859-?\d{1,2}|latin-?1|(windows|cp)-?\d{3,4}|big5|gb18030|gbk|"
                       r"shift[-_]jis|euc[-_](jp|kr)|iso-2022-jp|koi8-[ru]|macintosh")  # fmt: skip

_CELLS = frozenset({"td", "th"})
_SPACES = re.compile(r"[ \t\r\n\f\v]+")


class Opened(NamedTuple):
    """``scan`` is there where the text was read off pictures of pages."""

    text: str
    format: Format
    scan: Scan | None = None


def open_attachment(data: bytes, content_type: str, scans: OpenScan | None = None) -> Opened | None:
    """As ``to_text``; what that cannot open is given to ``scans``, where there is one."""
    refused: MalformedMessage | None = None
    try:
        if (opened := to_text(data, content_type)) is not None:
            return Opened(*opened)
    except MalformedMessage as error:
        if scans is None or error.reason is not Reason.UNSUPPORTED_CONTENT_TYPE:
            raise
        refused = error
    scan = scans(data, content_type) if scans is not None else None
    if scan is not None:
        return Opened(scan.text, "scan", scan)
    if refused is not None:
        raise refused
    return None


def to_text(data: bytes, content_type: str) -> tuple[str, Format] | None:
    """Text and what it was, or ``None`` when this type cannot be opened.

    Plain text comes back exactly as it stands, line ends included. Markup loses its tags: blocks and rows become lines, cells of a
    table are separated by `` | ``. ``application/octet-stream`` and a missing type are not guessed at.

    Args:
        content_type: media type with parameters; ``charset`` is honoured, strict UTF-8 is the default for text.

    Raises:
        MalformedMessage: ``TOO_LARGE``, ``UNDECODABLE_CHARSET``, ``UNSUPPORTED_CONTENT_TYPE`` for a PDF that is encrypted or holds
            pictures only, or ``MALFORMED_FHIR`` for RTF, XML and PDF that cannot be parsed.
    """
    kind, parameters = split_media_type(content_type)
    charset = parameters.get("charset", "")
    if kind in _PLAIN:
        return _decode(data, charset, MAX_BYTES), "plain"
    if kind in _HTML:
        return html_to_text(_decode(data, charset, MAX_MARKUP_BYTES)), "html"
    if kind in _RTF:
        return _rtf(data), "rtf"
    if kind in _PDF:
        return pdf_to_text(data), "pdf"
    if kind in _XML:
        return _xml(data)
    return None


def decode_base64(text: str, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Strict RFC 4648 base64 with line breaks allowed (FHIR base64Binary permits white space).

    Raises:
        MalformedMessage: ``TOO_LARGE`` (judged before decoding) or ``MALFORMED_FHIR``.
    """
    if len(text) > max_bytes * 4 // 3 + max_bytes // 16 + 4:
        raise MalformedMessage(Reason.TOO_LARGE)
    try:
        return base64.b64decode(_SPACES.sub("", text), validate=True)
    except (binascii.Error, ValueError):
        raise MalformedMessage(Reason.MALFORMED_FHIR, detail="not base64") from None


def _rtf(data: bytes) -> str:
    """RTF is ASCII with escapes; stray high bytes are read in the code page that it declares, cp1252 by default."""
    if len(data) > MAX_BYTES:
        raise MalformedMessage(Reason.TOO_LARGE)
    if not data.lstrip().startswith(b"{\\rtf"):
        raise MalformedMessage(Reason.MALFORMED_FHIR, detail="not RTF")
    declared = re.search(rb"\\ansicpg(\d{3,5})", data[:4096])
    codec = f"cp{declared.group(1).decode()}" if declared else "cp1252"
    try:
        text = rtf_to_text(data.decode("latin-1"), encoding=codec, errors="strict")
    except Exception:  # the library raises what comes: IndexError, LookupError, UnicodeError
        raise MalformedMessage(Reason.MALFORMED_FHIR, detail="RTF cannot be read") from None
    if not isinstance(text, str):
        raise MalformedMessage(Reason.MALFORMED_FHIR, detail="RTF cannot be read")
    return _no_surrogates(text.replace("\x00", "")).strip("\n")


def _xml(data: bytes) -> tuple[str, Format] | None:
    """Section titles and texts of a CDA document; of other XML nothing is known, so it is withheld."""
    if len(data) > MAX_MARKUP_BYTES:
        raise MalformedMessage(Reason.TOO_LARGE)
    try:
        root = fromstring(data, forbid_dtd=True)
    except DefusedXmlException:
        raise MalformedMessage(Reason.MALFORMED_FHIR, detail="XML with DTD or entities") from None
    except Exception:  # ParseError, LookupError for an encoding, ValueError for NUL
        raise MalformedMessage(Reason.MALFORMED_FHIR, detail="not XML") from None
    if _local(root.tag) != "ClinicalDocument":
        return None
    writer = LineWriter()
    for part in root.iter():
        name = _local(part.tag)
        if name == "section":
            _write_section(part, writer)
        elif name == "nonXMLBody":
            return None
    return writer.text(), "ccda"


def _write_section(section: Element, writer: LineWriter) -> None:
    for child in section:
        if _local(child.tag) in {"title", "text"}:
            writer.break_line()
            _write_cda(child, writer)
            writer.break_line()


#: CDA R2 narrative block elements (https://www.hl7.org/implement/standards/product_brief.cfm?product_id=7, 4.3.5).
_CDA_BLOCKS = frozenset({"paragraph", "list", "item", "table", "thead", "tbody", "tfoot", "tr", "caption", "br", "text", "title"})


def _write_cda(element: Element, writer: LineWriter) -> None:
    waiting: list[Element | str] = [element]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            writer.flow(node) if node else writer.break_line()
            continue
        name = _local(node.tag)
        later: list[Element | str] = [node.text] if node.text else []
        cells = 0
        for child in node:
            if _local(child.tag) in _CELLS:
                later += [" | "] if cells else []
                cells += 1
            later.append(child)
            if child.tail:
                later.append(child.tail)
        if name in _CDA_BLOCKS:
            writer.break_line()
            later.append("")
        waiting.extend(reversed(later))


def _local(tag: object) -> str:
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _decode(data: bytes, charset: str, limit: int) -> str:
    if len(data) > limit:
        raise MalformedMessage(Reason.TOO_LARGE)
    if charset and not _CHARSETS.fullmatch(charset):
        raise MalformedMessage(Reason.UNDECODABLE_CHARSET)
    try:
        return data.decode(charset or "utf-8-sig").removeprefix("\ufeff")
    except (UnicodeDecodeError, LookupError):
        raise MalformedMessage(Reason.UNDECODABLE_CHARSET) from None


def _no_surrogates(text: str) -> str:
    """RTF writes characters beyond the basic plane as two ``\\u`` escapes."""
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise MalformedMessage(Reason.UNDECODABLE_CHARSET) from None
