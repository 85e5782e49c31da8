"""What a message says: notes with their leaves, facts with codes, values, times and versions, and the coverage report."""

from __future__ import annotations

import base64
from decimal import Decimal

import pytest

from schemas.clinical import Coding, Fact, Note
from schemas.hl7.clinical import fact_paths, fact_time_paths, on_patient_clock, read_clinical, read_leaf, replace_part
from schemas.hl7.er7 import Message, parse


def message(*segments: str, kind: str = "ORU^R01", control: str = "C1", time: str = "20240102030405") -> Message:
    """A message of these segments below a usual MSH."""
    return parse("\r".join([f"MSH|^~\\&|LAB|H1|EHR|H1|{time}||{kind}|{control}|P|2.5.1", *segments, ""]).encode())


def notes(*segments: str, kind: str = "ORU^R01") -> tuple[Note, ...]:
    return read_clinical(message(*segments, kind=kind)).notes


def facts(*segments: str, kind: str = "ORU^R01", **header: str) -> tuple[Fact, ...]:
    """Without the reports that head the results."""
    return tuple(f for f in read_clinical(message(*segments, kind=kind, **header)).facts if f.kind != "report")


def test_lines_of_one_report_are_one_note() -> None:
    """Consecutive text OBX with the same OBX-3 join, an empty one is an empty line, and every part finds its leaf again."""
    (note,) = notes(
        "OBR|1||F1|18748-4^Imaging^LN",
        "OBX|1|TX|18748-4^Report^LN||CHEST: no \\T\\ never effusion.||||||F",
        "OBX|2|TX|18748-4^Report^LN||",
        "OBX|3|TX|18748-4^Report^LN||Heart size normal.~Bones intact.",
    )
    assert note.text == "CHEST: no & never effusion.\n\nHeart size normal.\nBones intact."
    assert [part.path for part in note.parts] == ["OBX[1]-5", "OBX[3]-5", "OBX[3]-5[2]"]
    assert note.path == "OBX[1]-5"
    assert note.status == "F"
    assert note.codes[0] == Coding(system="http://loinc.org", code="18748-4", display="Report")


def test_every_part_is_the_text_of_its_leaf() -> None:
    """``note.text[start:end]`` equals what ``read_leaf`` gives for the part's path, line ends apart."""
    raw = message(
        "OBX|1|FT|X^Report||First line\\.br\\second \\X0D0A\\third~other repetition",
        "NTE|1||Take care~and rest",
        "OBX|2|CWE|Y^Z||^Patient was found on the floor^L",
    )
    found = read_clinical(raw).notes
    assert len(found) == 3
    for note in found:
        for part in note.parts:
            assert note.text[part.start : part.end] == read_leaf(raw, part.path).replace("\r\n", "\n")


def test_formatted_text_reads_as_people_see_it() -> None:
    r"""``\.br\`` and its kind are line ends and blanks; an unmatched escape costs nothing."""
    (note,) = notes("OBX|1|FT|X^Y||\\H\\FINDINGS\\N\\\\.br\\\\.in+2\\give 1\\2 tablet\\.sp2\\end")
    assert note.text == "FINDINGS\ngive 1\\2 tablet\n\nend"


def test_reports_of_other_codes_or_orders_stay_apart() -> None:
    """A new OBX-3, a new OBR or a comment between ends the note."""
    found = notes(
        "OBR|1||F1|A^B",
        "OBX|1|TX|GDT^Findings||one",
        "OBX|2|TX|IMP^Impression||two",
        "NTE|1||comment",
        "OBX|3|TX|IMP^Impression||three",
        "OBR|2||F2|A^B",
        "OBX|4|TX|IMP^Impression||four",
    )
    assert [note.text for note in found] == ["one", "two", "comment", "three", "four"]


