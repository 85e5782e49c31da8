"""The gate as a command: the same bundle holds, one that finds less does not, and nothing that it learned may judge it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from benchmarks.loop_world import DRUGS, PROSE, label, note
from benchmarks.rebundled import own_key, rebundled
from models.bundle import MANIFEST, FileEntry, Manifest, load_manifest, sha256_of, shelf_bundle
from models.decoding import ScoredSpan
from models.golden import GOLDEN
from models.session import Execution
from models.signature import SIGNATURE, sign
from models.store import digest_of
from models.tagger import Tagger
from models.verdict import read_verdict
from ops.cli import cli
from ops.leakcheck.canaries import canaries
from ops.leakcheck.notes import marked_notes
from ops.loop.challenging import material, shadow_of
from schemas.errors import ConfigurationError
from schemas.labels import ReviewedLabel
from training.challenge import Figures, Shadow, challenge
from training.leak_tests import passed_on, quoted, uncovered
from training.subgroups import groups_of

NAME = "wardstream-entities"


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WARDSTREAM_MODELS__TRUSTED_KEYS", str(tmp_path / "trusted"))
    return own_key(tmp_path)


def labels(seed: int, count: int = 16) -> list[ReviewedLabel]:
    import random

    source = random.Random(seed)
    return [
        label(note(source, PROSE, DRUGS), f"{seed}-{k}", f"p{seed}-{k}", f"2026-01-{k + 1:02}T00:00:00+00:00")
        for k in range(count)
    ]


def written(path: Path, rows: list[ReviewedLabel]) -> Path:
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return path


def asked(folder: Path, key: Path, tmp_path: Path, *more: str) -> tuple[int, Path]:
    """Exit code of the command against the shelf's champion without a broker, and the verdict's path."""
    gold, newest = written(tmp_path / "gold.jsonl", labels(1)), written(tmp_path / "newest.jsonl", labels(2))
    out = tmp_path / "verdict.json"
    arguments = ["challenge", str(folder), "--champion", str(shelf_bundle(NAME)), "--gold", str(gold), "--labels", str(newest)]
    done = CliRunner().invoke(cli, [*arguments, "--key", str(key), "--out", str(out), "--no-record", *more])
    code = 3 if isinstance(done.exception, ConfigurationError) else done.exit_code
    return code, out


def answering(folder: Path, key: Path, trusted: Path) -> Path:
    """The bundle with golden answers that are its own, as a maker of a worse model would have them."""
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    golden = json.loads((folder / GOLDEN).read_text())
    with Tagger(folder, manifest, Execution(provider="cpu", threads=1)) as tagger:
        for case in golden["cases"]:
            case["spans"] = [[s.start, s.end, s.label, s.score] for s in tagger.tag(case["text"])]
    (folder / GOLDEN).write_text(json.dumps(golden))
    entry = FileEntry(sha256_of(folder / GOLDEN), (folder / GOLDEN).stat().st_size)
    made = msgspec.structs.replace(manifest, files=manifest.files | {GOLDEN: entry})
    (folder / MANIFEST).write_bytes(msgspec.json.encode(made))
    (folder / SIGNATURE).write_text(sign((folder / MANIFEST).read_bytes(), key), encoding="ascii")
    load_manifest(folder, trusted_keys=trusted)
    return folder


def test_the_same_weights_hold_and_the_verdict_is_signed_and_about_this_bundle(key: Path, tmp_path: Path) -> None:
    """Every kind of figure is judged; the verdict names both digests and the files that were looked at."""
    new = rebundled(tmp_path, key, "9.0.1")
    code, out = asked(new, key, tmp_path, "--without-shadow")
    verdict, _ = read_verdict(out, trusted_keys=tmp_path / "trusted")
    assert (code, verdict.passed) == (0, True), verdict.reasons
    assert (verdict.challenger, verdict.champion) == (digest_of(new), digest_of(shelf_bundle(NAME)))
    assert {"gold", "newest", "class", "leak", "speed"} <= {row.kind for row in verdict.judged}
    assert set(verdict.evidence) == {"gold gold.jsonl", "labels newest.jsonl"}


def test_a_bundle_that_finds_fewer_drugs_is_refused_by_name_of_the_class(key: Path, tmp_path: Path) -> None:
    """A threshold that few drugs reach: exit 4, the verdict says which class; with golden answers of another model it is not even measured."""
    worse = rebundled(tmp_path, key, "9.0.2", thresholds={"medication": 0.9999})
    assert asked(worse, key, tmp_path, "--without-shadow")[0] == 3
    code, out = asked(answering(worse, key, tmp_path / "trusted"), key, tmp_path, "--without-shadow")
    verdict, _ = read_verdict(out, trusted_keys=tmp_path / "trusted")
    assert (code, verdict.passed) == (4, False)
    assert any(reason.startswith("class medication") for reason in verdict.reasons)


def test_shadow_or_a_word_that_there_was_none(key: Path, tmp_path: Path) -> None:
    """Neither, or both, is wrong usage: a gate does not forget the shadow in silence."""
    new = rebundled(tmp_path, key, "9.0.3")
    assert asked(new, key, tmp_path)[0] == 2
    report = tmp_path / "report.json"
    report.write_text("{}")
    assert asked(new, key, tmp_path, "--without-shadow", "--shadow", str(report))[0] == 2
    assert asked(new, key, tmp_path, "--shadow", str(report))[0] == 3


def test_nothing_that_the_challenger_learned_may_judge_it(tmp_path: Path) -> None:
    """One text of the newest labels among the learned ones stops the trial; without it the trial goes on."""
    gold, newest, learned = labels(1), labels(2), labels(3)
    paths = (str(written(tmp_path / "g", gold)),), [written(tmp_path / "n", newest)]
    clean = written(tmp_path / "clean", learned)
    assert len(material(*paths, None, phi=False, newest=500, learned=clean).newest) == 16
    mixed = written(tmp_path / "mixed", [*learned, newest[3]])
    with pytest.raises(ConfigurationError, match="learned from"):
        material(*paths, None, phi=False, newest=500, learned=mixed)


def test_of_labels_the_newest_count_and_of_one_note_the_last(tmp_path: Path) -> None:
    """Five of sixteen, by when they were decided; a second look at a note replaces the first."""
    rows = labels(2)
    again = msgspec.structs.replace(rows[15], id="again", decided="2026-02-01T00:00:00+00:00", spans=())
    made = material(
        (str(written(tmp_path / "g", labels(1))),),
        [written(tmp_path / "n", [*rows, again])],
        None,
        phi=False,
        newest=5,
        learned=None,
    )
    assert [d.text for d in made.newest] == [row.note.text for row in rows[11:]]
    assert made.newest[-1].spans == ()


def report_of(path: Path, lost: list[dict[str, object]], missing: int = 0) -> Path:
    path.write_text(json.dumps({"missing": missing, "mentions": 100, "flags": 20, "counts": [], "lost": lost}))
    return path


def lost_mention(row: ReviewedLabel, start: int, end: int, kind: str) -> dict[str, object]:
    return {"what": "mention", "type": kind, "note": row.note.sha256, "start": start, "end": end}


def test_what_a_reviewer_denies_is_no_loss_in_the_shadow(tmp_path: Path) -> None:
    """A mention that the note's label has is lost; one that it does not have was wrong; of a note that nobody reviewed every one is lost."""
    (row,) = labels(4, 1)
    true = row.spans[0]
    lost = [lost_mention(row, true.start, true.end, true.type), lost_mention(row, 0, 1, "medication")]
    assert shadow_of(report_of(tmp_path / "r", lost), [row])[0] == Shadow(100, 1, 20, 0, 0)
    assert shadow_of(report_of(tmp_path / "r", lost), [])[0] == Shadow(100, 2, 20, 0, 0)


