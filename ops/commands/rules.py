"""``wardstream rules``: decision rules for people: check them, run their tables, try them on messages, read them in words."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agents.decide.form.rule import RuleForm
from agents.decide.lint import Complaint, complaints
from agents.decide.ruleset import RULES, RuleSet
from agents.decide.trial import Trial, failures, trials
from ops.cli import EXIT_CONFIGURATION, EXIT_FAILED
from schemas.errors import ConfigurationError, WardstreamError
from streams.settings import load

if TYPE_CHECKING:
    from schemas.flags import Flag


@click.group()
def command() -> None:
    """Check decision rules, run their tables of cases, try them on message files, read them in words."""


def _loaded() -> tuple[RuleSet, list[Trial]]:
    chosen = load().decide
    found = trials(RULES)
    if chosen.rules_folder is not None:
        own = trials(chosen.rules_folder)
        replaced = {trial.rule for trial in own}
        found = [trial for trial in found if trial.rule not in replaced] + own
    return RuleSet.load(site_rules=chosen.rules_folder, site_table=chosen.site_table), found


@command.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="JSON instead of lines.")
def lint(files: tuple[Path, ...], as_json: bool) -> None:
    """Complain about FILES, or about every rule in force. A rule's table of cases lies beside it. Exit 1 when there is a complaint."""
    found: list[Complaint] = []
    try:
        if files:
            for file in files:
                found += _lint_file(file)
        else:
            rules, table = _loaded()
            for rule in rules.rules:
                found += complaints(rule.form, rules, [trial for trial in table if trial.rule == rule.form.id])
    except ConfigurationError as error:
        found.append(Complaint("", "form", str(error)))
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(one) for one in found]))
    else:
        for one in found:
            click.echo(f"{one.rule or '-'}: {one.code}: {one.detail}")
        if not found:
            click.echo("no complaints")
    if found:
        sys.exit(EXIT_FAILED)


def _lint_file(file: Path) -> list[Complaint]:
    try:
        rules, form = RuleSet.with_file(file)
    except ConfigurationError as error:
        return [Complaint(file.name, "form", str(error))]
    return complaints(form, rules, [trial for trial in trials(file.parent) if trial.rule == form.id])


@command.command()
@click.option("--rule", default=None, help="Only this rule.")
def test(rule: str | None) -> None:
    """Run the tables of cases of the rules in force. Exit 1 when a row does not hold."""
    rules, table = _loaded()
    chosen = [trial for trial in table if rule in (None, trial.rule)]
    if not chosen:
        click.echo(f"no cases for {rule}", err=True)
        sys.exit(EXIT_CONFIGURATION)
    failed = 0
    for trial in chosen:
        wrong = failures(trial, rules)
        failed += bool(wrong)
        for line in wrong:
            click.echo(f"{trial.rule}: {trial.name}: {line}")
    click.echo(f"{len(chosen)} rows, {failed} failed")
    if failed:
        sys.exit(EXIT_FAILED)


@command.command()
@click.argument("rule")
def show(rule: str) -> None:
    """RULE in words: what it is for, what it reads, when it raises, what it leaves out."""
    rules, _ = _loaded()
    click.echo(_words(_form(rules, rule)))


def _form(rules: RuleSet, name: str) -> RuleForm:
    for rule in rules.rules:
        if rule.form.id == name:
            return rule.form
    raise ConfigurationError(path=name, detail="no such rule; there are " + ", ".join(rule.form.id for rule in rules.rules))


def _words(form: RuleForm) -> str:
    applies = form.applies
    ages = f"from {applies.min_age_years} years" + (f" to {applies.max_age_years}" if applies.max_age_years is not None else "")
    lines = [
        f"{form.id} {form.version}: {form.title}",
        f"Source: {form.citation.logic} ({form.citation.url})",
        f"For: {form.intended_use}",
        f"Limits of use: {form.limitations}",
        f"Applies: {ages}" + "".join(f", not with {name}" for name in applies.not_with),
        f"Raised, the first that holds (older than {form.staleness_hours} h: not raised):",
    ]
    lines += [f"  {level.name} ({level.severity}): {_condition(msgspec.to_builtins(level.when))}" for level in form.levels]
    lines.append(f"Again within {form.suppress.hours} h (same {form.suppress.by}): only when a higher level holds")
    if form.not_considered:
        lines.append("Not considered: " + ", ".join(form.not_considered))
    return "\n".join(lines)


