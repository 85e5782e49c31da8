"""The pure step: findings and the patient's context in, decision and new context out. No broker, no store, no clock."""

from __future__ import annotations

import hashlib

import msgspec

from agents.decide.cases.evidence import as_input
from agents.decide.context import MINUTES_PER_HOUR, PatientContext, Raised, changed_facts, merge
from agents.decide.counterfactual import clearings
from agents.decide.evaluate import Hit, Passed, Verdict, evaluate
from agents.decide.form.rule import Resolve
from agents.decide.opinions import Opinions
from agents.decide.ruleset import LoadedRule, RuleSet
from agents.decide.triage.table import TriageTable
from agents.decide.triage.triager import Triager
from agents.decide.view import View
from models.bundle import shelf_bundle
from models.classifier import Classifier
from models.session import Execution
from schemas.findings import Findings
from schemas.flags import Basis, Decision, Flag, Opinion, Rule, Triage
from schemas.ids import derived_id
from streams.settings import Settings

STAGE = "decide"
_SUMMARY_MAX = 140


class Decider:
    """Safe to use from several threads at once; one patient's messages must come in order."""

    def __init__(self, rules: RuleSet, triager: Triager | None = None, opinions: Opinions | None = None) -> None:
        self._rules = rules
        self._triager = triager or Triager(TriageTable.load())
        self._opinions = opinions or Opinions((), rules)
        #: Of rules, tables, words of urgency and the models beside them.
        parts = [rules.version, self._triager.version, *filter(None, [self._opinions.version])]
        self.version = f"rules-{hashlib.sha256('/'.join(parts).encode()).hexdigest()[:12]}"

    def decision_id(self, findings: Findings) -> str:
        """The same for the same message under the same versions."""
        return derived_id(findings.id, STAGE, policy=findings.versions.policy, model=self.version)

    def decide(self, findings: Findings, context: PatientContext) -> tuple[Decision, PatientContext]:
        """The decision on one message in the patient's context so far, and the context after it."""
        after = merge(context, findings)
        view = View(findings, after, changed_facts(context, after, findings))
        flags: list[Flag] = []
        evaluated: dict[str, str] = {}
        raised = dict(after.raised)
        for rule in self._rules.rules:
            verdict = evaluate(rule.form, self._rules, view)
            made, outcome = self._apply(rule, verdict, view, raised)
            flags.extend(made)
            evaluated[rule.form.id] = outcome
        triage = self._triager.read(findings, after)
        flags.extend(self._triager.flags(findings, triage))
        opinions = self._opinions.read(findings, after, evaluated)
        decision = self.restore(findings, Outcome(tuple(flags), evaluated, triage, opinions))
        return decision, msgspec.structs.replace(after, raised=raised)

    def restore(self, findings: Findings, outcome: Outcome) -> Decision:
        """The decision that was made before on these findings."""
        versions = msgspec.structs.replace(findings.versions, flag_rules=self.version)
        return Decision(
            id=self.decision_id(findings),
            findings=msgspec.structs.replace(findings, versions=versions),
            flags=outcome.flags,
            evaluated=outcome.evaluated,
            triage=outcome.triage,
            opinions=outcome.opinions,
        )

    def close(self) -> None:
        """End the models' threads."""
        self._triager.close()
        self._opinions.close()

    def _apply(self, rule: LoadedRule, verdict: Verdict, view: View, raised: dict[str, Raised]) -> tuple[list[Flag], str]:
        """Hits against the flags that stand: raise, suppress, replace, withdraw. ``raised`` is brought up to date."""
        prefix = f"{rule.form.id}@{rule.sha256[:12]}|"
        flags: list[Flag] = []
        outcomes: set[str] = set()
        hits = {hit.key: hit for hit in verdict.hits}
        for key, hit in hits.items():
            prior = raised.get(prefix + key)
            again = prior is not None and prior.origin == view.findings.origin
            if prior is not None and not again and prior.resolved and not _before(hit.elapsed, prior.ended):
                prior = None  # what passed and comes back is news, whatever the window
            corrected = prior is not None and not again and bool(view.changed.intersection(prior.refs))
            if hit.stale and not corrected:
                outcomes.add("stale")
                continue
            if prior is not None and not again and not corrected and _covers(prior, hit, rule.form.suppress.hours):
                outcomes.add("suppressed")
                raised[prefix + key] = msgspec.structs.replace(prior, seen=_latest(prior.seen, hit.elapsed))
                continue
            standing = prior is not None and not again and (corrected or _near(prior, hit.elapsed, rule.form.suppress.hours))
            flag = self._flag(rule, view, hit, supersedes=prior.flag if prior is not None and standing else "")
            if prior is not None and (standing or again):
                first = prior.episode or prior.flag
                flag = msgspec.structs.replace(flag, episode="" if first == flag.id else first)
            flags.append(flag)
            raised[prefix + key] = Raised(
                flag=flag.id,
                level=hit.rank,
                elapsed=hit.elapsed,
                origin=view.findings.origin,
                refs=hit.evidence.refs,
                baseline=hit.evidence.baseline,
                episode=flag.episode,
            )
            outcomes.add("raised")
        for name, prior in list(raised.items()):
            key = name.removeprefix(prefix)
            if name.startswith(prefix) and key not in hits and view.changed.intersection(prior.refs):
                del raised[name]
                if prior.origin != view.findings.origin:
                    flags.append(self._withdrawal(rule, view, key, prior))
                    outcomes.add("withdrawn")
        for passed in verdict.passed:
            standing_one = raised.get(prefix + passed.key)
            if standing_one is not None and _resolves(standing_one, passed, rule.form.resolve, view):
                flags.append(self._resolution(rule, view, passed, standing_one))
                raised[prefix + passed.key] = msgspec.structs.replace(
                    standing_one, resolved=view.findings.origin, ended=passed.elapsed
                )
                outcomes.add("resolved")
        return flags, "+".join(sorted(outcomes)) if outcomes else verdict.outcome

    def _flag(self, rule: LoadedRule, view: View, hit: Hit, *, supersedes: str) -> Flag:
        form, evidence = rule.form, hit.evidence
        basis = Basis(
            logic=f"{form.citation.logic}; level: {hit.level.name}",
            citation=form.citation.url,
            inputs=evidence.inputs(),
            computed=evidence.computed,
            thresholds=evidence.thresholds,
            missing=(*form.not_considered, *evidence.missing),
            text_spans=evidence.text_spans(),
            clearings=clearings(form, self._rules, view, hit),
            words=evidence.words,
        )
        return self._made(rule, view, hit.key, basis, hit.level.severity, _summary(hit), hit.elapsed, supersedes)

    def _withdrawal(self, rule: LoadedRule, view: View, key: str, prior: Raised) -> Flag:
        form = rule.form
        rows = [view.context.facts[ref] for ref in prior.refs if ref in view.changed and ref in view.context.facts]
        basis = Basis(
            logic=f"{form.citation.logic}; no longer met: an input was corrected or withdrawn",
            citation=form.citation.url,
            inputs=tuple(as_input(row) for row in rows),
            missing=form.not_considered,
        )
        summary = f"Withdrawn: {form.title}; an input was corrected or withdrawn"
        flag = self._made(rule, view, key, basis, "info", summary, prior.elapsed, prior.flag, ordinal=f"withdrawn|{key}")
        return msgspec.structs.replace(flag, withdrawn=True, episode=prior.episode or prior.flag)

    def _resolution(self, rule: LoadedRule, view: View, passed: Passed, prior: Raised) -> Flag:
        form = rule.form
        basis = Basis(
            logic=f"{form.citation.logic}; no longer met by a later value",
            citation=form.citation.url,
            inputs=tuple(as_input(row) for row in passed.rows),
            missing=form.not_considered,
        )
        summary = f"Passed: {form.title}; a later value no longer meets it"
        flag = self._made(
            rule, view, passed.key, basis, "info", summary, passed.elapsed, prior.flag, ordinal=f"passed|{passed.key}"
        )
        return msgspec.structs.replace(flag, resolved=True, episode=prior.episode or prior.flag)

    def _made(
        self,
        rule: LoadedRule,
        view: View,
        key: str,
        basis: Basis,
        severity: str,
        summary: str,
        elapsed: int | None,
        supersedes: str,
        ordinal: str = "",
    ) -> Flag:
        """``key``: what the flag is about; a flag that ends another has its ``key``, and an ``ordinal`` of its own."""
        form, findings = rule.form, view.findings
        return Flag(
            id=derived_id(
                findings.origin, f"{STAGE}.{form.id}", policy=findings.versions.policy, model=rule.sha256, ordinal=ordinal or key
            ),
            type=form.type,
            kind="rule",
            severity=severity,  # type: ignore[arg-type]
            subject=findings.subject,
            summary=summary[:_SUMMARY_MAX],
            basis=basis,
            rule=Rule(id=form.id, version=form.version, sha256=rule.sha256),
            encounter=findings.encounter,
            elapsed=elapsed,
            intended_use=form.intended_use,
            limitations=form.limitations,
            suppress_key=f"{form.type}|{findings.subject}|{key}",
            supersedes=supersedes,
        )


