"""A stage's model as it is released: what serves, exchanged between two batches, told to metrics, readiness and log.

Fails closed: a bundle that does not verify, does not load or answers otherwise than where it was made leaves the old one serving.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import structlog

from models.golden import opened_and_tried
from models.serving import Serving
from models.session import Execution
from models.store import BundleStore
from models.tagger import Tagger
from schemas.errors import ConfigurationError, WardstreamError
from schemas.releases import Canary, ModelRelease, in_canary
from streams.health import Health
from streams.metrics import StreamMetrics
from streams.releases import Follower
from streams.settings import Models, Settings

#: How long a starting worker waits for what is released before it serves the shelf's bundle, seconds.
FIRST_RELEASE_S: Final = 30.0


class Served(Protocol):
    """What a stage does its work with: one model and all that goes with it."""

    @property
    def model(self) -> str:
        """Version of the model alone."""

    def close(self) -> None:
        """End the model's threads."""


T = TypeVar("T", bound=Served)


@dataclass(frozen=True, slots=True)
class Lineup(Generic[T]):
    """What serves together: a champion, and a canary for a share of the patients. ``share`` says for whom; both or neither."""

    champion: T
    canary: T | None = None
    share: Canary | None = None

    def of(self, subject: str) -> T:
        """Which serves the patient with this token, or another name that is the patient's alone; the champion where it is empty."""
        if subject and self.canary is not None and self.share is not None and in_canary(self.share, subject):
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


def execution_of(chosen: Models) -> Execution:
    """How models run under these settings."""
    return Execution("cuda" if chosen.execution == "gpu" else chosen.execution, chosen.execution == "gpu", chosen.threads)


def line_up(release: ModelRelease, store: BundleStore, chosen: Models, with_tagger: Callable[[Tagger], T]) -> Lineup[T]:
    """Fetch, verify, open and try what is released; nothing that serves is touched. ``with_tagger``: makes of a model what the stage works with.

    Raises:
        ConfigurationError: a bundle does not verify, does not load, or answers otherwise than where it was made.
        StoreUnavailable: try again later.
    """
    champion = with_tagger(opened_and_tried(*store.fetch(release.name, release.champion), execution_of(chosen)))
    if release.canary is None:
        return Lineup(champion)
    try:
        canary = with_tagger(opened_and_tried(*store.fetch(release.name, release.canary.bundle), execution_of(chosen)))
    except BaseException:
        champion.close()
        raise
    return Lineup(champion, canary, release.canary)


class Followed(Generic[T]):
    """What serves. ``follow`` begins to exchange it by the releases of ``model``; without that ``first`` stays.

    Args:
        stage: name of the stage, for metrics and log.
    """

    def __init__(self, stage: str, model: str, first: T, observed: tuple[StreamMetrics, Health] | None) -> None:
        self._stage, self._model, self._observed = stage, model, observed
        self._serving = Serving(Lineup(first))
        self._follower: Follower | None = None
        self._shown: list[tuple[str, str, str]] = []
        self._log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

    @contextmanager
    def borrowed(self) -> Iterator[Lineup[T]]:
        """What serves now, open as long as the block lasts: one batch."""
        with self._serving.borrowed() as lineup:
            yield lineup

    async def follow(self, settings: Settings, with_tagger: Callable[[Tagger], T]) -> None:
        """Serve what is released, when it can be had: a store that is away keeps no worker from serving. ``with_tagger`` as in ``line_up``."""
        chosen = settings.models
        store = BundleStore(chosen.store, chosen.cache, shelf=chosen.shelf, trusted_keys=chosen.trusted_keys)

        def apply(release: ModelRelease) -> None:
            self._serving.swap(line_up(release, store, chosen, with_tagger))

        self._show()
        self._follower = Follower(settings.kafka, self._model, apply, self._told, self._log)
        if not await asyncio.to_thread(self._follower.start, FIRST_RELEASE_S):
            self._log.warning("release_late", stage=self._stage, model=self._model)

    async def close(self) -> None:
        """Follow no longer, and close what serves when its last borrower is done."""
        if self._follower is not None:
            await asyncio.to_thread(self._follower.stop)
            self._follower = None
        self._serving.close()

    def _told(self, release: ModelRelease, error: WardstreamError | None) -> None:
        outcome = "applied" if error is None else "refused" if isinstance(error, ConfigurationError) else "waiting"
        versions = self._show()
        say = self._log.info if error is None else self._log.error
        say(
            "model_release",
            stage=self._stage,
            status=outcome,
            model=release.name,
            record_id=release.id,
            version=versions["champion"],
            detail=error.detail if error else None,
        )
        if self._observed is None:
            return
        metrics, health = self._observed
        metrics.model_releases.labels(self._stage, outcome).inc()
        if error is None:
            health.notes.pop(self._model, None)
        else:
            health.notes[self._model] = f"serves {versions['champion']}; release {release.champion.digest[:12]} is {outcome}"

    def _show(self) -> Mapping[str, str]:
        with self._serving.borrowed() as lineup:
            versions = lineup.versions
        if self._observed is not None:
            gauge = self._observed[0].model_serving
            for row in self._shown:
                gauge.remove(*row)
            self._shown = [(self._stage, role, version) for role, version in versions.items()]
            for row in self._shown:
                gauge.labels(*row).set(1)
        return versions
