"""Words that are common enough to be known: those that the entity bundle's tokenizer has whole."""

from __future__ import annotations

from models.bundle import TOKENIZER, load_manifest, shelf_bundle
from models.tokens import WordPieces
from streams.settings import Models


def known_words(models: Models) -> frozenset[str]:
    """Of the bundle that the settings name, verified. The same whatever model serves, so that the share of other words compares.

    Raises:
        ConfigurationError: there is no such bundle, or it is not what was signed.
    """
    folder = shelf_bundle(models.entities, models.shelf)
    load_manifest(folder, trusted_keys=models.trusted_keys)
    return WordPieces(folder / TOKENIZER).whole_words
