"""Bulk export from either broker: the latest version of each resource once, references that lead somewhere, runs that go on."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agents.publish.bundle import render
from ops.bulk_export import MANIFEST, BulkExport, resources
from ops.commands.bulk_export import command
from schemas.errors import ConfigurationError, Poison
from schemas.fhir.validate import validate
from streams import admin, topics
from streams.record import Record
from streams.settings import Settings
from tests.contract.test_publish_deliver_fhir import potassium
from tests.support.publish import clinical_message, decided
from tests.support.streams_site import Site

BUNDLES = [render(decided(clinical_message(number))) for number in range(1, 4)]
NOW = datetime(2026, 3, 2, tzinfo=UTC)


def record(offset: int, value: bytes | None) -> Record:
    return Record(topics.BUNDLE, 0, offset, 0, b"token", value, ())


RECORDS = [record(number, value) for number, value in enumerate(BUNDLES)]


def files(folder: Path) -> dict[str, list[dict[str, Any]]]:
    manifest = json.loads((folder / MANIFEST).read_text())
    found = {
        row["type"]: [json.loads(line) for line in (folder / row["url"]).read_text().splitlines()] for row in manifest["output"]
    }
    assert {row["type"]: row["count"] for row in manifest["output"]} == {kind: len(rows) for kind, rows in found.items()}
    return found


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        here = [value for name, value in node.items() if name == "reference" and isinstance(value, str) and "/" in value]
        return here + [one for value in node.values() for one in references(value)]
    return [one for child in node for one in references(child)] if isinstance(node, list) else []


def test_files_are_whole_and_every_reference_leads_somewhere(tmp_path: Path) -> None:
    """One patient over three messages is one Patient; lines are valid resources of the file's type."""
    with BulkExport(tmp_path / "out") as export:
        assert export.read(RECORDS) == 3
        export.write(NOW)
    found = files(tmp_path / "out")
    assert len(found["Patient"]) == 1
    assert len(found["Provenance"]) == 3
    there = {f"{kind}/{row['id']}" for kind, rows in found.items() for row in rows}
    for kind, rows in found.items():
        for row in rows:
            validate(row)
            assert row["resourceType"] == kind
            assert not [name for name in references(row) if name.split("/")[0] in found and name not in there]
            assert "urn:uuid:" not in json.dumps(row)


def test_the_latest_version_of_a_resource_stands_once(tmp_path: Path) -> None:
    """A later record with the same identifier takes the earlier one's place."""
    old, new = BUNDLES[0], BUNDLES[0].replace(b'"provisional"', b'"unconfirmed"')
    assert old != new
    with BulkExport(tmp_path / "once") as once, BulkExport(tmp_path / "both") as both:
        once.read([record(0, new)])
        both.read([record(0, old), record(1, new)])
        assert once.write(NOW) == both.write(NOW)
    assert files(tmp_path / "once") == files(tmp_path / "both")


@pytest.mark.parametrize("turns", [(1, 3, 2), (3, 1, 2), (3, 2, 1)])
def test_a_late_older_version_of_a_fact_is_not_the_latest(tmp_path: Path, turns: tuple[int, ...]) -> None:
    """The corrected value stands, whichever comes last."""
    with BulkExport(tmp_path / "out", types=["Observation"]) as export:
        export.read(record(offset, potassium(offset, f"4.{turn}", turn)) for offset, turn in enumerate(turns))
        export.write(NOW)
    assert [row["valueQuantity"]["value"] for row in files(tmp_path / "out")["Observation"]] == [4.3]


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    """What was read is not read again, and the files are those of one run."""

    def cut() -> Any:
        yield from RECORDS[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), BulkExport(tmp_path / "cut") as export:
        export.read(cut())
    assert not (tmp_path / "cut" / MANIFEST).exists()
    with BulkExport(tmp_path / "cut") as export, BulkExport(tmp_path / "whole") as whole:
        assert export.read(RECORDS) == 1
        whole.read(RECORDS)
        export.write(NOW)
        whole.write(NOW)
    for path in (tmp_path / "whole").glob("*.*json"):
        assert path.read_bytes() == (tmp_path / "cut" / path.name).read_bytes()


def test_a_folder_belongs_to_one_request(tmp_path: Path) -> None:
    """Another set of types in it would be half an export."""
    with BulkExport(tmp_path, types=["Condition"]) as export:
        export.read(RECORDS)
        assert set(export.write(NOW)) == {"Condition"}
    with pytest.raises(ConfigurationError):
        BulkExport(tmp_path)


def test_what_is_no_bundle_is_counted(tmp_path: Path) -> None:
    """It stops nothing."""
    with BulkExport(tmp_path) as export:
        assert export.read([record(0, None), record(1, b"{}"), record(2, BUNDLES[0])]) == 3
        assert export.unread == 2


@pytest.mark.parametrize(
    "wrong", [b"", b"{}", b'{"resourceType":"Bundle"}', b'{"resourceType":"Bundle","entry":[{"fullUrl":"a"}]}']
)
def test_no_bundle_is_an_error_of_the_tree(wrong: bytes) -> None:
    """With a code, without content."""
    with pytest.raises(Poison):
        resources(wrong)


def test_from_the_broker(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command as people call it, on both brokers; a second run adds what came since."""
    settings: Settings = site.settings
    admin.Admin(settings.kafka).apply(admin.wanted(settings.kafka, (topics.BY_NAME[topics.BUNDLE],)))
    monkeypatch.setenv("WARDSTREAM_KAFKA__BOOTSTRAP", settings.kafka.bootstrap)
    monkeypatch.setenv("WARDSTREAM_KAFKA__TOPIC_PREFIX", settings.kafka.topic_prefix)
    out = str(tmp_path / "out")
    for count in (2, 1):
        values = BUNDLES[:2] if count == 2 else BUNDLES[2:]
        site.post([(b"token", value) for value in values], topic=topics.BUNDLE)
        result = CliRunner().invoke(command, ["--out", out, "--since", "2020-01-01"])
        assert result.exit_code == 0, result.output
        assert result.output.startswith(f"{count} records read, 0 of them no Bundle")
    assert len(files(tmp_path / "out")["Provenance"]) == 3
    assert CliRunner().invoke(command, ["--out", out, "--type", "Conditions"]).exit_code == 2
