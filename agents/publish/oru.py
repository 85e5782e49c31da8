"""Flags as HL7 v2.5.1 ORU^R01, for senders that speak HL7 v2. Every observation is preliminary.

Each flag is an OBR (panel ``NLP-FLAG``) with one OBX and its basis in NTE segments. A receiver matches a result by OBR-3, OBX-3 and OBX-4: they are the
same for every flag about the same thing (``Flag.suppress_key``), so that a later one takes the place of the earlier. OBX-11 is then

- ``P`` for a flag that is raised or that escalates, and for one that passed: it was right in its time, and its text says that it holds no longer;
- ``W`` for one that is withdrawn: what an earlier message said was wrong.

Equal decisions give equal bytes: MSH-7 is the instant of receipt and MSH-10 comes from the decision's id.
"""

from __future__ import annotations

import base64
import hashlib

from agents.publish.issues import input_text
from agents.publish.names import control_id, resource_id
from agents.publish.subject import Subject
from schemas.flags import Decision, Flag
from schemas.hl7.escapes import Delimiters, escape

_DELIMITERS = Delimiters()
_PANEL = "NLP-FLAG^Clinical decision support flags^L"
#: HL7 table 0078.
_INTERPRETATION = {"critical": "AA", "warning": "A", "info": "N"}


def leaf(text: str) -> str:
    """``text`` inside one component or subcomponent."""
    return escape(text, _DELIMITERS, line_end="X0A")


def filler_number(flag: Flag, realm: str) -> str:
    """OBR-3: one for all flags about the same thing; it tells nothing of the token in the key."""
    digest = hashlib.sha256("\x1f".join((realm, "ORU", flag.suppress_key or flag.id)).encode()).digest()
    return base64.b32encode(digest).decode()[:20]


def render_oru(decision: Decision, subject: Subject, pid: str, *, application: str, facility: str) -> bytes:
    """The message in UTF-8, segments ended by CR.

    Args:
        pid: fields PID-3 onward, already written (``agents.publish.release``).
        application, facility: MSH-3 and MSH-4.
    """
    findings = decision.findings
    control = control_id(resource_id(decision.id, subject.realm, "ORU"))
    received = _stamp(findings.time)
    segments = [
        f"MSH|^~\\&|{leaf(application)}|{leaf(facility)}|||{received}||ORU^R01^ORU_R01|{control}|P|2.5.1|||AL|NE||UNICODE UTF-8",
        f"PID|1||{pid}",
    ]
    observed = subject.stamp(findings.elapsed) or received
    for number, flag in enumerate(decision.flags, 1):
        result = f"{filler_number(flag, subject.realm)}^{leaf(application)}"
        segments.append(f"OBR|{number}||{result}|{_PANEL}|||{observed}|||||||||||||||{received}|||P")
        segments.append(_observation(flag, subject))
        segments += [f"NTE|{row}|L|{escape(text, _DELIMITERS)}" for row, text in enumerate(_basis(flag), 1)]
    return "".join(f"{segment}\r" for segment in segments).encode()


def _observation(flag: Flag, subject: Subject) -> str:
    fields = [""] * 19
    fields[0] = "OBX"
    fields[1] = "1"
    fields[2] = "CWE"
    fields[3] = f"{leaf(flag.type)}^{leaf(flag.basis.logic.partition(';')[0])}^L"
    fields[4] = "1"
    fields[5] = f"{flag.severity}^{leaf(flag.summary)}^L"
    fields[8] = _INTERPRETATION[flag.severity]
    # Table 0085: preliminary; W: what an earlier message said was wrong.
    fields[11] = "W" if flag.withdrawn else "P"
    fields[14] = subject.stamp(flag.elapsed)
    fields[17] = f"{leaf(flag.rule.id)}^{flag.kind}^L"
    fields[18] = f"{leaf(flag.rule.id)}^{leaf(flag.rule.version)}^{flag.rule.sha256[:12]}"
    return "|".join(fields)


def _basis(flag: Flag) -> list[str]:
    basis = flag.basis
    rows = [f"Flag {flag.id}" + (f", in place of {flag.supersedes}" if flag.supersedes else "")]
    rows.append(f"Basis: {basis.logic}. {basis.citation}")
    rows += [f"Input: {input_text(row)}" for row in basis.inputs]
    rows += [f"Computed: {name} = {value}" for name, value in sorted(basis.computed.items())]
    rows += [f"Threshold: {name} = {value}" for name, value in sorted(basis.thresholds.items())]
    if basis.text_spans:
        rows.append(f"Text evidence: {len(basis.text_spans)} passage(s) of the notes")
    if basis.missing:
        rows.append("Not considered: " + ", ".join(basis.missing))
    rows += [flag.intended_use, flag.limitations]
    return [row for row in rows if row]


def _stamp(instant: str) -> str:
    """RFC 3339 with a zone as TS with a zone: ``20260302101500+0000``."""
    date, _, clock = instant.partition("T")
    zone = "+0000" if clock.endswith("Z") else clock[-6:].replace(":", "")
    return date.replace("-", "") + clock[:8].replace(":", "") + zone