def _condition(row: dict[str, object]) -> str:
    kind = str(row["test"]).replace("_", " ")
    inner = row.get("of")
    if isinstance(inner, list | tuple):
        parts = [f"({_condition(one)})" for one in inner]
        return f"none of {', '.join(parts)}" if kind == "none" else f" {'or' if kind == 'any' else 'and'} ".join(parts)
    return " ".join([kind, *(f"{key.replace('_', ' ')} {_listed(value)}" for key, value in row.items() if key != "test")])


def _listed(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


@command.command()
@click.option("--rule", default=None, help="Only flags of this rule.")
@click.option("--messages", required=True, type=click.Path(exists=True, path_type=Path), help="Folder of HL7 and FHIR files.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a message.")
def run(rule: str | None, messages: Path, as_json: bool) -> None:
    """Try the rules on message files: de-identify, extract and decide offline, in order of message time on each patient's clock."""
    from agents.offline import Offline, Read
    from ops.messages import read_folder

    settings = load()
    if rule is not None:
        _form(_loaded()[0], rule)
    offline = Offline(settings)
    reads: list[tuple[str, Read]] = []
    failed = 0
    for file in read_folder(messages):
        try:
            reads.append((file.path.name, offline.read_message(file.content_type, file.payload)))
        except WardstreamError as error:
            failed += 1
            click.echo(f"{file.path.name}: {type(error).__name__}", err=True)
    reads.sort(key=lambda one: (one[1].findings.subject, one[1].findings.elapsed or 0))
    rows: list[tuple[str, ...]] = []
    for name, read in reads:
        decision = offline.decide(read).decision
        flags = [flag for flag in decision.flags if rule in (None, flag.rule.id)]
        evaluated = {key: value for key, value in decision.evaluated.items() if rule in (None, key)}
        if as_json:
            click.echo(
                json.dumps(
                    {"message": name, "evaluated": evaluated, "flags": [msgspec.to_builtins(f) for f in flags]}, default=str
                )
            )
        rows += [(name, flag.rule.id, flag.severity, flag.summary, _evidence(flag)) for flag in flags]
        if not flags and rule is not None:
            rows.append((name, rule, "", evaluated.get(rule, ""), ""))
    if not as_json:
        _table(("message", "rule", "severity", "flag or outcome", "evidence"), rows)
    if failed:
        sys.exit(EXIT_FAILED)


@command.command()
@click.option(
    "--messages", required=True, type=click.Path(exists=True, path_type=Path), help="Folder of HL7, FHIR and .txt files."
)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def agreement(messages: Path, as_json: bool) -> None:
    """Rules beside the classifiers that the settings name (models.flags, models.vitals), over message files: counts and Cohen's kappa."""
    from agents.offline import Offline
    from ops.agreement import count, kappa

    settings = load()
    if settings.models.flags is None and settings.models.vitals is None:
        raise ConfigurationError(
            path="models.flags", detail="no classifier beside the rules is named (models.flags, models.vitals)"
        )
    rows = count(Offline(settings), messages)
    if as_json:
        click.echo(json.dumps({row.type: dataclasses.asdict(row) | {"kappa": kappa(row)} for row in rows}))
        return
    shown = [
        (row.type, *(str(n) for n in (row.both, row.rule_only, row.model_only, row.neither, row.unknown)), _number(kappa(row)))
        for row in rows
    ]
    _table(("flag", "both", "rule alone", "model alone", "neither", "rule cannot tell", "kappa"), shown)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _evidence(flag: Flag) -> str:
    inputs = [f"{row.code} {row.text}{'' if row.value is None else row.value} {row.unit}".strip() for row in flag.basis.inputs]
    return "; ".join([*inputs, *(f"{key} {value}" for key, value in flag.basis.computed.items())])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    Console(highlight=False).print(table)