def test_document_is_one_note_with_its_type() -> None:
    """With TXA all text OBX belong to one document, whatever OBX-3 says."""
    (note,) = notes("TXA|1|DS^Discharge summary^L", "OBX|1|TX|1^A||Dear colleague,", "OBX|2|TX|2^B||all is well.", kind="MDM^T02")
    assert note.text == "Dear colleague,\nall is well."
    assert Coding(system="L", code="DS", display="Discharge summary") in note.codes


def test_consecutive_comments_are_one_note() -> None:
    """NTE lines join; their parts name NTE-3."""
    (note,) = notes("OBX|1|NM|718-7^Hb^LN||7.1|g/dL", "NTE|1||called to ward", "NTE|2||read back")
    assert note.text == "called to ward\nread back"
    assert [part.path for part in note.parts] == ["NTE[1]-3", "NTE[2]-3"]


def test_phrases_in_values_and_orders_are_notes() -> None:
    """Long ST and CWE values, clinical information and reasons are text; short results are not."""
    found = notes(
        "PV2|||^chest pain",
        "OBR|1||F1|A^B|||||||||fever since Monday||||||||||||||||||^rule out pneumonia",
        "OBX|1|ST|X^Y||No growth after 48 hours",
        "OBX|2|ST|X^Z||Positive",
        "OBX|3|CWE|X^W||123^Patient reports he fell^L",
    )
    assert [(note.path, note.text) for note in found] == [
        ("PV2[1]-3.2", "chest pain"),
        ("OBR[1]-13.1", "fever since Monday"),
        ("OBR[1]-31.2", "rule out pneumonia"),
        ("OBX[1]-5", "No growth after 48 hours"),
        ("OBX[3]-5.2", "Patient reports he fell"),
    ]


@pytest.mark.parametrize(
    ("path", "segment"),
    [
        ("OBX[1]-5", "OBX|1|TX|X^Y||a\\T\\b"),
        ("OBX[1]-5[2]", "OBX|1|TX|X^Y||a~b~c"),
        ("OBX[1]-5.2", "OBX|1|CWE|X^Y||1^b&c^L"),
        ("NTE[1]-3", "NTE|1|L|x|RE"),
        ("OBR[1]-13", "OBR|1"),
    ],
)
def test_replaced_leaf_reads_back_and_keeps_its_neighbours(path: str, segment: str) -> None:
    """Text with separators and line ends goes in escaped; the rest of the message is as before."""
    raw = message(segment, "ZZZ|1")
    before = [(where, [s.raw(n) for n in range(1, len(s) + 1)]) for where, s in raw.walk()]
    text = "[NAME] | ^ ~ \\ & said:\nfine"
    replace_part(raw, path, text)
    again = parse(raw.encode())
    assert read_leaf(again, path) == text
    for (where, fields), (_, after) in zip(before, again.walk(), strict=True):
        for position, value in enumerate(fields, start=1):
            if f"{where}-{position}" not in path:
                assert after.raw(position) == value


def test_attachment_is_opened_and_written_back_as_text() -> None:
    """Base64 text becomes a note; what replaces it is plain text under the same path."""
    data = base64.b64encode(b"Patient doing well.").decode()
    raw = message(f"OBX|1|ED|DOC^Letter||SRC^TEXT^plain^Base64^{data}")
    (note,) = read_clinical(raw).notes
    assert (note.path, note.text) == ("OBX[1]-5.5", "Patient doing well.")
    replace_part(raw, note.path, "[REDACTED]\nwell")
    (again,) = read_clinical(parse(raw.encode())).notes
    assert again.text == "[REDACTED]\nwell"
    assert raw.first("OBX").get(5) == "SRC"  # type: ignore[union-attr]


def test_unreadable_attachment_is_refused_in_the_coverage() -> None:
    """Images, damaged base64 and pointers give no note and are reported by path."""
    clinical = read_clinical(
        message("OBX|1|ED|X^Y||^IM^JPEG^Base64^/9j/4AAQ", "OBX|2|ED|X^Z||^TEXT^plain^Base64^***", "OBX|3|RP|X^W||http://a^^image")
    )
    assert clinical.notes == ()
    assert clinical.coverage.refused == {"OBX-5.5": "malformed_hl7", "OBX-5": "unsupported_content_type"}


