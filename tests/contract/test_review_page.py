"""The annotation page as a process on both brokers: what a reviewer sends lies on the topic exactly, and nobody else can send it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from click.testing import CliRunner, Result

from ops.cli import cli
from ops.operators import account
from ops.review.verdicts import Guideline
from schemas.envelope import parse_headers
from schemas.findings import MENTION_TYPES, Assertion
from schemas.labels import ADJUDICATED, Edits, ReviewedSpan
from schemas.samples import FlagEvidence
from streams import topics
from tests.support.review import Served, make_label, make_sample, span
from tests.support.streams_site import Site, headers

TEXT = "Denies chest pain \U0001f691. Takes aspirin."
DOSE = FlagEvidence(type="drug.dose", spans=((26, 33),))
FIRST = make_sample(
    "11111111-0000-4000-8000-000000000001", TEXT, ("chest pain", "finding"), ("aspirin", "medication"),
    score=0.9, flags=("f1",), summaries={"f1": "drug.dose: too much"}, why=("0.41",),
    evidence={"f1": DOSE},
)  # fmt: skip
SECOND = make_sample(
    "11111111-0000-4000-8000-000000000002", "No fever.", ("fever", "finding"), score=0.1, subject="TOKEN0000000002"
)


class Browser:
    """What the page's script does, without a browser."""

    def __init__(self, served: Served, name: str) -> None:
        self.client = httpx.Client(base_url=served.address, headers={"origin": served.address}, trust_env=False)
        answer = self.client.post("/api/login", json={"token": served.tokens[name]})
        assert answer.status_code == 200, answer.text
        self.about = answer.json()
        self.client.headers["x-csrf-token"] = self.about["csrf"]

    def post(self, path: str, body: object = None) -> httpx.Response:
        return self.client.post(f"/api/{path}", json=body or {})

    def next(self) -> dict[str, Any] | None:
        sample: dict[str, Any] | None = self.post("next").json()["sample"]
        return sample

    def label(self, name: str, *spans: ReviewedSpan, **rest: object) -> httpx.Response:
        return self.post("labels", {"sample": name, "spans": msgspec.to_builtins(spans), **rest})


def proposed(site: Site, folder: Path) -> Served:
    made = Served(site, folder, double_share=1.0, cap_per_day=2)
    made.propose(FIRST, SECOND)
    return made


@pytest.fixture
def on_both(site: Site, tmp_path: Path) -> Iterator[Served]:
    """Served on the embedded broker and on Kafka."""
    with proposed(site, tmp_path) as made:
        yield made


@pytest.fixture
def served(embedded_site: Site, tmp_path: Path) -> Iterator[Served]:
    with proposed(embedded_site, tmp_path) as made:
        yield made


@pytest.fixture
def unserved(embedded_site: Site, tmp_path: Path) -> Served:
    """The installation for commands; the page is not up."""
    return proposed(embedded_site, tmp_path)


def test_a_verdict_lies_on_the_topic(on_both: Served) -> None:
    """Reviewer by pseudonym, instant, guideline, all types complete, what was done to the prefill; corrected, it takes its own place; the
    audit log names the person; the page shows no token of a patient."""
    ada = Browser(on_both, "ada")
    shown = ada.next()
    assert shown is not None
    assert (shown["id"], shown["text"], shown["why"], shown["reason"]) == (FIRST.id, TEXT, ["0.41"], "uncertain")
    assert shown["flags"] == [{"id": "f1", "says": "drug.dose: too much"}]
    assert FIRST.subject not in json.dumps(shown)
    pain, aspirin = span(TEXT, "chest pain", "finding", negated=True), span(TEXT, "Takes aspirin", "medication")
    assert ada.label(FIRST.id, aspirin, pain, flags={"f1": "wrong"}).status_code == 200
    (label,) = on_both.labels(1)
    assert (label.sample, label.subject, label.note) == (FIRST.id, FIRST.subject, FIRST.note)
    assert (label.reviewer, label.guideline) == (on_both.pseudonym("ada"), Guideline.load(None).version)
    assert (label.annotated, label.spans, label.flags) == (MENTION_TYPES, (pain, aspirin), {"f1": "wrong"})
    assert label.evidence == {"f1": DOSE}
    assert label.edits == Edits(prefilled=2, kept=1, deleted=1, added=1)
    (message,) = on_both.site.read(topics.LABEL, at_least=1)
    envelope = parse_headers([(name, value) for name, value in headers(message).items()])
    assert (message.key(), envelope.subject, envelope.id) == (label.id.encode(), FIRST.subject, label.id)
    assert b"ada" not in (message.value() or b"") + b"".join(headers(message).values())

    again = ada.post("open", {"sample": FIRST.id}).json()["sample"]
    assert (again["again"], again["verdicts"], len(again["spans"])) == (True, {"f1": "wrong"}, 2)
    assert ada.label(FIRST.id, pain).status_code == 200
    first, second = on_both.labels(2)
    assert (first.id, second.spans, second.flags) == (second.id, (pain,), {})
    entries = on_both.audited(2)
    assert [(e["action"], e["agent"], e["record"], e["subject"]) for e in entries] == [
        ("review", "ada", label.id, FIRST.subject)
    ] * 2
    assert ada.client.get("/api/recent").json()["labels"][0]["sample"] == FIRST.id


