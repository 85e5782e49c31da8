"""Which entity models serve together: a champion, and a canary for a share of the patients."""

from __future__ import annotations

from dataclasses import dataclass

from agents.extract.step import Extractor
from agents.following import taggers_of
from models.store import BundleStore
from schemas.releases import Canary, ModelRelease, in_canary
from streams.settings import Models


@dataclass(frozen=True, slots=True)
class Lineup:
    """``share`` says for whom ``canary`` serves; both or neither."""

    champion: Extractor
    canary: Extractor | None = None
    share: Canary | None = None

    def of(self, subject: str) -> Extractor:
        """The extractor for the patient with this token."""
        if self.canary is not None and self.share is not None and in_canary(self.share, subject):
            return self.canary
        return self.champion

    @property
    def versions(self) -> dict[str, str]:
        """Version of the model by role."""
        return {"champion": self.champion.model} | ({"canary": self.canary.model} if self.canary else {})

    def close(self) -> None:
        """End the models' threads."""
        for each in (self.champion, self.canary):
            if each is not None:
                each.close()


def line_up(release: ModelRelease, store: BundleStore, chosen: Models, like: Extractor) -> Lineup:
    """What is released, opened and tried. ``like`` lends its vocabulary. Raises as ``agents.following.taggers_of``."""
    champion, canary = taggers_of(release, store, chosen)
    return Lineup(like.with_tagger(champion), None if canary is None else like.with_tagger(canary), release.canary)
