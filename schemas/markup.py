"""Readable text of HTML and XHTML, in one pass over the characters.

A tree is not needed for text, and tree builders cost seconds on broken or hostile markup (the standard library's parser takes
minutes for 400 kB of ``<!--``); every step here looks at each character a bounded number of times. Nothing that a browser would show
is left out: what cannot be understood is kept as text, so that it is scrubbed like text.
"""

from __future__ import annotations

import html
import re

_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "br", "caption", "center", "dd", "details", "div", "dl", "dt", "fieldset",
    "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "option", "p",
    "section", "table", "tbody", "tfoot", "thead", "title", "tr", "ul",
})  # fmt: skip
#: Their content is not markup and is never shown.
_RAW = {name: re.compile(rf"(?i)</{name}[\s/>]") for name in ("script", "style", "title")}
_CELLS = frozenset({"td", "th"})

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9:_-]{0,63}")
_TAG_STOP = re.compile(r"[>\"']")
_SPACES = re.compile(r"[ \t\r\n\f\v\xa0]+")


class LineWriter:
    """Collects words into lines the way a browser lays out blocks; cells of a row are separated by `` | ``."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line: list[str] = []
        self._cells = 0
        self._exact: str | None = None

    def flow(self, text: str) -> None:
        """Running text; spaces and line ends are all one space."""
        self._line.append(text)

    def cell(self) -> None:
        """A further cell of the row begins."""
        if self._cells:
            self._line.append(" | ")
        self._cells += 1

    def break_line(self) -> None:
        line = _SPACES.sub(" ", "".join(self._line)).strip()
        self._line = []
        self._cells = 0
        if line.strip("| "):
            self._lines.append(line)
            self._exact = None

    def verbatim(self, text: str) -> None:
        """Preformatted text, kept as it stands."""
        self.break_line()
        self._exact = text if not self._lines else None
        self._lines.append(text)

    def text(self) -> str:
        """The lines; one preformatted block alone comes back to the last character."""
        self.break_line()
        return self._exact if self._exact is not None else "\n".join(self._lines)


def html_to_text(markup: str) -> str:
    """Blocks and rows become lines, ``pre`` keeps its own; tags, comments, scripts, styles and the page title are dropped."""
    writer = LineWriter()
    verbatim: list[str] | None = None
    position = 0
    while position < len(markup):
        start = markup.find("<", position)
        start = len(markup) if start < 0 else start
        if start > position:
            text = html.unescape(markup[position:start])
            writer.flow(text) if verbatim is None else verbatim.append(text)
            position = start
            continue
        name, closing, end = _tag(markup, start)
        if end == start:  # a "<" that begins no tag
            writer.flow("<") if verbatim is None else verbatim.append("<")
            position = start + 1
            continue
        position = end
        if name == "pre":
            if closing and verbatim is not None:
                writer.verbatim("".join(verbatim))
                verbatim = None
            elif not closing and verbatim is None:
                verbatim = []
        elif verbatim is not None:
            if name == "br":
                verbatim.append("\n")
        elif name in _CELLS:
            if not closing:
                writer.cell()
        elif name in _BLOCKS:
            writer.break_line()
        if name in _RAW and not closing:
            position = _after_raw(markup, position, name)
    if verbatim is not None:
        writer.verbatim("".join(verbatim))
    return writer.text()


def text_to_xhtml(text: str) -> str:
    """A FHIR ``Narrative.div`` from which ``html_to_text`` reads exactly ``text`` again."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    return f'<div xmlns="http://www.w3.org/1999/xhtml"><pre>{escaped}</pre></div>'


def _tag(markup: str, start: int) -> tuple[str, bool, int]:
    """Name in lower case, whether it closes, and the end of the tag, comment or declaration at ``start``; end = start for none."""
    if markup.startswith("<!--", start):
        return "", False, _behind(markup, "-->", start + 4)
    if markup.startswith(("<!", "<?"), start):
        return "", False, _behind(markup, ">", start + 2)
    closing = markup.startswith("</", start)
    match = _NAME.match(markup, start + 1 + closing)
    if match is None:
        return "", False, start
    return match.group().lower(), closing, _tag_end(markup, match.end())


def _tag_end(markup: str, position: int) -> int:
    """Behind the ``>`` that no quote hides; a quote that is never closed hides nothing."""
    at = position
    while (stop := _TAG_STOP.search(markup, at)) is not None:
        if stop.group() == ">":
            return stop.end()
        closed = markup.find(stop.group(), stop.end())
        if closed < 0:
            return _behind(markup, ">", stop.end())
        at = closed + 1
    return len(markup)


def _behind(markup: str, ending: str, position: int) -> int:
    found = markup.find(ending, position)
    return len(markup) if found < 0 else found + len(ending)


def _after_raw(markup: str, position: int, name: str) -> int:
    found = _RAW[name].search(markup, position)
    return len(markup) if found is None else found.start()