def test_two_reviewers_their_agreement_and_who_settles_it(served: Served) -> None:
    """The second sees the model's spans, not the first's; numbers for all, the dispute for the adjudicator alone, who sees both and settles."""
    ada, ben, lead = (Browser(served, name) for name in ("ada", "ben", "lead"))
    pain, denied = span(TEXT, "chest pain", "finding"), span(TEXT, "chest pain", "finding", negated=True)
    assert ada.next()
    assert ada.label(FIRST.id, denied).status_code == 200
    shown = ben.next()
    assert shown is not None
    assert (shown["id"], [s["assertion"]["negated"] for s in shown["spans"] if s["type"] == "finding"]) == (FIRST.id, [False])
    assert ben.label(FIRST.id, pain).status_code == 200
    assert ben.post("dispute", {"sample": FIRST.id}).status_code == 403
    assert ben.label(FIRST.id, denied, adjudicated=True).status_code == 403
    numbers = ben.client.get("/api/agreement").json()
    assert {"disputed", "standings"} & set(numbers) == set()
    ((pair,)) = numbers["pairs"]
    assert (pair["types"][0]["exact"], pair["assertions"]) == (1.0, 0.0)
    assert [row["sample"] for row in lead.client.get("/api/agreement").json()["disputed"]] == [FIRST.id]
    both = lead.post("dispute", {"sample": FIRST.id}).json()["sample"]["spans"]
    assert sorted((s["assertion"]["negated"], s["by"]) for s in both) == [
        (False, [served.pseudonym("ben")]),
        (True, [served.pseudonym("ada")]),
    ]
    assert lead.label(FIRST.id, denied, adjudicated=True).status_code == 200
    labels = {label.reviewer: label for label in served.labels(3)}
    assert labels[ADJUDICATED + served.pseudonym("lead")].spans == (denied,)
    assert lead.client.get("/api/agreement").json()["disputed"] == []


def test_the_cap_and_what_is_not_yours(served: Served) -> None:
    """Without a lease no label; spans outside of the note, two at a place, foreign flags are refused; after the cap nothing but corrections."""
    ada = Browser(served, "ada")
    assert ada.label(FIRST.id).status_code == 409
    assert ada.label("99999999-0000-4000-8000-000000000009").status_code == 409
    assert ada.next()
    pain = span(TEXT, "chest pain", "finding")
    for spans, flags in (((ReviewedSpan(start=0, end=99, type="finding"),), {}), ((pain, pain), {}), ((), {"other": "right"})):
        assert ada.label(FIRST.id, *spans, flags=flags).status_code == 400
    assert ada.post("labels", {"sample": FIRST.id, "spans": [{"start": 0, "end": 1, "type": "nonsense"}]}).status_code == 400
    assert ada.label(FIRST.id, pain).status_code == 200
    assert ada.next()
    assert ada.label(SECOND.id).json()["progress"]["today"] == 2
    served.propose(make_sample("11111111-0000-4000-8000-000000000003", "New."))
    answer = ada.post("next").json()
    assert (answer["sample"], answer["why"]) == (None, "cap")
    assert ada.label(FIRST.id).status_code == 200
    assert len(served.labels(3)) == 3


