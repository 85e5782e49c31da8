"""What a shadow says otherwise: moved is not lost, and what differs becomes samples."""

from __future__ import annotations

from ops.loop.comparison import compare, proposals, summary
from schemas.findings import Findings, FindingsNote, Mention
from schemas.flags import Decision

NOTE = FindingsNote(path="n", text="Took warfarin sodium for gout.", sha256="f" * 64)


def decision(*mentions: tuple[int, int, str]) -> Decision:
    rows = tuple(
        Mention(id=f"{s}", note="n", start=s, end=e, text=NOTE.text[s:e], type=t, score=0.9, source="m")  # type: ignore[arg-type]
        for s, e, t in mentions
    )
    findings = Findings(
        id="f",
        origin="o",
        subject="p",
        format="hl7v2",
        kind="ORU^R01",
        time="2026-01-01T00:00:00Z",
        notes=(NOTE,),
        mentions=rows,
        sender="s1",
    )
    return Decision(id="d", findings=findings)


def test_a_mention_that_grew_is_changed_and_one_of_another_type_is_lost() -> None:
    """Boundaries are one thing, what it is another."""
    before = {"o": decision((5, 13, "medication"), (25, 29, "problem"))}
    said = compare(before, {"o": decision((5, 20, "medication"), (25, 29, "finding"))})
    assert {(row.type, row.change) for row in said.differences} == {
        ("medication", "changed"),
        ("problem", "lost"),
        ("finding", "added"),
    }
    (lost,) = summary(said)["lost"]
    assert (lost["note"], lost["start"], lost["end"]) == (NOTE.sha256, 25, 29)
    assert (said.mentions, said.messages, said.equal) == (2, 1, 0)


def test_two_old_mentions_do_not_share_a_new_one() -> None:
    """One of them is lost: a model that joins two drugs into one finds one fewer."""
    said = compare({"o": decision((5, 13, "medication"), (14, 20, "medication"))}, {"o": decision((5, 20, "medication"))})
    assert sorted(row.change for row in said.differences) == ["changed", "lost"]


def test_a_note_on_which_they_disagree_is_proposed_and_one_on_which_they_agree_is_not() -> None:
    """With the shadow's mentions prefilled and the reason; the same shadow proposes the same sample again."""
    same = decision((5, 13, "medication"))
    assert proposals(compare({"o": same}, {"o": same}), {"o": same}, "next") == []
    other = decision((25, 29, "problem"))
    (sample,) = proposals(compare({"o": same}, {"o": other}), {"o": other}, "next")
    assert (sample.reason, sample.selection, sample.sender, sample.note) == ("disagreement", "shadow/next", "s1", NOTE)
    assert [m.text for m in sample.mentions] == ["gout"]
    assert sample.why == ("1 added in a shadow", "1 lost in a shadow")
    assert sample.id == proposals(compare({"o": same}, {"o": other}), {"o": other}, "next")[0].id
