"""Problem or finding: settles what BC5CDR, NCBI and PHEE leave open, by what fully annotated documents call such words.

The last word of a mention decides (``abdominal pain`` is a finding because ``... pain`` is one); unknown words are problems.
Without this, neighbouring pieces of one mention may be taught as different types.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from training.data.document import Document, GoldSpan
from training.data.labels import PROBLEM_OR_FINDING


def _head(words: str) -> str:
    last = words.lower().split()[-1].strip("().,;")
    return last[:-1] if len(last) > 4 and last.endswith("s") and not last.endswith(("ss", "is", "us")) else last


def symptom_heads(documents: Iterable[Document]) -> frozenset[str]:
    """Last words that are findings more often than problems in fully annotated documents."""
    balance: Counter[str] = Counter()
    for document in documents:
        for span in document.spans:
            if span.types[0] in PROBLEM_OR_FINDING:
                balance[_head(document.text[span.start : span.end])] += 1 if span.types == ("finding",) else -1
    return frozenset(word for word, count in balance.items() if count > 0)


def settled(documents: list[Document], heads: frozenset[str]) -> list[Document]:
    """The documents with every open span made a problem or a finding."""
    return [
        Document(
            d.id,
            d.text,
            tuple(
                GoldSpan(s.start, s.end, ("finding",) if _head(d.text[s.start : s.end]) in heads else ("problem",))
                if s.types == PROBLEM_OR_FINDING
                else s
                for s in d.spans
            ),
            d.annotated,
            d.unknown,
        )
        for d in documents
    ]
