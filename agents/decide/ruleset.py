"""Loads and checks rules and tables; what is wrong is named by file and path before anything is evaluated."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from agents.decide.form.conditions import (
    AllOf,
    AlsoGiven,
    AnyOf,
    Baseline,
    Condition,
    Conflict,
    Denied,
    FiltrationDiffers,
    FiltrationDrop,
    GivenBelow,
    GivenWith,
    Interpreted,
    Limits,
    Measured,
    NoneOf,
    Older,
    OrderedTwice,
    OverMaximum,
    Present,
    Ratio,
    Rise,
    Single,
    Stated,
    Together,
    Total,
    Unlisted,
    Value,
    Written,
)
from agents.decide.form.index import (
    OnAllergens,
    OnContraindications,
    OnDenials,
    OnDoses,
    OnDrugs,
    OnFiltration,
    OnMeasure,
    OnPairs,
    OnScore,
    OnStatements,
    OnTable,
)
from agents.decide.form.inputs import Allergies, Measure, Medications, Statement
from agents.decide.form.rule import RuleForm, conditions, walk
from agents.decide.form.tables import DrugTable, LimitTable
from agents.decide.reading.drugs import DrugLexicon
from agents.decide.reading.units import analytes
from schemas.errors import ConfigurationError
from streams.settings import Decide

HERE = Path(__file__).parent
RULES = HERE / "rules"
TABLES = HERE / "tables"

#: Both safe; the one in C is ten times faster where it is there.
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_T = TypeVar("_T")
#: Conditions that read a table of drugs.
FROM_DRUGS = (Conflict, Together, GivenWith, GivenBelow, OverMaximum, Unlisted, Denied, Written, AlsoGiven, OrderedTwice)
#: Which conditions make sense for which index.
_FITS: dict[type, tuple[type, ...]] = {
    OnMeasure: (Value, Rise, Ratio, FiltrationDrop, Interpreted, AnyOf, AllOf),
    OnTable: (Limits, Interpreted, Value, AnyOf, AllOf),
    OnStatements: (Present, AnyOf, AllOf),
    OnPairs: (Conflict, AnyOf, AllOf),
    OnScore: (Total, Single, Stated, AnyOf, AllOf),
    OnDrugs: (Together, OrderedTwice, Written, AlsoGiven, Older, Measured, Stated, AnyOf, AllOf, NoneOf),
    OnContraindications: (GivenWith, GivenBelow),
    OnFiltration: (FiltrationDiffers,),
    OnDoses: (OverMaximum,),
    OnAllergens: (Unlisted,),
    OnDenials: (Denied,),
}


@dataclass(frozen=True, slots=True)
class LoadedRule:
    """A checked rule and the SHA-256 of everything that its result depends on: its file and its tables."""

    form: RuleForm
    sha256: str


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules in order of id; ``version`` changes with every byte of a rule or table."""

    rules: tuple[LoadedRule, ...]
    limits: dict[str, LimitTable]
    drugs: dict[str, DrugLexicon]
    version: str

    @classmethod
    def with_file(cls, file: Path) -> tuple[RuleSet, RuleForm]:
        """One rule file over the shipped tables. Raises ConfigurationError as ``load``."""
        document, _ = _read(file)
        form = _convert(document, RuleForm, file.name)
        shipped = cls.load()
        _check_rule(form, file.name, shipped.limits, shipped.drugs)
        return shipped, form

    @classmethod
    def of_site(cls, chosen: Decide) -> RuleSet:
        """The shipped rules with what the site sets. Raises ConfigurationError as ``load``."""
        return cls.load(site_rules=chosen.rules_folder, site_table=chosen.site_table, baseline=chosen.baseline)

    @classmethod
    def load(
        cls,
        rules: Path = RULES,
        *,
        tables: Path = TABLES,
        site_rules: Path | None = None,
        site_table: Path | None = None,
        baseline: Baseline | None = None,
    ) -> RuleSet:
        """Every ``*.yaml`` of ``rules`` that is not a table of cases; those of ``site_rules`` replace rules of the same id and add others.

        ``baseline`` is the site's policy for every ratio to a baseline; ``None`` leaves what the files say.

        Raises:
            ConfigurationError: ``path`` names file and place (``aki_kdigo.yaml:$.levels[0].when``).
        """
        limits: dict[str, LimitTable] = {}
        drugs: dict[str, DrugLexicon] = {}
        digests: dict[str, str] = {}
        for file in sorted(tables.glob("*.yaml")):
            document, digests[file.stem] = _read(file)
            if isinstance(document, dict) and document.get("api_version") == "drugs/v1":
                drugs[file.stem] = DrugLexicon(_checked_drugs(_convert(document, DrugTable, file.name), file.name))
            else:
                limits[file.stem] = _convert(document, LimitTable, file.name)
        if site_table is not None:
            document, digest = _read(site_table)
            site = _convert(document, LimitTable, site_table.name)
            base = limits.get("critical_limits")
            rows = {**base.rows, **site.rows} if base else site.rows
            limits["critical_limits"] = msgspec.structs.replace(site, rows=rows)
            digests["critical_limits"] = digests.get("critical_limits", "") + digest
        for name, table in limits.items():
            _check_limits(table, name)
        if site_rules is not None and not site_rules.is_dir():
            raise ConfigurationError(path=site_rules.name, detail="no such folder of rules")
        shipped = _load_rules(rules, limits, drugs, digests)
        site_ones = _load_rules(site_rules, limits, drugs, digests) if site_rules is not None else []
        own = {rule.form.id for rule in site_ones}
        loaded = [rule for rule in shipped if rule.form.id not in own] + site_ones
        if baseline is not None:
            loaded = [_under(rule, baseline) for rule in loaded]
        loaded.sort(key=lambda rule: rule.form.id)
        ids = [rule.form.id for rule in loaded]
        if len(set(ids)) != len(ids) or not ids:
            raise ConfigurationError(path=rules.name, detail="two rules have one id, or there is none")
        whole = hashlib.sha256("".join(rule.sha256 for rule in loaded).encode()).hexdigest()
        return cls(tuple(loaded), limits, drugs, f"rules-{whole[:12]}")


