"""Texts as a JSON list on standard input, the same without what Presidio finds on standard output; run by the Python of its own environment.

``presidio`` is also what ``benchmarks.annotate_peers`` measures.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable


def presidio() -> Callable[[str], tuple[str, list[tuple[int, int]]]]:
    """Presidio with all predefined recognizers and its default anonymizer: a text to the clean one and the spans found.

    No trained pipeline is on the package index: with a blank one names and places cost nothing and are not found.
    """
    import spacy
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine
    from presidio_anonymizer import AnonymizerEngine

    logging.disable(logging.WARNING)

    class Blank(SpacyNlpEngine):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.nlp = {"en": spacy.blank("en")}

    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    analyzer = AnalyzerEngine(nlp_engine=Blank(), registry=registry, supported_languages=["en"])
    anonymizer = AnonymizerEngine()

    def run(text: str) -> tuple[str, list[tuple[int, int]]]:
        found = analyzer.analyze(text=text, language="en")
        return anonymizer.anonymize(text=text, analyzer_results=found).text, [(row.start, row.end) for row in found]

    return run


def main() -> None:
    run = presidio()
    texts = json.load(sys.stdin)
    begun = time.process_time()
    clean = [run(text) for text in texts]
    seconds = time.process_time() - begun
    print(json.dumps({"texts": [text for text, _ in clean], "spans": [spans for _, spans in clean], "seconds": seconds}))


if __name__ == "__main__":
    main()