def test_leak_tests_count_what_is_let_through() -> None:
    """A model that covers everything leaves nothing and, taken for an entity model, passes everything on; one that finds nothing the other way round."""
    notes = marked_notes(canaries(3, 1), 1)
    total = sum(len(one.spans) for one in notes)
    whole = [[ScoredSpan(0, len(one.text), "NAME", 1.0)] for one in notes]
    blind: list[list[ScoredSpan]] = [[] for _ in notes]
    assert (uncovered(notes, whole), passed_on(notes, whole)) == (0, total)
    assert (uncovered(notes, blind), passed_on(notes, blind)) == (total, 0)


def test_a_bundle_that_quotes_a_reviewed_note_is_caught(tmp_path: Path) -> None:
    """Golden answers made of a patient's note travel with the weights; six words in a row are a quotation, five are not."""
    words = "she came in with gout on friday and left"
    (tmp_path / "golden.json").write_text(json.dumps({"cases": [{"text": words}]}))
    assert quoted(tmp_path, ["Then SHE CAME in with gout, on... Monday"]) == 1
    assert quoted(tmp_path, ["Then she came in with gout today"]) == 0


def test_notes_belong_to_the_groups_that_they_speak_of() -> None:
    """Sex where one alone is spoken of, age by band, the sender; a note that says nothing is in no group."""
    assert groups_of("A 71-year-old woman; she has gout.", sender="s1") == ("age 65 and over", "sender s1", "sex female")
    assert groups_of("He says that his wife is well and she agrees.") == ()


def test_a_champion_without_a_miss_can_still_be_held() -> None:
    """Two misses in four hundred are what chance explains, also beside none; twelve are not."""

    def against(found: float) -> bool:
        def row(f1: float) -> dict[str, dict[str, float]]:
            return {"set": {"f1": f1, "recall": f1, "support": 400.0}}

        one, other = (Figures(row(f), row(f), row(f), {}, {"canaries": 0}, 1.0) for f in (1.0, found))
        return challenge(NAME, ("0" * 64, one), ("1" * 64, other), evidence={}, now=datetime(2026, 1, 1, tzinfo=UTC)).passed

    assert against(398 / 400)
    assert not against(388 / 400)


@pytest.mark.parametrize(
    ("shadow", "reason"),
    [
        (Shadow(1000, 90, 100, 4, 0), ""),
        (Shadow(1000, 150, 100, 4, 0), "shadow mentions lost"),
        (Shadow(1000, 90, 100, 12, 0), "shadow flags lost"),
        (Shadow(1000, 90, 100, 4, 1), "shadow messages missing"),
        (Shadow(0, 0, 0, 0, 0), "shadow"),
    ],
)
def test_the_shadow_is_judged(shadow: Shadow, reason: str) -> None:
    """Few mentions and flags may be gone, no message; a range in which the champion found nothing shows nothing."""
    row = {"set": {"f1": 0.9, "recall": 0.9, "support": 400.0}}
    same = Figures(row, row, row, {}, {"canaries": 0}, 1.0)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    said = challenge(NAME, ("0" * 64, same), ("1" * 64, same), evidence={}, now=now, shadow=shadow)
    assert [one.split(":")[0] for one in said.reasons] == ([reason] if reason else [])