def _under(rule: LoadedRule, baseline: Baseline) -> LoadedRule:
    """The rule under the site's baseline policy; its digest says so."""

    def put(condition: Condition) -> Condition:
        if isinstance(condition, AnyOf | AllOf | NoneOf):
            return msgspec.structs.replace(condition, of=tuple(put(one) for one in condition.of))
        return msgspec.structs.replace(condition, baseline=baseline) if isinstance(condition, Ratio) else condition

    levels = tuple(msgspec.structs.replace(level, when=put(level.when)) for level in rule.form.levels)
    if levels == rule.form.levels:
        return rule
    digest = hashlib.sha256(f"{rule.sha256}/baseline={baseline}".encode()).hexdigest()
    return LoadedRule(msgspec.structs.replace(rule.form, levels=levels), digest)


def _load_rules(
    folder: Path, limits: dict[str, LimitTable], drugs: dict[str, DrugLexicon], digests: dict[str, str]
) -> list[LoadedRule]:
    loaded = []
    for file in sorted(folder.glob("*.yaml")):
        if file.name.endswith(".cases.yaml"):
            continue
        document, digest = _read(file)
        form = _convert(document, RuleForm, file.name)
        _check_rule(form, file.name, limits, drugs)
        parts = [digest, *(digests[name] for name in sorted(_tables(form)))]
        loaded.append(LoadedRule(form, hashlib.sha256("".join(parts).encode()).hexdigest()))
    return loaded


def _read(file: Path) -> tuple[Any, str]:
    try:
        raw = file.read_bytes()
        return yaml.load(raw, _LOADER), hashlib.sha256(raw).hexdigest()  # noqa: S506 - a safe loader
    except OSError:
        raise ConfigurationError(path=file.name, detail="the file cannot be read") from None
    except yaml.YAMLError:
        raise ConfigurationError(path=file.name, detail="not YAML") from None


