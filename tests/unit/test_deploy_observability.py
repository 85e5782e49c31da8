"""Dashboard and alerts speak of metrics and labels that the processes really export, and every alert has a runbook entry."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from agents.pipeline import BY_STAGE
from gateway.metrics import GatewayMetrics
from schemas.errors import Reason
from streams.metrics import StreamMetrics

ROOT = Path(__file__).resolve().parents[2]
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/dashboards/wardstream.json").read_text())
#: What the scrape itself adds to every series (deploy/prometheus.yml).
SCRAPED = {"job", "instance", "service"}
FUNCTIONS = {
    *("sum", "max", "min", "rate", "increase", "deriv", "changes", "absent", "histogram_quantile", "vector"),
    *("by", "or", "and", "unless", "offset"),
}


def _exported() -> dict[str, set[str]]:
    """Series name -> its labels, as a scrape of worker and gateway would show them."""
    series: dict[str, set[str]] = {"up": set()}
    for metrics in (StreamMetrics(), GatewayMetrics()):
        for one in fields(metrics):
            metric = getattr(metrics, one.name)
            if not isinstance(metric, Counter | Gauge | Histogram):
                continue
            if metric._labelnames:
                metric.labels(*["x"] * len(metric._labelnames))  # a series appears with its first label values
            for sample in [sample for family in metric.collect() for sample in family.samples]:
                series.setdefault(sample.name, set()).update(sample.labels)
        for found in metrics.registry.collect():
            if found.name.startswith("process_"):
                series |= {sample.name: set() for sample in found.samples}
    return series


EXPORTED = _exported()


def _expressions() -> list[tuple[str, str]]:
    alerts = [(rule["alert"], rule["expr"]) for rule in ALERTS]
    panels = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    return alerts + panels


@pytest.mark.parametrize(("where", "expression"), _expressions())
def test_every_series_and_label_is_exported(where: str, expression: str) -> None:
    """Each name in a query is a series that is exported, and each label in it one that this series has."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    bare = re.sub(r"\[[^\]]*\]|offset \d+\w", "", bare)
    groups = {label.strip() for inner in re.findall(r"by \(([^)]*)\)", bare) for label in inner.split(",")}
    bare = re.sub(r"by \([^)]*\)", "", bare)
    matchers = re.findall(r"([a-z_]+)\{([^}]*)\}", bare)
    names = set(re.findall(r"[a-z_]+", re.sub(r"\{[^}]*\}", "", bare))) - FUNCTIONS
    assert names
    assert names <= set(EXPORTED), where
    for name, inner in matchers:
        assert set(re.findall(r"([a-z_]+)(?:=|!)", inner)) <= EXPORTED[name] | SCRAPED, where
    assert groups <= set.union(*(EXPORTED[name] for name in names)) | SCRAPED, where


def test_label_values_in_queries_are_values_that_occur() -> None:
    """Stages, reasons and jobs named in a query exist; a query for a value that nothing exports never fires."""
    jobs = {job["job_name"] for job in yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())["scrape_configs"]}
    known = {"stage": set(BY_STAGE), "reason": {reason.value for reason in Reason}, "job": jobs}
    known["outcome"] = {"stored", "duplicate"} | known["reason"]
    for where, expression in _expressions():
        for label, value in re.findall(r'([a-z_]+)!?=~?"([^"]*)"', expression):
            assert set(value.split("|")) <= known[label], where


def test_a_stage_that_is_missing_altogether_is_noticed() -> None:
    """A worker whose name no longer resolves has no ``up``: each stage of the core profile is asked for by name."""
    (rule,) = [rule for rule in ALERTS if rule["alert"] == "WorkerDown"]
    assert set(re.findall(r'absent\(wardstream_build_info\{stage="(\w+)"\}\)', rule["expr"])) == set(BY_STAGE) - {
        "deliver",
        "deliver_fhir",
        "cards",
        "feedback_cards",
        "merge_cards",
        "notify",
        "notify_results",
    }


def test_every_alert_has_severity_summary_and_a_runbook_entry() -> None:
    """The runbook link of an alert leads to a heading of its name."""
    names = [rule["alert"] for rule in ALERTS]
    assert len(names) == len(set(names)) >= 8
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        headings = re.findall(r"^### (\w+)$", (ROOT / page).read_text(), re.MULTILINE)
        assert anchor == rule["alert"].lower()
        assert rule["alert"] in headings


def test_every_exported_metric_of_ours_is_on_the_dashboard() -> None:
    """A metric that nobody looks at is noise: each one stands in a panel."""
    shown = " ".join(expression for _, expression in _expressions())
    ours = {re.sub(r"_(total|created|bucket|sum|count)$", "", name) for name in EXPORTED if name.startswith("wardstream_")}
    assert [name for name in sorted(ours) if name not in shown] == []


def test_dashboard_is_provisioned_on_the_source_that_it_names() -> None:
    """Panels use the provisioned data source, and the provider looks where compose mounts the dashboard."""
    provisioning = ROOT / "deploy/grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards/wardstream.yml").read_text())["providers"]
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"] if panel["type"] != "row"} == {source["uid"]}
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    mounts = {mount.split(":")[1]: mount.split(":")[0] for mount in compose["grafana"]["volumes"]}
    folder = ROOT / mounts[provider["options"]["path"]]
    assert (folder / "wardstream.json").exists()
    home = compose["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/wardstream.json"
    assert source["url"] == "http://prometheus:9090"
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(identifiers) == len(set(identifiers))
