"""The third layer: the shipped PHI model, with what it said about short texts kept, because feeds repeat them all day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agents.deidentify.text.normalise import normalise
from agents.deidentify.text.protect import is_protected
from agents.deidentify.text.spans import Found

#: Texts up to this length are remembered; longer ones never come twice.
_SHORT = 120
_REMEMBERED = 20_000


class ScoredSpan(Protocol):
    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...

    @property
    def label(self) -> str: ...

    @property
    def score(self) -> float: ...


class SpanTagger(Protocol):
    """What this layer needs of a PHI model (``models.Tagger`` has it)."""

    @property
    def version(self) -> str: ...

    def tag_many(self, texts: Sequence[str]) -> Sequence[Sequence[ScoredSpan]]: ...

    def close(self) -> None: ...


class ModelLayer:
    """Safe to use from several threads, as far as the tagger is."""

    def __init__(self, tagger: SpanTagger) -> None:
        self._tagger = tagger
        self._known: dict[str, tuple[Found, ...]] = {}
        self.version = tagger.version

    def close(self) -> None:
        """End the model's threads."""
        self._tagger.close()

    def find_all(self, texts: Sequence[str]) -> dict[str, tuple[Found, ...]]:
        """Spans of each distinct text in its own offsets, protected words left out. The model reads the text without disguise."""
        known = self._known
        answers = {text: known[text] for text in texts if text in known}
        fresh = list(dict.fromkeys(text for text in texts if text not in answers))
        normal = [normalise(text) for text in fresh]
        said = self._tagger.tag_many([one.text for one in normal]) if fresh else ()
        for text, one, spans in zip(fresh, normal, said, strict=True):
            found = (Found(s.start, s.end, s.label, "model", self.version, float(s.score)) for s in spans)
            answers[text] = tuple(
                span._replace(start=start, end=end)
                for span in found
                if not is_protected(one.text, span)
                for start, end in (one.original(span.start, span.end),)
            )
            if len(text) <= _SHORT:
                if len(known) >= _REMEMBERED:
                    self._known = known = {}
                known[text] = answers[text]
        return answers
