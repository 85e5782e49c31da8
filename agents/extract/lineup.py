"""Which entity models serve together: a champion, and a canary for a share of the patients."""

from __future__ import annotations

from dataclasses import dataclass

from agents.extract.step import Extractor, execution_of
from models.golden import opened_and_tried
from models.store import BundleStore
from models.tagger import Tagger
from schemas.releases import BundleRef, Canary, ModelRelease, in_canary
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
    """Fetch, verify, open and try what is released; nothing that serves is touched. ``like`` lends its vocabulary.

    Raises:
        ConfigurationError: a bundle does not verify, does not load, or answers otherwise than where it was made.
        StoreUnavailable: try again later.
    """
    champion = like.with_tagger(_opened(release.name, release.champion, store, chosen))
    if release.canary is None:
        return Lineup(champion)
    try:
        canary = like.with_tagger(_opened(release.name, release.canary.bundle, store, chosen))
    except BaseException:
        champion.close()
        raise
    return Lineup(champion, canary, release.canary)


def _opened(name: str, ref: BundleRef, store: BundleStore, chosen: Models) -> Tagger:
    return opened_and_tried(*store.fetch(name, ref), execution_of(chosen))
