"""Relations: what belongs to what in one sentence."""

from __future__ import annotations

import time

import pytest

from agents.extract.mentions import Origin, read_given

_TYPES = {"m": "medication", "p": "problem", "f": "finding", "d": "dosage", "r": "route", "q": "frequency", "u": "duration",
          "t": "test", "v": "value", "a": "anatomy", "o": "procedure"}  # fmt: skip


def related(marked: str) -> set[tuple[str, str, str]]:
    """``(type, head text, tail text)`` of a text whose mentions are written ``<m:aspirin>``."""
    text, given, rest = "", [], marked
    while "<" in rest:
        plain, rest = rest.split("<", 1)
        inside, rest = rest.split(">", 1)
        text += plain
        given.append((len(text), len(text) + len(inside) - 2, _TYPES[inside[0]]))
        text += inside[2:]
    result = read_given("note", text + rest, given, origin=Origin("o", "p", "v"))
    words = {m.id: m.text for m in result.mentions}
    assert all(len({r.id, r.head, r.tail}) == 3 for r in result.relations)
    return {(r.type, words[r.head], words[r.tail]) for r in result.relations}


def of(kind: str, *pairs: tuple[str, str]) -> set[tuple[str, str, str]]:
    return {(kind, head, tail) for head, tail in pairs}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Start <m:lisinopril> <d:10 mg> daily for <p:hypertension>.", ("lisinopril", "hypertension")),
        ("<m:Tylenol> <q:as needed> for <f:headache>.", ("Tylenol", "headache")),
        ("<p:Asthma> is well controlled with <m:albuterol>.", ("albuterol", "Asthma")),
        ("<p:Hypertension>: continue <m:amlodipine>.", ("amlodipine", "Hypertension")),
        ("The <p:pneumonia> was treated with <m:ceftriaxone>.", ("ceftriaxone", "pneumonia")),
        ("A patient with <p:epilepsy> receiving <m:valproate>.", ("valproate", "epilepsy")),
    ],
)
def test_reason(text: str, reason: tuple[str, str]) -> None:
    """The words between say what the drug is for, whichever stands first."""
    found = related(text)
    assert ("medication-reason", *reason) in found
    assert not any(kind == "medication-adverse_event" for kind, _, _ in found)


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("<m:Vancomycin>-induced <p:red man syndrome>.", ("Vancomycin", "red man syndrome")),
        ("<p:Edema> is likely caused by the <m:Norvasc>.", ("Norvasc", "Edema")),
        ("She developed <f:rash> after <m:amoxicillin>.", ("amoxicillin", "rash")),
        ("<m:Lisinopril> was stopped as it caused <f:cough>.", ("Lisinopril", "cough")),
        ("<f:Dizziness> resolved after discontinuation of <m:meclizine>.", ("meclizine", "Dizziness")),
        ("ALLERGIES: <m:Penicillin> (<f:hives>)", ("Penicillin", "hives")),
    ],
)
def test_adverse_event(text: str, event: tuple[str, str]) -> None:
    """What a drug did is told from what it is for."""
    found = related(text)
    assert ("medication-adverse_event", *event) in found
    assert not any(kind == "medication-reason" for kind, _, _ in found)


@pytest.mark.parametrize(
    "text",
    [
        "Takes <m:metformin>. Has <f:cough>.",
        "She takes <m:aspirin>, <f:headache> since Monday.",
        "No <f:rash> after <m:amoxicillin>.",
        "Rates her <f:pain> with <m:medication> as 1/10.",
        "<m:Aspirin> " + "and so on " * 20 + "caused <f:nausea>.",
    ],
)
def test_no_word_no_relation(text: str) -> None:
    """Standing together is not enough; neither is what is denied, or far away."""
    assert related(text) == set()


