"""Mentions to vocabularies: names from an index file, matched exactly, in normal form, by derivation and by spelling."""
