"""The drift report as one page without scripts or anything from outside: tables, reliability diagrams, override rates."""

from __future__ import annotations

from html import escape

from ops.drift.report import Report
from ops.drift.tables import Part, tables
from training.outcomes import Overrides, Reliability

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1d2430; background: #fff; margin: 2rem auto; max-width: 72rem; padding: 0 1.5rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem } p { color: #505a6b; margin: .3rem 0 }
table { border-collapse: collapse; width: 100%; font-size: .86rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid #e3e7ee; vertical-align: top; white-space: nowrap }
td:last-child { white-space: normal }
th { color: #505a6b; font-weight: 600; white-space: nowrap } .alarm td { background: #fdecea }
.wide { overflow-x: auto } .figures { display: flex; flex-wrap: wrap; gap: 1.5rem } figure { margin: 0 } figcaption { font-size: .82rem; color: #505a6b }
svg text { font: 11px system-ui, sans-serif; fill: #505a6b }
"""
_SIDE, _EDGE = 200, 36
_BLUE, _GREY = "#2458a6", "#9aa4b5"


def page(report: Report) -> str:
    head = f"{len(report.groups)} groups of messages watched, {len(report.standing)} alarms stand."
    parts = [_part(part) for part in tables(report)]
    figures = [_reliability(row) for row in report.reliability if row.type == "all"]
    if figures:
        parts.append(
            "<h2>Score and share that was right</h2><p>On the line a score can be read as a probability; the area of a dot is the number of "
            f'mentions.</p><div class="figures">{"".join(figures)}</div>'
        )
    if report.overrides:
        parts.append(f"<h2>Overrides by flag, with 95 % intervals</h2>{_overrides(report.overrides)}")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Drift report</title>'
        f"<style>{_STYLE}</style></head><body><h1>Drift report</h1><p>{escape(report.time)}. {head} Senders and departments are pseudonyms.</p>"
        f"{''.join(parts)}</body></html>\n"
    )


def _part(part: Part) -> str:
    if not part.rows:
        return f"<h2>{escape(part.title)}</h2><p>None.</p>"
    head = "".join(f"<th>{escape(name)}</th>" for name in part.columns)
    body = "".join(f"<tr{_alarm(row)}>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in part.rows)
    return (
        f'<h2>{escape(part.title)}</h2><div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _alarm(row: tuple[str, ...]) -> str:
    return ' class="alarm"' if any(cell.endswith("shifted") for cell in row) else ""


def _reliability(row: Reliability) -> str:
    """Score to the right, share that was right upwards; the diagonal is perfect calibration."""
    most = max(part.count for part in row.bins)
    dots = "".join(
        f'<circle cx="{_EDGE + part.score * _SIDE:.1f}" cy="{_SIDE + 10 - part.right * _SIDE:.1f}" r="{2 + 8 * (part.count / most) ** 0.5:.1f}" '
        f'fill="{_BLUE}" fill-opacity=".75"><title>{part.count} mentions, score {part.score:.2f}, right {part.right:.2f}</title></circle>'
        for part in row.bins
    )
    end, low = _EDGE + _SIDE, _SIDE + 10
    how = "drawn by chance" if row.drawn else "chosen samples"
    return (
        f'<figure><svg width="{end + 12}" height="{low + 26}" role="img" aria-label="Reliability of {escape(row.entity_model)}">'
        f'<rect x="{_EDGE}" y="10" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#d3d9e3"/>'
        f'<line x1="{_EDGE}" y1="{low}" x2="{end}" y2="10" stroke="{_GREY}" stroke-dasharray="4 4"/>{dots}'
        f'<text x="{_EDGE}" y="{low + 16}">0</text><text x="{end - 6}" y="{low + 16}">1</text>'
        f'<text x="{_EDGE + _SIDE / 2 - 16:.0f}" y="{low + 16}">score</text><text x="4" y="18">right</text><text x="24" y="{low}">0</text></svg>'
        f"<figcaption>{escape(row.entity_model)}, {how}<br>{row.right.of} mentions of {row.notes} notes, calibration error {row.ece:.3f}</figcaption>"
        "</figure>"
    )


def _overrides(rows: tuple[Overrides, ...]) -> str:
    left, wide, high = 220, 420, 24
    lines = []
    for number, row in enumerate(rows):
        y, share = 14 + number * high, row.overridden
        lines.append(
            f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{escape(row.type)}</text>'
            f'<line x1="{left + share.low * wide:.1f}" y1="{y}" x2="{left + share.high * wide:.1f}" y2="{y}" stroke="{_GREY}" stroke-width="3"/>'
            f'<circle cx="{left + share.value * wide:.1f}" cy="{y}" r="5" fill="{_BLUE}"/>'
            f'<text x="{left + wide + 12}" y="{y + 4}">{share.value:.0%} of {share.of}</text>'
        )
    bottom = 14 + len(rows) * high
    axis = "".join(
        f'<line x1="{left + wide * q / 4}" y1="0" x2="{left + wide * q / 4}" y2="{bottom - 8}" stroke="#eceff4"/>'
        f'<text x="{left + wide * q / 4}" y="{bottom + 6}" text-anchor="middle">{25 * q} %</text>'
        for q in range(5)
    )
    return f'<svg width="{left + wide + 110}" height="{bottom + 12}" role="img" aria-label="Overrides by flag">{axis}{"".join(lines)}</svg>'
