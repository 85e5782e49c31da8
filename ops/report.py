"""What a person sees at the end of a demo: stages, findings, refusals, and one message before and after."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ops.collector import Collector, percentile
from ops.posting import Posted
from schemas.flags import Decision

_SEVERITY = {"info": "cyan", "warning": "yellow", "critical": "bold red"}
_TYPE_STYLE = {"medication": "green", "problem": "magenta", "finding": "blue", "test": "cyan", "value": "cyan"}
_TAG = re.compile(r"\[(?:NAME|DATE|ID|PHONE|EMAIL|URL|LOCATION|ORGANIZATION|AGE)[^\[\]]*\]")
_MOST_MENTIONS = 24


def print_report(console: Console, posted: Sequence[Posted], collector: Collector, *, delivered: int, seconds: float) -> None:
    """All tables in reading order."""
    console.print(_doors(posted))
    console.print(_stages(collector))
    end_to_end = collector.end_to_end_ms()
    console.print(
        f"End to end (received to published): p50 {_ms(percentile(end_to_end, 0.5))}, p95 {_ms(percentile(end_to_end, 0.95))}; "
        f"{len(end_to_end)} messages in {seconds:.1f} s; {delivered} ORU^R01 acknowledged by the receiver.\n"
    )
    console.print(_found(collector))
    refusals = Counter(collector.dead_letters())
    for (topic, reason), count in sorted(refusals.items()):
        console.print(f"dead letter  {topic}  [yellow]{reason}[/]  x{count}")


def print_before_after(console: Console, original: str, decision: Decision) -> None:
    """One note as it came and as it left, with what was found in it."""
    note = max(decision.findings.notes, key=lambda n: sum(m.note == n.path for m in decision.findings.mentions))
    console.print(Panel(escape(original.strip()), title="as received", border_style="red"))
    clean = Text(note.text)
    for match in _TAG.finditer(note.text):
        clean.stylize("bold yellow", match.start(), match.end())
    mentions = [m for m in decision.findings.mentions if m.note == note.path]
    for mention in mentions:
        clean.stylize(f"underline {_TYPE_STYLE.get(mention.type, '')}".strip(), mention.start, mention.end)
    console.print(Panel(clean, title=f"as published, {escape(note.path)}", border_style="green"))
    table = Table("mention", "type", "asserted", "score", title="Mentions of this note", title_justify="left")
    for mention in mentions[:_MOST_MENTIONS]:
        said = [name for name in mention.assertion.__struct_fields__ if getattr(mention.assertion, name)]
        table.add_row(escape(mention.text), mention.type, ", ".join(said) or "present", f"{mention.score:.2f}")
    if len(mentions) > _MOST_MENTIONS:
        table.add_row(f"... {len(mentions) - _MOST_MENTIONS} more", "", "", "")
    console.print(table)


def _doors(posted: Sequence[Posted]) -> Table:
    table = Table("message", "door", "answer", title="Posted", title_justify="left")
    for item in posted:
        style = "green" if item.accepted else "yellow"
        table.add_row(escape(item.name), item.door, f"[{style}]{item.answer}[/]")
    return table


def _stages(collector: Collector) -> Table:
    table = Table(title="Stages", title_justify="left")
    table.add_column("stage")
    for name in ("in", "out", "dead-lettered", "p50", "p95"):
        table.add_column(name, justify="right")
    for row in collector.stage_rows():
        table.add_row(row.stage, str(row.read), str(row.written), str(row.dead), _ms(row.p50_ms), _ms(row.p95_ms))
    return table


def _found(collector: Collector) -> Table:
    table = Table("what", "count", title="Found", title_justify="left")
    for name, count in collector.mention_counts().most_common():
        table.add_row(f"mention: {name}", str(count))
    for (name, severity), count in sorted(collector.flag_counts().items()):
        table.add_row(f"[{_SEVERITY[severity]}]flag: {name} ({severity})[/]", str(count))
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