class Outcome(msgspec.Struct, frozen=True):
    """What a decision adds to its findings; kept, so that a redelivered message gets the same again."""

    flags: tuple[Flag, ...]
    evaluated: dict[str, str]
    triage: tuple[Triage, ...] = ()
    opinions: tuple[Opinion, ...] = ()


def _resolves(prior: Raised, passed: Passed, resolve: Resolve | None, view: View) -> bool:
    """Whether the value of ``passed`` ends the flag: late enough after the last that met the rule, and back under the flag's own baseline."""
    origin = view.findings.origin
    if resolve is None or prior.origin == origin or (prior.resolved and prior.resolved != origin):
        return False
    last = _latest(prior.seen, prior.elapsed)
    if last is None or passed.elapsed <= last or passed.elapsed < last + resolve.hours * MINUTES_PER_HOUR:
        return False
    if resolve.ratio_below is None:
        return True
    return prior.baseline is not None and passed.value is not None and passed.value < resolve.ratio_below * prior.baseline


def _latest(*times: int | None) -> int | None:
    return max((time for time in times if time is not None), default=None)


def _before(one: int | None, other: int | None) -> bool:
    return one is not None and other is not None and one <= other


def _covers(prior: Raised, hit: Hit, hours: int) -> bool:
    return hit.rank <= prior.level and _near(prior, hit.elapsed, hours)


