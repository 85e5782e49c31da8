"""Attachments become readable text or stay withheld."""

from __future__ import annotations

import base64
import time

import pytest

from schemas.attachments import MAX_BYTES, decode_base64, to_text
from schemas.errors import MalformedMessage, Reason
from schemas.markup import html_to_text, text_to_xhtml

CDA = """<?xml version="1.0"?>
<ClinicalDocument xmlns="urn:hl7-org:v3"><title>Summary</title>
<recordTarget><patientRole><id extension="MRN-1"/></patientRole></recordTarget>
<component><structuredBody><component><section><title>Problems</title>
<text><paragraph>Asthma <content styleCode="Bold">severe</content> now.</paragraph>
<table><thead><tr><th>Drug</th><th>Dose</th></tr></thead><tbody><tr><td>Albuterol</td><td>2 puffs</td></tr></tbody></table>
<list><item>first</item><item>second</item></list>one<br/>two</text>
<component><section><title>Inner</title><text>Nested text</text></section></component>
</section></component></structuredBody></component></ClinicalDocument>"""


def reason(data: bytes, kind: str) -> Reason:
    with pytest.raises(MalformedMessage) as caught:
        to_text(data, kind)
    return caught.value.reason


@pytest.mark.parametrize(
    ("data", "kind", "expected"),
    [
        ("Fièvre\r\n 39 ".encode(), "text/plain", "Fièvre\r\n 39 "),
        ("Fièvre".encode("latin-1"), 'TEXT/PLAIN; charset="ISO-8859-1"', "Fièvre"),
        ("Fièvre".encode("utf-16"), "text/plain;charset=utf-16", "Fièvre"),
        ("\ufeffFever".encode(), "text/plain", "Fever"),
    ],
)
def test_plain_text_stands_exactly_as_written(data: bytes, kind: str, expected: str) -> None:
    """Spaces and line ends stay; the charset parameter is honoured; one byte order mark goes."""
    assert to_text(data, kind) == (expected, "plain")


def test_html_becomes_lines_and_rows() -> None:
    """Blocks are lines, cells are separated, entities are read, scripts, styles and comments are gone."""
    markup = (
        "<html><head><title>T</title><style>p{}</style></head><body><h1>Visit</h1><p>Cough &amp;\n fever.<br>No rash.</p>"
        "<script>alert(1)</script><!-- hidden --><ul><li>one</li><li>two</li></ul>"
        "<table><tr><th>Drug</th><th>Dose</th></tr><tr><td>A</td><td>5 mg</td></tr></table></body></html>"
    )
    assert to_text(markup.encode(), "text/html") == ("Visit\nCough & fever.\nNo rash.\none\ntwo\nDrug | Dose\nA | 5 mg", "html")


def test_words_split_by_inline_tags_stay_whole() -> None:
    """``<b>`` in the middle of a word adds no space, so that a name cannot hide behind markup."""
    assert html_to_text("<p>Jo<b>na</b>s Qu<i></i>ill</p>") == "Jonas Quill"


def test_preformatted_text_keeps_its_lines() -> None:
    """``pre`` is what reports from old systems come in."""
    assert html_to_text("<div>Report<pre>  K   6.7\n  Na  140</pre>end</div>") == "Report\n  K   6.7\n  Na  140\nend"


@pytest.mark.parametrize("text", ["a<b>&amp;\r\n  c", "  spaces  ", "\n\nlines\n", "tab\t", "é😀", "]]> <!-- -->"])
def test_xhtml_written_for_a_text_reads_back_exactly(text: str) -> None:
    """The scrubbed narrative gives the very text that was put in."""
    assert html_to_text(text_to_xhtml(text)) == text


def test_rtf_is_read_in_its_code_page() -> None:
    """Hex escapes, unicode escapes and paragraphs become text."""
    assert to_text(rb"{\rtf1\ansi\ansicpg1252 Caf\'e9\par \u8364? ok}", "application/rtf") == ("Café\n€ ok", "rtf")