def test_reason_and_adverse_event_of_one_drug() -> None:
    """Both in one sentence, and each problem of a list."""
    found = related("<p:Ovarian cancer> treated with <m:cisplatin>, which caused <f:nausea>, <f:vomiting> and <p:neuropathy>.")
    assert found == of("medication-reason", ("cisplatin", "Ovarian cancer")) | of(
        "medication-adverse_event", ("cisplatin", "nausea"), ("cisplatin", "vomiting"), ("cisplatin", "neuropathy")
    )


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("<f:pain> in the <a:left knee>", [("pain", "left knee")]),
        ("<a:leg> <f:edema>", [("edema", "leg")]),
        ("<f:pain> and <f:swelling> in her <a:right wrist>", [("pain", "right wrist"), ("swelling", "right wrist")]),
        ("The <a:abdomen> is <f:soft>", [("soft", "abdomen")]),
        ("<f:tenderness> of the <a:shoulders>, <a:elbows> and <a:knees>",
         [("tenderness", "shoulders"), ("tenderness", "elbows"), ("tenderness", "knees")]),
        ("a <f:dilated> <a:left ventricle>", [("dilated", "left ventricle")]),
        ("<f:dyspnea>, and <a:leg> <f:edema>", [("edema", "leg")]),
        ("<a:chest> <t:X-ray> showed <f:consolidation>", []),
        ("<f:cough>; <t:MRI> of the <a:brain>", []),
    ],
)  # fmt: skip
def test_body_site(text: str, pairs: list[tuple[str, str]]) -> None:
    """A place belongs to what is said to be there; the place of a test is no finding's."""
    assert related(text) == of("finding-body_site", *pairs)


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("<t:WBC> <v:5.2> <t:Hgb> <v:10.1>", [("WBC", "5.2"), ("Hgb", "10.1")]),
        ("<v:elevated> <t:creatinine>", [("creatinine", "elevated")]),
        ("<v:2%> <t:neutrophils>, <v:94%> <t:lymphocytes>", [("neutrophils", "2%"), ("lymphocytes", "94%")]),
        ("<t:ALT> and <t:AST> were <v:normal>", [("ALT", "normal"), ("AST", "normal")]),
        ("<v:normal> <t:ALT>, <t:AST>", [("ALT", "normal"), ("AST", "normal")]),
        ("<t:thyrotropin> (<t:TSH>), <v:2.68>", [("thyrotropin", "2.68")]),
        ("<t:ALT> and <t:AST> were <v:43> and <v:39>, respectively", [("ALT", "43"), ("AST", "39")]),
        ("<t:K> was drawn " + "and sent to the laboratory " * 4 + "<v:5>", []),
    ],
)
def test_value(text: str, pairs: list[tuple[str, str]]) -> None:
    """A value before its test, behind it, said once of several, dealt out by "respectively", out of reach."""
    assert related(text) == of("test-value", *pairs)


@pytest.mark.parametrize(
    ("text", "kind", "pairs"),
    [
        ("<m:bosentan> and <d:120 μg> of <m:beraprost>", "dosage", [("beraprost", "120 μg")]),
        ("<m:isoniazid> (<m:INH>, <d:300 mg>)", "dosage", [("isoniazid", "300 mg")]),
        ("<m:ALN> and <m:RLX>, <d:10 mg> and <d:60 mg> respectively", "dosage", [("ALN", "10 mg"), ("RLX", "60 mg")]),
        (
            "<r:intravenous> <m:vancomycin> and <m:cefepime>",
            "route",
            [("vancomycin", "intravenous"), ("cefepime", "intravenous")],
        ),
        ("Stop <m:aspirin> and start <m:apixaban> <q:twice daily>", "frequency", [("apixaban", "twice daily")]),
        ("a <u:3-week> course of <m:tobramycin>", "duration", [("tobramycin", "3-week")]),
    ],
)
def test_attribute(text: str, kind: str, pairs: list[tuple[str, str]]) -> None:
    """An attribute goes to the drug that it introduces; a list shares all but the dose; a change of therapy is no list."""
    assert related(text) == of(f"medication-{kind}", *pairs)


def test_a_long_line_of_events_takes_no_square_of_its_length() -> None:
    """Clauses in front, lists and times of the stay, four thousand of them on one line."""
    unit = "after <o:surgery>, she developed <f:fever> and <f:rash> two days before <m:iron>; <p:AKI> until noon, <t:CT> followed by <o:biopsy>, "
    begin = time.process_time()
    related(unit * 150)
    small = time.process_time() - begin
    begin = time.process_time()
    related(unit * 600)
    assert time.process_time() - begin < 10 * small + 0.5


def test_a_sentence_without_end_takes_no_square_of_its_length() -> None:
    """Ten thousand mentions on one line."""
    unit = "<m:aspirin> <d:1 mg> for <f:pain> and <f:rash> in the <a:leg>, <t:K> and <t:Na> <v:4>, after <m:iron>, "
    begin = time.process_time()
    related(unit * 300)
    small = time.process_time() - begin
    begin = time.process_time()
    related(unit * 1200)
    assert time.process_time() - begin < 10 * small + 0.5
