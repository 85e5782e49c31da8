"""``deid.patient.merged.v1`` -> patient contexts: what was known under the retired token goes on under the survivor's. Writes no topic."""

from __future__ import annotations

from collections.abc import Sequence

from agents.decide.joining import join
from agents.decide.store import Change, ContextStore, RedisContextStore
from schemas.errors import Poison, Reason, StoreUnavailable
from schemas.merges import Merge, read_merge
from streams.record import Record
from streams.settings import Settings
from streams.stage import Done, Outcome, Refused
from streams.store import Store, connect

STAGE = "merge"
#: How often a merge is tried again because the decide stage wrote one of the two contexts meanwhile.
_ATTEMPTS = 5


class MergeStage:
    """See ``streams.stage.Stage``. A record that comes again finds no retired context and changes nothing."""

    name = STAGE

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redis: Store | None = None
        self._contexts: ContextStore | None = None

    async def open(self) -> None:
        self._redis = connect(self._settings.redis)
        self._contexts = RedisContextStore(
            self._redis,
            prefix=self._settings.kafka.topic_prefix,
            context_ttl_s=self._settings.decide.context_ttl_days * 86_400,
        )

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        if self._contexts is None:
            raise RuntimeError("process before open")
        outcomes: list[Outcome] = []
        for record in records:
            try:
                await apply(read_merge(record.headers, record.value)[1], self._contexts)
            except Poison as error:
                outcomes.append(Refused(error))
            else:
                outcomes.append(Done())
        return outcomes

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()
        self._redis = self._contexts = None


async def apply(merge: Merge, store: ContextStore) -> None:
    """Move the retired token's context. Raises StoreUnavailable when the contexts cannot be read or keep changing under us."""
    for _ in range(_ATTEMPTS):
        held, _known = await store.load([merge.survivor, merge.retired], [])
        survivor, retired = held[merge.survivor], held[merge.retired]
        if retired.revision == 0:
            return
        context = join(survivor.context, retired.context, merge.delta_minutes)
        if await store.merge(Change(merge.survivor, survivor.revision, context, {}), merge.retired, retired.revision):
            return
    raise StoreUnavailable(Reason.STORE_UNAVAILABLE, path="context")


def build(settings: Settings) -> MergeStage:
    """The stage under these settings; nothing is opened before ``open``."""
    return MergeStage(settings)
