"""The stage ``merge_cards``: two tokens are one patient (``deid.patient.merged.v1``), so the cards that the retired one has follow to the survivor's numbers.

On the released side, as ``cards``: it asks the vault who the survivor is, and keeps nothing of the answer but keyed hashes.
"""

from __future__ import annotations

from collections.abc import Sequence

from agents.publish.cards_agent import DAY_S, RECIPIENT, CardWriter
from agents.publish.disclosure import disclosed
from agents.publish.release import numbers_of
from schemas.errors import Poison
from schemas.merges import read_merge
from streams.card_index import move_cards
from streams.record import Record
from streams.settings import Settings
from streams.stage import Done, Outcome, Refused

STAGE = "merge_cards"


class MergeCardsStage(CardWriter):
    """See ``streams.stage.Stage``. A record that comes again finds the cards where they are and changes nothing."""

    name = STAGE

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        """Raises StoreUnavailable: the batch comes again."""
        store, index = self.opened()
        outcomes: list[Outcome] = []
        for record in records:
            try:
                envelope, merge = read_merge(record.headers, record.value)
            except Poison as error:
                outcomes.append(Refused(error))
                continue
            person = (await self._releaser.survivors((merge.survivor,))).get(merge.survivor)
            rows = [] if person is None else [index.row(*number) for number in numbers_of(person)]
            survivor = (person.into if person is not None else "") or merge.survivor
            life_s = self._settings.cds.days * DAY_S
            await move_cards(store, self._settings.deid.tenant, merge.retired, survivor, rows, life_s)
            outcomes.append(Done(() if person is None else (disclosed(STAGE, record, envelope, RECIPIENT),)))
        return outcomes


def build(settings: Settings) -> MergeCardsStage:
    """The stage under these settings; nothing is opened before ``open``."""
    return MergeCardsStage(settings)
