"""The services of the CDS Hooks door, and which flags each one answers with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PREFETCH = {"patient": "Patient/{{context.patientId}}"}
#: What the rules on medicines look at beside a draft order.
ORDER_PREFETCH = PREFETCH | {
    "medications": "MedicationRequest?patient={{context.patientId}}&status=active",
    "statements": "MedicationStatement?patient={{context.patientId}}&status=active",
    "conditions": "Condition?patient={{context.patientId}}",
    "allergies": "AllergyIntolerance?patient={{context.patientId}}",
    "results": "Observation?patient={{context.patientId}}&category=laboratory&_sort=-date&_count=100",
}
#: Flags that belong beside an order: medicines, and what limits a dose.
_ORDERS = ("drug.", "kidney.", "egfr.", "aki.")


@dataclass(frozen=True, slots=True)
class Service:
    id: str
    hook: str
    title: str
    description: str
    types: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def orders(self) -> bool:
        """Draft orders of the call are judged."""
        return "draftOrders" in self.needs

    def takes(self, type_: str) -> bool:
        return not self.types or type_.startswith(self.types)

    def described(self) -> dict[str, Any]:
        prefetch = ORDER_PREFETCH if self.orders else PREFETCH
        return {"id": self.id, "hook": self.hook, "title": self.title, "description": self.description, "prefetch": prefetch}


_ABOUT = "Preliminary flags computed from the patient's messages, each with its basis. Not a medical device; nothing is ordered."
#: Context fields of each hook: https://cds-hooks.hl7.org/hooks/
SERVICES = {
    service.id: service
    for service in (
        Service("wardstream-patient-view", "patient-view", "Flags of the patient", _ABOUT, needs=("userId", "patientId")),
        Service(
            "wardstream-order-select",
            "order-select",
            "Flags beside an order",
            _ABOUT,
            _ORDERS,
            ("userId", "patientId", "selections", "draftOrders"),
        ),
        Service(
            "wardstream-order-sign",
            "order-sign",
            "Flags beside an order",
            _ABOUT,
            _ORDERS,
            ("userId", "patientId", "draftOrders"),
        ),
        Service(
            "wardstream-encounter-start",
            "encounter-start",
            "Flags at the start of an encounter",
            _ABOUT,
            needs=("userId", "patientId", "encounterId"),
        ),
        Service(
            "wardstream-encounter-discharge",
            "encounter-discharge",
            "Flags at discharge",
            _ABOUT,
            needs=("userId", "patientId", "encounterId"),
        ),
    )
}