def test_numeric_result_has_code_value_unit_range_and_flags() -> None:
    """The value is exact; the interpretation holds every flag."""
    (fact,) = facts(
        "ORC|RE|P1|F1",
        "OBR|1|P1^X|F1^LAB|24323-8^CMP^LN|||20240101080000|||||||||||||||20240102|||F",
        "OBX|1|NM|2823-3^Potassium^LN^K^Kalium^L|1|6.70|mmol/L^^UCUM|3.5-5.1|HH~A|||F|||20240101083000",
    )
    assert fact == Fact(
        id="F1/2823-3/1",
        kind="lab",
        path="OBX[1]",
        codes=(
            Coding(system="http://loinc.org", code="2823-3", display="Potassium"),
            Coding(system="L", code="K", display="Kalium"),
        ),
        value=Decimal("6.70"),
        unit="mmol/L",
        reference_range="3.5-5.1",
        interpretation=("HH", "A"),
        status="F",
        time="20240101083000",
        version=3_20240102000000,
        part_of="F1/OBR/24323-8",
    )
    assert str(fact.value) == "6.70"


@pytest.mark.parametrize(
    ("kind", "raw", "value", "comparator", "text"),
    [
        ("NM", "4.10", "4.10", "", ""),
        ("NM", "<5", "5", "<", "<5"),
        ("ST", ">= 100", "100", ">=", ">= 100"),
        ("ST", "≤0.5", "0.5", "<=", "≤0.5"),
        ("TX", "12", "12", "", ""),
        ("", "7", "7", "", ""),
        ("NM", "-.5", "-.5", "", ""),
        ("NM", "1e999", None, "", "1e999"),
        ("NM", "٣", None, "", "٣"),
        ("ST", "Positive", None, "", "Positive"),
        ("SN", "<^10", "10", "<", "<10"),
        ("SN", "=^0.5", "0.5", "", ""),
        ("SN", "^1^:^128", None, "", "1:128"),
        ("SN", "^2^+", None, "", "2+"),
        ("DT", "20240101", None, "", "20240101"),
    ],
)
def test_value_is_read_by_its_type(kind: str, raw: str, value: str | None, comparator: str, text: str) -> None:
    """Numbers as written with their comparator; what is not one number stays text."""
    (fact,) = facts(f"OBX|1|{kind}|1^A^LN||{raw}")
    assert fact.value == (None if value is None else Decimal(value))
    assert (fact.comparator, fact.text) == (comparator, text)


def test_coded_results_keep_all_codings() -> None:
    """Repetitions and alternates of a CWE value."""
    (fact,) = facts("OBX|1|CWE|600-7^Culture^LN||112283007^E. coli^SCT^EC^Ecoli^L~3092008^S. aureus^SCT")
    assert [coding.code for coding in fact.value_codes] == ["112283007", "EC", "3092008"]
    assert fact.text == "E. coli"


@pytest.mark.parametrize(
    ("code", "section", "kind"),
    [
        ("8867-4^HR^LN", "", "vital"),
        ("147842^MDC_ECG_HEART_RATE^MDC", "", "vital"),
        ("44260-8^Item 9^LN", "", "score"),
        ("2160-0^Creatinine^LN", "", "lab"),
        ("LOCAL^Local^L", "CH", "lab"),
        ("LOCAL^Local^L", "RAD", "other"),
    ],
)
def test_kind_of_an_observation_follows_code_and_section(code: str, section: str, kind: str) -> None:
    """Vital signs and scores by LOINC or MDC, laboratory by OBR-24 or by a LOINC number in a result message."""
    (fact,) = facts(f"OBR|1||F1|A^B||||||||||||||||||||{section}", f"OBX|1|NM|{code}||5")
    assert fact.kind == kind