def _near(prior: Raised, elapsed: int | None, hours: int) -> bool:
    """Within the window on either side: a late result before the flag is the same episode. Unknown times count as near."""
    if prior.elapsed is None or elapsed is None:
        return True
    return abs(elapsed - prior.elapsed) < hours * MINUTES_PER_HOUR


def _summary(hit: Hit) -> str:
    words = _Words(hit.evidence.words)
    text = " ".join(hit.level.summary.format_map(words).replace(" ,", ",").split())
    return text if len(text) <= _SUMMARY_MAX else text[: _SUMMARY_MAX - 1] + "…"


class _Words(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "?"


def make_decider(settings: Settings) -> Decider:
    """The decider with the shipped rules, the site's tables and its bundle for messages. Raises ConfigurationError naming file and path."""
    chosen = settings.models
    execution = Execution("cuda" if chosen.execution == "gpu" else chosen.execution, chosen.execution == "gpu", chosen.threads)

    def classifier(name: str | None) -> Classifier | None:
        if name is None:
            return None
        return Classifier.load(shelf_bundle(name, chosen.shelf), execution=execution, trusted_keys=chosen.trusted_keys)

    rules = RuleSet.of_site(settings.decide)
    beside = [one for one in (classifier(chosen.flags), classifier(chosen.vitals)) if one is not None]
    triager = Triager(TriageTable.load(settings.decide.triage_table), classifier(chosen.messages))
    return Decider(rules, triager, Opinions(beside, rules))
