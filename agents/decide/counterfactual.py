"""What would clear a flag: how far one measured input would have to differ for its rule not to fire, checked by the rule itself.

Bounds come from the rule's own tests (values, rises, ratios, limits, bands of a score) and count in steps of the sender's own
precision. Every bound is tried by evaluating the whole rule again; what does not clear it is not told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from statistics import median

import msgspec

from agents.decide.cases.evidence import as_input
from agents.decide.context import MINUTES_PER_HOUR, ContextFact
from agents.decide.evaluate import Hit, evaluate
from agents.decide.form.base import Plausible
from agents.decide.form.conditions import Ratio, Rise, Value
from agents.decide.form.index import OnMeasure, OnScore, OnTable
from agents.decide.form.inputs import Measure, Statement
from agents.decide.form.rule import RuleForm, conditions
from agents.decide.reading.inputs import Reading, read_measure, read_row, readings, takes_fact
from agents.decide.reading.units import convert
from agents.decide.ruleset import RuleSet
from agents.decide.view import View
from schemas.flags import Clearing

#: Units are straight lines; far enough out that the rounding of converted temperatures does not bend them.
_FAR = 1000
_Fires = Callable[[Decimal], bool]


def clearings(form: RuleForm, rules: RuleSet, view: View, hit: Hit) -> tuple[Clearing, ...]:
    """The nearest ranges of single inputs, all else equal, in which neither this hit nor another on that input is found.

    Ranges stay within the plausible values of the input; an end that is ``None`` reaches the end of those. Empty where no single
    number clears the rule: two grounds that stand alone, a mark of the laboratory, statements and pairs.
    """
    rows = hit.evidence.facts[:1] if isinstance(form.index, OnMeasure | OnTable) else hit.evidence.facts
    if not isinstance(form.index, OnMeasure | OnTable | OnScore):
        return ()
    narrow = _narrow(form, view)
    return tuple(found for row in rows for found in _of_input(form, rules, narrow, hit, row))


def _narrow(form: RuleForm, view: View) -> View:
    """The facts that the rule can look at for this message: a long stay must not make every try slow."""
    measures = [source for source in form.inputs.values() if isinstance(source, Measure)]
    statements = [source for source in form.inputs.values() if isinstance(source, Statement)]
    facts = view.context.facts
    times = [row.fact.elapsed for key in view.changed if (row := facts.get(key)) is not None and row.fact.elapsed is not None]
    first, last = -(2**62), 2**62
    if isinstance(form.index, OnScore) and times:
        reach = max(item.hours for item in form.index.items) * MINUTES_PER_HOUR
        first, last = min(times) - reach, max(times) + reach

    def seen(row: ContextFact) -> bool:
        if row.fact.id in view.changed or any(takes_fact(row.fact, source) for source in statements):
            return True
        near = row.fact.elapsed is None or first <= row.fact.elapsed <= last
        return near and any(read_measure(row, source) is not None for source in measures)

    kept = {key: row for key, row in facts.items() if seen(row)}
    return View(view.findings, msgspec.structs.replace(view.context, facts=kept), view.changed)


def _of_input(form: RuleForm, rules: RuleSet, view: View, hit: Hit, row: ContextFact) -> Iterator[Clearing]:
    value = row.fact.value
    source = _source(form, rules, view, row)
    if value is None or source is None:
        return
    analyte, plausible, bounds = source
    zero, far = (convert(Decimal(n), row.fact.unit, analyte) for n in (0, _FAR))
    if zero is None or far is None:
        return
    slope = (far - zero) / _FAR
    exponent = value.as_tuple().exponent
    step = Decimal(1).scaleb(min(0, exponent if isinstance(exponent, int) else 0))

    def written(canonical: Decimal, rounding: str) -> Decimal:
        return ((canonical - zero) / slope / step).to_integral_value(rounding) * step

    lowest, highest = written(plausible.low, ROUND_CEILING), written(plausible.high, ROUND_FLOOR)
    near = {written(bound, ROUND_FLOOR) + k * step for bound in bounds for k in (-1, 0, 1)}
    points = sorted({lowest, highest} | {point for point in near if lowest <= point <= highest})

    def fires(number: Decimal) -> bool:
        changed = msgspec.structs.replace(row, fact=msgspec.structs.replace(row.fact, value=number, comparator=""))
        facts = {**view.context.facts, row.fact.id: changed}
        verdict = evaluate(form, rules, View(view.findings, msgspec.structs.replace(view.context, facts=facts), view.changed))
        return any(other.key == hit.key or row.fact.id in other.evidence.refs for other in verdict.hits)

    shown = as_input(row)
    name = shown.display or shown.code
    down = _nearest([p for p in reversed(points) if p < value], step, fires)
    if down is not None:
        yield Clearing(
            ref=shown.ref, name=name, unit=shown.unit, at_most=down[0], at_least=None if down[1] == lowest else down[1]
        )
    up = _nearest([p for p in points if p > value], -step, fires)
    if up is not None:
        yield Clearing(ref=shown.ref, name=name, unit=shown.unit, at_least=up[0], at_most=None if up[1] == highest else up[1])


def _nearest(points: list[Decimal], back: Decimal, fires: _Fires) -> tuple[Decimal, Decimal] | None:
    """The first point that clears, whose neighbour ``back`` towards the value found still fires, and how far it goes on."""
    for number, point in enumerate(points):
        if fires(point):
            continue
        if not fires(point + back):
            return None
        last = point
        for further in points[number + 1 :]:
            if fires(further):
                break
            last = further
        return point, last
    return None


def _source(form: RuleForm, rules: RuleSet, view: View, row: ContextFact) -> tuple[str, Plausible, set[Decimal]] | None:
    """Analyte, plausible range and, in the canonical unit, every number at which the answer of a test can change."""
    if isinstance(form.index, OnTable):
        found = read_row(row, rules.limits[form.index.table].rows)
        if found is None:
            return None
        limit = found[1]
        own = {bound for bound in (limit.low, limit.high) if bound is not None}
        return limit.analyte, limit.plausible, own | _tested(form, [], row)
    bounds: set[Decimal] = set()
    measure: Measure | None = None
    for name, source in form.inputs.items():
        if isinstance(source, Measure) and read_measure(row, source) is not None:
            measure = measure or source
            if isinstance(form.index, OnScore):
                bands = [b for item in form.index.items for part in item.parts if part.input == name for b in part.bands]
                bounds |= {x for b in bands for x in (b.at_least, b.above, b.at_most, b.below) if x is not None}
    if measure is None:
        return None
    earlier = [r for r in readings(view.context, measure) if r.exact and (r.elapsed or 0) < (row.fact.elapsed or 0)]
    return measure.analyte, measure.plausible, bounds | _tested(form, earlier, row)


def _tested(form: RuleForm, earlier: list[Reading], row: ContextFact) -> set[Decimal]:
    """More than needed does no harm: each number is tried on the rule."""
    bounds: set[Decimal] = set()
    values = [r.value for r in earlier if r.value is not None]
    for test in conditions(form):
        if isinstance(test, Value):
            bounds |= {x for x in (test.at_least, test.above, test.at_most, test.below) if x is not None}
        elif isinstance(test, Rise):
            bounds |= {value + test.at_least for value in values}
        elif isinstance(test, Ratio):
            bounds |= {value * test.at_least for value in values}
            now = row.fact.elapsed or 0
            newest, oldest = (now - hours * MINUTES_PER_HOUR for hours in (test.lowest_hours, test.median_hours))
            older = [r.value for r in earlier if r.value is not None and oldest <= (r.elapsed or 0) < newest]
            bounds |= {Decimal(median(older)) * test.at_least} if older else set()
    return bounds
