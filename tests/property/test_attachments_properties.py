"""Attachments over any bytes: a text or a coded refusal, in bounded time."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.attachments import decode_base64, to_text
from schemas.errors import MalformedMessage
from schemas.markup import html_to_text, text_to_xhtml

TYPES = [
    "text/plain",
    "text/plain; charset=latin1",
    "text/plain; charset=utf-16",
    "text/html",
    "application/rtf",
    "text/xml",
    "image/png",
]

markup = st.lists(
    st.sampled_from(["<", ">", "<!--", "-->", "</", "<b>", "<pre>", "</pre>", "<script>", "</script>", "<![CDATA[", "]]>", "<a x='", "\"",
                     "&amp;", "&", "&#0;", "&#xD800;", "<?", "text", "\n", "<td>", "{\\rtf1 ", "\\'e9", "\\u-10179?", "\\uc9", "{", "}",
                     "<ClinicalDocument>", "<section><text>", "<!DOCTYPE x>"]),
    max_size=40,
).map("".join)  # fmt: skip


@given(st.binary(max_size=300) | markup.map(str.encode), st.sampled_from(TYPES))
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_text_nothing_or_a_coded_refusal(data: bytes, kind: str) -> None:
    """Never another exception, and never text that cannot be encoded."""
    try:
        opened = to_text(data, kind)
    except MalformedMessage:
        return
    if opened is not None:
        assert opened[0].encode() is not None


@given(st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_text_is_base64_or_refused(text: str) -> None:
    """Never another exception."""
    try:
        decode_base64(text)
    except MalformedMessage:
        return


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
@settings(max_examples=200, deadline=None)
def test_xhtml_of_any_text_reads_back(text: str) -> None:
    """Exactly, control characters included."""
    assert html_to_text(text_to_xhtml(text)) == text


@given(markup)
@settings(max_examples=15, deadline=None)
def test_markup_costs_linear_time(piece: str) -> None:
    """The same pieces thousands of times over are read in a second or two, however broken they are."""
    whole = piece * (200_000 // max(1, len(piece)))
    began = time.process_time()
    html_to_text(whole)
    assert time.process_time() - began < 3