def _convert(document: Any, form: type[_T], name: str) -> _T:
    try:
        return msgspec.convert(document, form)
    except msgspec.ValidationError as error:
        # Rules are configuration, not clinical text: the message may say what it found.
        raise ConfigurationError(path=name, detail=str(error)) from None


def _check_limits(table: LimitTable, name: str) -> None:
    for key, row in table.rows.items():
        where = f"{name}:$.rows.{key}"
        if row.analyte not in analytes():
            raise ConfigurationError(path=f"{where}.analyte", detail="no such analyte in the unit table")
        if row.low is None and row.high is None:
            raise ConfigurationError(path=where, detail="neither low nor high")
        inside = [x for x in (row.low, row.high) if x is not None]
        if any(not row.plausible.low <= x <= row.plausible.high for x in inside) or inside != sorted(inside):
            raise ConfigurationError(path=where, detail="limits out of order or outside the plausible range")


def _checked_drugs(table: DrugTable, name: str) -> DrugTable:
    for key, row in table.ingredients.items():
        if row.maximum_mg is not None and row.maximum_mg <= 0:
            raise ConfigurationError(path=f"{name}:$.ingredients.{key}.maximum_mg", detail="not more than 0")
        for group in row.classes:
            if group not in table.classes:
                raise ConfigurationError(path=f"{name}:$.ingredients.{key}.classes", detail="no such class")
    for pair in table.cross:
        if any(group not in table.classes for group in pair):
            raise ConfigurationError(path=f"{name}:$.cross", detail="no such class")
    return table


