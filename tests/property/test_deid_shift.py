"""Same patient, same shift: over any dates, forms, formats, orders and steps."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from agents.deidentify.clock import day_of, shift_days
from agents.deidentify.policy import load_policy
from agents.deidentify.step import Deidentifier
from schemas.fhir.validate import validate
from schemas.hl7.er7 import parse
from tests.support.deid import ORU, bundle, clean, clean_fhir, patient_resource, report, vault_on

EXPERT = load_policy("expert")
AUTHORITIES = {"NORTHGATE": "urn:oid:1.2.840.99"}
DAYS = st.dates(date(1940, 1, 1), date(2023, 12, 31))
CLOCKS = st.sampled_from(["", "0915", "091500", "091500.250", "0915-0500", "235959+0000"])
WRITTEN = st.sampled_from(["%Y-%m-%d", "%m/%d/%Y", "%B %d, %Y", "%d %B %Y", "%b %d %Y", "%Y/%m/%d"])


@given(day=DAYS, told=DAYS, clock=CLOCKS, form=WRITTEN, epoch_seed=st.integers(0, 10_000), backwards=st.booleans())
def test_every_date_of_a_patient_moves_by_the_same_days(
    day: date, told: date, clock: str, form: str, epoch_seed: int, backwards: bool
) -> None:
    """HL7 field with any clock, note in any form, FHIR date, instant and text; both formats in both orders."""
    step = Deidentifier(EXPERT, authorities=AUTHORITIES)
    vault = vault_on(seed=epoch_seed)
    hl7 = ORU.replace(b"20240102020000", f"{day:%Y%m%d}{clock}".encode()).replace(b"3 January 2024", told.strftime(form).encode())
    fhir = bundle(patient_resource(), report(f"Seen on {told.strftime(form)}.", issued=f"{day.isoformat()}T09:15:00Z"))
    jobs = [lambda: clean(hl7, vault=vault, using=step), lambda: clean_fhir(fhir, vault=vault, using=step)]
    done = [job() for job in (jobs[::-1] if backwards else jobs)]
    message, resource = (parse(result.payload) if n == 0 else json.loads(result.payload) for n, result in enumerate(done[:: -1 if backwards else 1]))  # fmt: skip
    validate(resource)
    raw = message.all("OBR")[0].get(7)
    moved = date.fromisoformat(f"{raw[:4]}-{raw[4:6]}-{raw[6:8]}") - day
    assert raw[8:] == clock
    assert moved.days % 7 == 0
    assert 0 < abs(moved.days) <= 364
    issued = resource["entry"][1]["resource"]["issued"]
    assert issued == f"{(day + moved).isoformat()}T09:15:00Z"
    for text in (message.all("OBX")[1].get(5), resource["entry"][1]["resource"]["conclusion"]):
        assert re.findall(r"[Ss]een on (\S{10})", text) == [(told + moved).isoformat()]


@given(epoch=st.integers(-(10**9), 0), most=st.integers(1, 365), step=st.integers(1, 30))
def test_a_shift_is_never_none_and_never_too_far(epoch: int, most: int, step: int) -> None:
    """Whole steps, both signs, within the limit."""
    if step > most:
        return
    days = shift_days(epoch, max_days=most, multiple_of=step)
    assert 0 < abs(days) <= most
    assert days % step == 0


@given(st.text(max_size=30))
def test_only_whole_days_are_days(text: str) -> None:
    """Whatever stands in a date field, what is taken for a day is one, and nothing of the text is lost."""
    found = day_of(text)
    if found is not None:
        assert text.startswith((found[0].isoformat(), found[0].strftime("%Y%m%d"))) or found[0].year < 1000
        assert text.endswith(found[1])


@given(multiple=st.integers(1, 30), seed=st.integers(0, 1000))
def test_intervals_stay_exact(multiple: int, seed: int) -> None:
    """The days between two dates of one patient are the same before and after."""
    step = Deidentifier(replace(EXPERT, multiple_of=multiple))
    result = parse(clean(ORU, vault=vault_on(seed=seed), using=step).payload)
    born, seen = (day_of(result.all(name)[0].get(7)) for name in ("PID", "OBR"))
    assert born is not None
    assert seen is not None
    assert seen[0] - born[0] == date(2024, 1, 2) - date(1950, 1, 2)
    assert timedelta(0) < seen[0] - born[0]
