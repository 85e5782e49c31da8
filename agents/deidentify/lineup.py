"""Which PHI models serve together: a champion, and a canary for a share of the patients."""

from __future__ import annotations

from dataclasses import dataclass

from agents.deidentify.step import Deidentifier
from agents.deidentify.text.model import ModelLayer
from agents.following import taggers_of
from models.store import BundleStore
from schemas.releases import Canary, ModelRelease, in_canary
from streams.settings import Models


@dataclass(frozen=True, slots=True)
class Lineup:
    """``share`` says for whom ``canary`` serves; both or neither."""

    champion: Deidentifier
    canary: Deidentifier | None = None
    share: Canary | None = None

    def of(self, key: bytes | None) -> Deidentifier:
        """The one for the patient with this record key, the door's keyed hash of the patient: the token is known only when the message has been read.
        What an engine wrote without a key is the champion's."""
        if key and self.canary is not None and self.share is not None and in_canary(self.share, key.hex()):
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


def line_up(release: ModelRelease, store: BundleStore, chosen: Models, like: Deidentifier) -> Lineup:
    """What is released, opened and tried. ``like`` lends its policy. Raises as ``agents.following.taggers_of``."""
    champion, canary = taggers_of(release, store, chosen)
    second = None if canary is None else like.with_model(ModelLayer(canary))
    return Lineup(like.with_model(ModelLayer(champion)), second, release.canary)