def _check_rule(form: RuleForm, name: str, limits: dict[str, LimitTable], drugs: dict[str, DrugLexicon]) -> None:
    def need(ok: bool, where: str, detail: str) -> None:
        if not ok:
            raise ConfigurationError(path=f"{name}:$.{where}", detail=detail)

    for key, source in form.inputs.items():
        if isinstance(source, Measure):
            need(source.analyte in analytes(), f"inputs.{key}.analyte", "no such analyte in the unit table")
        if isinstance(source, Statement):
            need(bool(source.codes or source.terms), f"inputs.{key}", "neither codes nor terms")
            need(bool(source.facts or source.mentions), f"inputs.{key}", "neither facts nor mentions")
    for key in form.applies.not_with:
        need(isinstance(form.inputs.get(key), Statement), "applies.not_with", "not a statement of this rule")
    index = form.index
    if isinstance(index, OnScore):
        names = {item.name for item in index.items}
        for item in index.items:
            where = f"index.items.{item.name}"
            need(
                all(isinstance(form.inputs.get(part.input), Measure) for part in item.parts), where, "not a measure of this rule"
            )
            asked = [name for name in (item.only_with, item.not_with) if name]
            need(all(isinstance(form.inputs.get(name), Statement) for name in asked), where, "not a statement of this rule")
            needed = {band.with_item for part in item.parts for band in part.bands if band.with_item}
            need(needed <= names, where, "with_item names no item")
    elif isinstance(index, OnDrugs | OnDoses | OnDenials):
        need(isinstance(form.inputs.get(index.medications), Medications), "index.medications", "not medications of this rule")
    elif isinstance(index, OnAllergens):
        need(isinstance(form.inputs.get(index.allergies), Allergies), "index.allergies", "not allergies of this rule")
    elif isinstance(index, OnContraindications):
        need(isinstance(form.inputs.get(index.medications), Medications), "index.medications", "not medications of this rule")
        need(all(isinstance(form.inputs.get(name), Statement) for name in index.statements), "index.statements", "not statements")
        measures = [form.inputs.get(name) for name in index.filtration]
        rates = all(isinstance(one, Measure) and one.analyte in ("filtration", "creatinine") for one in measures)
        need(rates, "index.filtration", "not measures of filtration or creatinine")
    elif isinstance(index, OnMeasure):
        need(isinstance(form.inputs.get(index.input), Measure), "index.input", "not a measure of this rule")
        need(all(isinstance(form.inputs.get(name), Measure) for name in index.also), "index.also", "not measures of this rule")
    elif isinstance(index, OnFiltration):
        for place, key, analyte in (("charted", index.charted, "filtration"), ("creatinine", index.creatinine, "creatinine")):
            measure = form.inputs.get(key)
            need(isinstance(measure, Measure) and measure.analyte == analyte, f"index.{place}", f"not a measure of {analyte}")
    elif isinstance(index, OnTable):
        need(index.table in limits, "index.table", "no such table of limits")
    elif isinstance(index, OnStatements):
        good = all(isinstance(form.inputs.get(key), Measure | Statement) for key in index.inputs)
        need(good and bool(index.inputs), "index.inputs", "not statements or measures of this rule")
    else:
        pair = form.inputs.get(index.medications), form.inputs.get(index.allergies)
        need(
            isinstance(pair[0], Medications) and isinstance(pair[1], Allergies),
            "index",
            "not medications and allergies of this rule",
        )
    if form.resolve is not None:
        need(isinstance(form.index, OnMeasure | OnTable | OnScore), "resolve", "only what is measured again can pass")
        need(form.resolve.ratio_below is None or isinstance(form.index, OnMeasure), "resolve.ratio_below", "needs a measure")
    for number, level in enumerate(form.levels):
        where = f"levels[{number}].when"
        for condition in walk(level.when):
            need(isinstance(condition, _FITS[type(index)]), where, "a condition that this index cannot answer")
            if isinstance(condition, AnyOf | AllOf | NoneOf):
                need(bool(condition.of), where, "an empty list of conditions")
            if isinstance(condition, Value):
                bounds = (condition.at_least, condition.above, condition.at_most, condition.below)
                need(sum(x is not None for x in bounds) == 1, where, "exactly one bound is needed")
            if isinstance(condition, FiltrationDrop) and isinstance(index, OnMeasure):
                sources = [form.inputs[name] for name in index.measures]
                rates = all(isinstance(one, Measure) and one.analyte in ("creatinine", "filtration") for one in sources)
                need(rates, where, "needs creatinine or filtration")
            if isinstance(condition, Ratio):
                need(condition.lowest_hours < condition.median_hours, where, "lowest_hours must be less than median_hours")
            if isinstance(condition, Present) and isinstance(index, OnStatements):
                need(condition.input in index.inputs, where, "not an input of the index")
                measured = isinstance(form.inputs[condition.input], Measure)
                need(measured == (condition.at_least is not None), where, "a measure needs at_least, a statement has none")
            if isinstance(condition, FROM_DRUGS):
                need(condition.table in drugs, where, "no such table of drugs")
            if isinstance(condition, OverMaximum):
                need(bool(drugs[condition.table].maxima), where, "a table without a maximum_mg")
            if isinstance(condition, Together):
                known = drugs[condition.table].names
                need(all(one in known for one in (*condition.one, *condition.other)), where, "no such ingredient or class")
            if isinstance(condition, GivenWith | GivenBelow) and isinstance(index, OnContraindications):
                need(set(condition.drugs) <= drugs[condition.table].names, where, "no such ingredient or class")
                used = condition.input in index.statements if isinstance(condition, GivenWith) else bool(index.filtration)
                need(used, where, "not an input of the index")
            if isinstance(condition, Written | AlsoGiven):
                need(set(condition.drugs) <= drugs[condition.table].names, where, "no such ingredient or class")
            if isinstance(condition, Measured):
                need(isinstance(form.inputs.get(condition.input), Measure), where, "not a measure of this rule")
            if isinstance(condition, Stated):
                need(isinstance(form.inputs.get(condition.input), Statement), where, "not a statement of this rule")


def _tables(form: RuleForm) -> set[str]:
    names = {condition.table for condition in conditions(form) if isinstance(condition, FROM_DRUGS)}
    if isinstance(form.index, OnTable):
        names.add(form.index.table)
    return names