def test_cda_gives_section_titles_and_texts_only() -> None:
    """Narrative in reading order; nothing of the header, which names the patient."""
    text, kind = to_text(CDA.encode(), "text/xml; charset=utf-8") or ("", "")
    assert kind == "ccda"
    assert text.splitlines() == [
        "Problems", "Asthma severe now.", "Drug | Dose", "Albuterol | 2 puffs", "first", "second", "one", "two", "Inner", "Nested text",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    ["image/png", "application/zip", "application/octet-stream", "application/msword", "", "x", "text/"],
)
def test_unknown_types_are_withheld(kind: str) -> None:
    """Nothing is guessed from content."""
    assert to_text(b"Jonas Quill", kind) is None


def test_other_xml_and_cda_around_a_binary_are_withheld() -> None:
    """Only structured CDA bodies are understood."""
    assert to_text(b"<note>Jonas</note>", "application/xml") is None
    assert to_text(b'<ClinicalDocument xmlns="urn:hl7-org:v3"><nonXMLBody/></ClinicalDocument>', "text/xml") is None


@pytest.mark.parametrize(
    "payload",
    [
        '<!DOCTYPE lolz [<!ENTITY a "aa"><!ENTITY b "&a;&a;&a;">]><ClinicalDocument>&b;</ClinicalDocument>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><ClinicalDocument/>',
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><ClinicalDocument>&e;</ClinicalDocument>',
        "<ClinicalDocument><unclosed></ClinicalDocument>",
        '<?xml version="1.0" encoding="nonsense"?><ClinicalDocument/>',
    ],
)
def test_hostile_xml_is_refused_at_once(payload: str) -> None:
    """No entity is resolved, no file or address is opened."""
    began = time.perf_counter()
    assert reason(payload.encode(), "text/xml") is Reason.MALFORMED_FHIR
    assert time.perf_counter() - began < 1


def test_xinclude_is_not_followed() -> None:
    """An include element is only an unknown element."""
    payload = (
        '<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xi="http://www.w3.org/2001/XInclude"><component><section>'
        '<text>a<xi:include href="file:///etc/passwd" parse="text"/>b</text></section></component></ClinicalDocument>'
    )
    assert to_text(payload.encode(), "text/xml") == ("ab", "ccda")


@pytest.mark.parametrize(
    ("data", "kind", "expected"),
    [
        (b"\xff\xfe\xfa", "text/plain", Reason.UNDECODABLE_CHARSET),
        (b"abc", "text/plain; charset=rot13", Reason.UNDECODABLE_CHARSET),
        (b"abc", "text/plain; charset=zip", Reason.UNDECODABLE_CHARSET),
        (b"not rtf", "text/rtf", Reason.MALFORMED_FHIR),
        (b"x" * (MAX_BYTES + 1), "text/plain", Reason.TOO_LARGE),
        (b"<p>" + b"x" * MAX_BYTES, "text/html", Reason.TOO_LARGE),
    ],
)
def test_what_cannot_be_read_has_a_code(data: bytes, kind: str, expected: Reason) -> None:
    """Undecodable, oversized and broken attachments say which they are."""
    assert reason(data, kind) is expected


def test_deeply_nested_markup_is_read() -> None:
    """100,000 levels neither crash nor hang; text at the bottom is found."""
    levels = 100_000
    assert to_text(b"<div>" * levels + b"x", "text/html") == ("x", "html")
    cda = (
        b"<ClinicalDocument><section><text>" + b"<a>" * levels + b"x" + b"</a>" * levels + b"</text></section></ClinicalDocument>"
    )
    assert to_text(cda, "text/xml") == ("x", "ccda")
    assert to_text(b"{\\rtf1 " + b"{" * levels + b"x" + b"}" * levels + b"}", "text/rtf") == ("x", "rtf")


@pytest.mark.parametrize("text", ["@@@@", "YQ", "YQ=", "Y Q = = =", "YQ==YQ==", "é", "YQ==\x00"])
def test_base64_is_strict(text: str) -> None:
    """Anything but well padded base64 is malformed."""
    with pytest.raises(MalformedMessage):
        decode_base64(text)


def test_base64_may_have_line_breaks_and_is_judged_by_size_first() -> None:
    """RFC 2045 line breaks are fine; an oversized text is refused before it is decoded."""
    raw = bytes(range(256)) * 8
    assert decode_base64(base64.encodebytes(raw).decode()) == raw
    with pytest.raises(MalformedMessage) as caught:
        decode_base64("A" * 2000, max_bytes=1000)
    assert caught.value.reason is Reason.TOO_LARGE
