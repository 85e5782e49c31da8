"""The few LOINC codes by which readers tell a vital sign or an assessment score from a laboratory result.

LOINC codes are free to use under https://loinc.org/license/ (NOTICE names it); displays are not copied.
"""

from __future__ import annotations

LOINC = "http://loinc.org"

#: FHIR R4 vital-signs profile value set (http://hl7.org/fhir/R4/observation-vitalsigns.html), NEWS2 inputs, their usual siblings.
VITALS = frozenset((
    "85353-1", "9279-1", "8867-4", "8889-8", "2708-6", "59408-5", "8310-5", "8331-1", "8332-9",
    "8333-7", "8302-2", "8306-3", "8308-9", "3137-7", "9843-4", "29463-7", "3141-9", "39156-5",
    "85354-9", "8480-6", "8462-4", "8478-0", "3150-6", "3151-8", "80288-4",
))  # fmt: skip

#: Assessment scores: PHQ-9 and its items, PHQ-2, Glasgow coma scale, Morse, Braden, pain.
SCORES = frozenset((
    "44261-6", "44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8",
    "55758-7", "9269-2", "59460-6", "38227-5", "72514-3", "38208-5",
))  # fmt: skip

#: Answer list LL358-3 of the PHQ-9 items: not at all, several days, more than half the days, nearly every day.
ANSWER_SCORES = {"LA6568-5": 0, "LA6569-3": 1, "LA6570-1": 2, "LA6571-9": 3}