def test_correction_and_withdrawal_win_over_the_result_whatever_comes_first() -> None:
    """Versions share an id; status ranks before time."""
    order = "OBR|1||F1|A^B"
    preliminary = facts(order, "OBX|1|NM|1^A^LN||5||||||P", time="20240103")[0]
    final = facts(order, "OBX|1|NM|1^A^LN||6||||||F", time="20240102")[0]
    corrected = facts(order, "OBX|1|NM|1^A^LN||7||||||C", time="20240101")[0]
    withdrawn = facts(order, "OBX|1|NM|1^A^LN||||||||W", time="20240101")[0]
    assert preliminary.id == final.id == corrected.id == withdrawn.id
    assert preliminary.version < final.version < corrected.version < withdrawn.version
    assert [fact.retracted for fact in (preliminary, final, corrected, withdrawn)] == [False, False, False, True]


def test_patient_clock_orders_versions_of_one_rank() -> None:
    """With times cut to the year the message's minutes on the patient's clock order corrections."""
    cut = facts("OBR|1||F1|A^B", "OBX|1|NM|1^A^LN||5||||||C", time="2024")[0].version
    assert on_patient_clock(cut, 10) < on_patient_clock(cut, 11)
    assert cut < on_patient_clock(cut, 0), "what was told before the clock was in versions stays the older one"
    final = facts("OBR|1||F1|A^B", "OBX|1|NM|1^A^LN||5||||||F", time="2024")[0].version
    assert on_patient_clock(final, 999_999_999) < on_patient_clock(cut, 0)


def test_results_without_order_number_never_share_an_id_across_messages() -> None:
    """The control id stands in; two equal codes in one message are told apart."""
    first = facts("OBX|1|NM|1^A^LN||5", "OBX|2|NM|1^A^LN||6", control="C1")
    second = facts("OBX|1|NM|1^A^LN||5", control="C2")
    assert len({fact.id for fact in (*first, *second)}) == 3


def test_time_comes_from_the_nearest_field_that_has_one() -> None:
    """OBX-14, else OBR-7, else MSH-7, and the path says which."""
    raw = message(
        "OBX|1|NM|1^A^LN||5",
        "OBR|1||F1|A^B|||20240101",
        "OBX|2|NM|1^A^LN||5",
        "OBX|3|NM|1^B^LN||5|||||||||2023",
        "DG1|1||I10^Hypertension^I10C||20200202",
    )
    assert fact_time_paths(raw) == {
        "OBX[1]": "MSH-7",
        "OBX[2]": "OBR[1]-7",
        "OBX[3]": "OBX[3]-14",
        "DG1[1]": "DG1[1]-5",
        "OBR[1]": "OBR[1]-7",
    }
    assert [fact.time for fact in read_clinical(raw).facts] == ["20240102030405", "20240101", "20240101", "2023", "20200202"]


def test_problems_allergies_procedures() -> None:
    """DG1, AL1, IAM and PR1 with systems as URIs, severities, reactions and withdrawals."""
    found = facts(
        "PID|1||7",
        "PV1|1|I|||||||||||||||||V9",
        "AL1|1|DA|7980^Penicillin^RXNORM|SV|hives~rash",
        "IAM|1|DA|2670^Codeine^RXNORM|MO|nausea|D|IA7",
        "DG1|1||E11.9^Type 2 diabetes^I10C|||A",
        "PR1|1||80146002^Appendectomy^SCT||20190101",
        kind="ADT^A08",
    )
    assert [(fact.kind, fact.id, fact.text, fact.retracted) for fact in found] == [
        ("allergy", "allergy/7980", "hives; rash", False),
        ("allergy", "IA7", "nausea", True),
        ("problem", "V9/DG1/E11.9", "Type 2 diabetes", False),
        ("procedure", "V9/PR1/80146002", "Appendectomy", False),
    ]
    assert found[0].codes[0].system == "http://www.nlm.nih.gov/research/umls/rxnorm"
    assert found[0].interpretation == ("SV",)
    assert found[2].codes[0].system == "http://hl7.org/fhir/sid/icd-10-cm"


