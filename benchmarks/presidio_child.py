"""Texts as a JSON list on standard input, the same without what Presidio finds on standard output; run by the Python of its own environment."""

from __future__ import annotations

import json
import logging
import sys


def main() -> None:
    import spacy
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine
    from presidio_anonymizer import AnonymizerEngine

    logging.disable(logging.WARNING)

    class Blank(SpacyNlpEngine):  # type: ignore[misc]
        """No trained pipeline is on the package index: names and places cost nothing and are not found."""

        def __init__(self) -> None:
            super().__init__()
            self.nlp = {"en": spacy.blank("en")}

    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    analyzer = AnalyzerEngine(nlp_engine=Blank(), registry=registry, supported_languages=["en"])
    anonymizer = AnonymizerEngine()
    clean = [
        anonymizer.anonymize(text=text, analyzer_results=analyzer.analyze(text=text, language="en")).text
        for text in json.load(sys.stdin)
    ]
    print(json.dumps(clean))


if __name__ == "__main__":
    main()