def test_who_may_not_gets_nothing(served: Served) -> None:
    """No session, a wrong token, another origin, no CSRF token, another name of the host, a name that was taken out of the file; too large a body;
    every answer carries the security headers, and the log no token."""
    stranger = httpx.Client(base_url=served.address, headers={"origin": served.address}, trust_env=False)
    assert stranger.post("/api/login", json={"token": "guess"}).status_code == 401
    for path in ("session", "guideline", "agreement", "recent"):
        assert stranger.get(f"/api/{path}").status_code == 401
    assert stranger.post("/api/next", json={}).status_code == 401
    ada = Browser(served, "ada")
    assert ada.client.post("/api/next", json={}, headers={"origin": "http://evil.example"}).status_code == 403
    assert ada.client.post("/api/next", json={}, headers={"x-csrf-token": "guess"}).status_code == 403
    assert ada.client.post("/api/next", json={}, headers={"host": f"evil.example:{served.port}"}).status_code == 421
    assert ada.client.post("/api/labels", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert ada.client.post("/api/labels", json={"sample": "x" * 1_100_000, "spans": []}).status_code == 413
    (cookie,) = ada.client.cookies.jar
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "strict"
    for answer in (
        ada.client.get("/"), ada.client.get("/review.js"), ada.client.get("/nowhere"), ada.client.get("/api/session"),
        ada.client.put("/api/next"), stranger.get("/api/session"),
    ):  # fmt: skip
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert (answer.headers["x-content-type-options"], answer.headers["cache-control"]) == ("nosniff", "no-store")
    file = served.folder / "reviewers"
    file.write_text("\n".join(line for line in file.read_text().splitlines() if not line.startswith("ada:")))
    assert ada.post("next").status_code == 401
    assert served.tokens["ada"] not in served.log.read_text()
    assert "chest" not in served.log.read_text()
    assert served.site.read(topics.LABEL, timeout_s=0.5) == []


def test_a_patient_who_is_erased_meanwhile(on_both: Served) -> None:
    """The sample is withdrawn while it is open: the label is refused; one that was stored just before is erased by the page itself."""
    ada, ben = Browser(on_both, "ada"), Browser(on_both, "ben")
    assert ada.next()
    assert ben.next()
    assert ada.label(FIRST.id).status_code == 200
    on_both.store((topics.SAMPLE, FIRST.id, None))
    on_both.site.until(lambda: ben.label(FIRST.id).status_code == 409, what="withdrawal")
    on_both.site.until(lambda: set(_last(on_both).values()) == {None}, what="erasure")


def _last(served: Served) -> dict[bytes | None, bytes | None]:
    """Labels as compaction leaves them."""
    return {message.key(): message.value() for message in served.site.read(topics.LABEL, at_least=2)}


@pytest.fixture
def run(unserved: Served, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line on this installation; this account has the role."""
    for name, value in (unserved.environment | {"WARDSTREAM_OPERATORS__REVIEW": json.dumps([account()])}).items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(cli, ["review", *arguments])


def test_label_studio_in_place_of_the_page(unserved: Served, run: Callable[..., Result], tmp_path: Path) -> None:
    """Tasks out, annotations in as labels of the tool's users; the agreement is told; both are audited, and need the role."""
    out = tmp_path / "tasks.json"
    done = run("export", "--format", "label-studio", str(out))
    assert (done.exit_code, done.output) == (0, "2 samples\n")
    assert (out.stat().st_mode & 0o777, "perRegion" in out.with_suffix(".xml").read_text()) == (0o600, True)
    assert run("export", "--format", "doccano", str(out)).exit_code == 1
    tasks = json.loads(out.read_text())
    for task in tasks:
        result = task.pop("predictions")[0]["result"]
        task["annotations"] = [{"result": result, "completed_by": {"email": "ada@site"}, "created_at": "2026-03-01T10:00:00Z"}]
    tasks[0]["annotations"].append({"result": [], "completed_by": {"email": "ben@site"}, "created_at": "2026-03-01T11:00:00Z"})
    tasks.append(tasks[1] | {"data": {"text": "x", "sample": "gone"}})
    tasks[2]["annotations"] = [{"result": [], "completed_by": 1}]
    back = tmp_path / "export.json"
    back.write_text(json.dumps(tasks))
    done = run("import", "--format", "label-studio", str(back), "--guideline", "site 7")
    assert done.exit_code == 1
    assert "3 labels" in done.output
    assert "1 refused: no such sample" in done.output
    assert "2 put aside for now: disputed" in done.output
    labels = unserved.labels(3)
    assert {(label.reviewer, label.guideline, label.decided) for label in labels} == {
        (unserved.pseudonym("label-studio:ada@site"), "site 7", "2026-03-01T10:00:00.000+00:00"),
        (unserved.pseudonym("label-studio:ben@site"), "site 7", "2026-03-01T11:00:00.000+00:00"),
    }
    assert {s.assertion for label in labels for s in label.spans} == {Assertion()}
    told = json.loads(run("agreement", "--json").stdout)
    assert (told["disputed"], told["kept"], len(told["pairs"])) == ([FIRST.id], 1, 1)
    assert "kappa" in run("agreement").output
    assert sorted(e["action"] for e in unserved.audited(4)) == ["export", "review", "review", "review"]


def test_doccano_and_the_role(
    unserved: Served, run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Assertions stay open; who annotated must be said; without the role nothing goes out or in, and the attempt is recorded."""
    out = tmp_path / "tasks.jsonl"
    assert run("export", "--format", "doccano", str(out), "--limit", "1").exit_code == 0
    assert run("import", "--format", "doccano", str(out)).exit_code == 2
    assert run("import", "--format", "doccano", str(out), "--reviewer", "ada").exit_code == 0
    (label,) = unserved.labels(1)
    assert (label.reviewer, {s.assertion for s in label.spans}) == (unserved.pseudonym("ada"), {None})
    monkeypatch.setenv("WARDSTREAM_OPERATORS__REVIEW", "[]")
    assert run("export", "--format", "doccano", str(tmp_path / "more")).exit_code == 1
    assert not (tmp_path / "more").exists()
    assert run("import", "--format", "doccano", str(out), "--reviewer", "ada").exit_code == 1
    assert [(e["action"], e["outcome"]) for e in unserved.audited(4)][2:] == [("export", "failure"), ("review", "failure")]


def test_gold_questions_on_the_page(embedded_site: Site, tmp_path: Path) -> None:
    """A reviewer who fails gold questions is told so, goes on being asked, and what they labelled is offered to another."""
    question = make_sample("22222222-0000-4000-8000-000000000001", "Takes aspirin.")
    gold = tmp_path / "gold.jsonl"
    gold.write_bytes(msgspec.json.encode(make_label(question, "site", span("Takes aspirin.", "aspirin", "medication"))))
    served = Served(embedded_site, tmp_path, gold=gold, gold_share=0.5, gold_fewest=1)
    served.propose(SECOND)
    with served:
        ada, ben = Browser(served, "ada"), Browser(served, "ben")
        seen = []
        for _ in range(2):
            sample = ada.next()
            if sample is not None:
                seen.append(sample["id"])
                assert sample["reason"] in ("random", "uncertain")
                answer = ada.label(sample["id"]).json()
        assert question.id in seen
        assert answer["put_aside"] is True
        assert [sample["id"] for sample in [ben.next()] if sample] in ([SECOND.id], [question.id])


def test_a_new_reviewer_gets_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made once with its key; a second call changes the token and keeps the pseudonym; nothing but digests lies in the file."""
    file, key = tmp_path / "s" / "reviewers", tmp_path / "s" / "review.key"
    monkeypatch.setenv("WARDSTREAM_REVIEW__REVIEWERS_FILE", str(file))
    monkeypatch.setenv("WARDSTREAM_REVIEW__KEY_FILE", str(key))
    first = CliRunner().invoke(cli, ["review", "add", "ada"])
    other = CliRunner().invoke(cli, ["review", "add", "ben", "--adjudicator"])
    second = CliRunner().invoke(cli, ["review", "add", "ada"])
    assert (first.exit_code, other.exit_code, second.exit_code) == (0, 0, 0), second.output
    assert first.stderr == second.stderr
    assert first.stdout != second.stdout
    assert [line.split(":")[:2] for line in file.read_text().splitlines()] == [["ben", "adjudicator"], ["ada", "reviewer"]]
    assert first.stdout.strip() not in file.read_text()
    assert (file.stat().st_mode & 0o777, key.stat().st_mode & 0o777) == (0o600, 0o600)
    assert CliRunner().invoke(cli, ["review", "add", "a:b"]).exit_code == 2


def test_it_tells_how_review_stands(served: Served) -> None:
    """On the port for metrics, not on the page's: both samples wait."""
    address = f"http://127.0.0.1:{served.metrics_port}/metrics"
    deadline = time.monotonic() + 20
    while 'samples_open{reason="uncertain"} 2.0' not in (text := httpx.get(address, trust_env=False).text):
        assert time.monotonic() < deadline, text
        time.sleep(0.2)
    assert httpx.get(f"{served.address}/metrics", trust_env=False).status_code == 404