def test_medication_orders_and_administrations() -> None:
    """RXO, RXE, RXD, RXA and RXC carry code, amount and unit; a cancelled order is retracted."""
    found = facts(
        "ORC|NW|P7||||||||||||||20240101",
        "RXE||860975^metformin 500 MG^RXNORM|500||mg",
        "ORC|CA|P8",
        "RXO|00071^Lipitor^NDC|10||mg",
        "ORC|RE||F9",
        "RXA|0|1|20230505|20230505|88^Influenza^CVX|0.5|mL^^UCUM|||||||||||||CP",
        kind="RDE^O11",
    )
    assert [(f.codes[0].code, str(f.value), f.unit, f.status, f.retracted) for f in found] == [
        ("860975", "500", "mg", "NW", False),
        ("00071", "10", "mg", "CA", True),
        ("88", "0.5", "mL", "CP", False),
    ]
    assert [fact.id for fact in found] == ["P7/RXE/860975", "P8/RXO/00071", "F9/RXA/88"]
    assert found[2].time == "20230505"


def test_demographics_survive_de_identification() -> None:
    """A year is enough for the birth year; an emptied field is unknown."""
    clinical = read_clinical(message("PID|1||T1||||1950|F", "PV1|1|I|||||||||||||||||V9", kind="ADT^A01", time="2024"))
    assert (clinical.sex, clinical.birth_year, clinical.encounter, clinical.time) == ("F", 1950, "V9", "2024")
    clinical = read_clinical(message('PID|1||T1||||Aug 15, 1942|""||||||||||A7', kind="ADT^A01"))
    assert (clinical.sex, clinical.birth_year, clinical.encounter) == ("", None, "A7")


def test_coverage_counts_every_field_that_holds_something() -> None:
    """Used or ignored by path without ordinals; unknown segments and broken lines under a name of ours, never under their own."""
    raw = message("PID|1||7||Doe^J||1950|F", "OBX|1|NM|1^A^LN||5", "OBX|2|NM|1^B^LN||6", "ZPX|a", "DOE|John", "Mrs Doe called")
    coverage = read_clinical(raw).coverage
    assert coverage.used["OBX-5"] == 2
    assert coverage.ignored["PID-5"] == 1
    assert coverage.ignored["ZPX-1"] == 1
    assert coverage.ignored["???-1"] == 1
    assert coverage.ignored["???"] == 1
    total = sum(1 for _, s in raw.walk() for n in range(3 if s.id == "MSH" else 1, len(s) + 1) if s.raw(n))
    assert sum(coverage.used.values()) + sum(coverage.ignored.values()) == total + 1


def test_reading_changes_nothing() -> None:
    """The reader leaves the message byte-equal."""
    raw = message("OBX|1|TX|X^Y||a~b", "NTE|1||x")
    before = raw.encode()
    read_clinical(raw)
    fact_time_paths(raw)
    assert raw.encode() == before


@pytest.mark.parametrize("path", ["OBX", "OBX[1]", "obx-5", "OBX[0x]-5", "OBX[1]-5.", "", "OBX[1]-5.1.2.3"])
def test_what_is_not_a_path_is_refused(path: str) -> None:
    """A malformed path is a ValueError, an absent segment a KeyError."""
    with pytest.raises(ValueError, match="not a path"):
        replace_part(message("OBX|1"), path, "x")
    with pytest.raises(KeyError):
        replace_part(message("OBX|1"), "NTE[1]-3", "x")


def test_the_time_in_a_version_is_where_its_path_says() -> None:
    """OBR-22 of the result's own request, else the message's time."""
    raw = message(
        "OBR|1||F1|A^B||||||||||||||||||20240105", "OBX|1|NM|1^A^LN||5||||||F", "OBR|2||F2|A^B", "OBX|2|NM|1^A^LN||5||||||F"
    )
    found = {path: version for path, (_, version) in fact_paths(raw).items()}
    assert found == {"OBR[1]": "OBR[1]-22", "OBX[1]": "OBR[1]-22", "OBR[2]": "MSH-7", "OBX[2]": "MSH-7"}
