"""Each recognizer against a table of hits and near misses."""

from __future__ import annotations

import pytest

from agents.deidentify.text.recognizers import RECOGNIZERS

# recognizer, text, what it finds
HITS = [
    ("ssn", "SSN 123-45-6789.", "123-45-6789"),
    ("ssn", "123 45 6789 on file", "123 45 6789"),
    ("ssn", "Social Security number: 123456789", "123456789"),
    ("ssn", "ssn ending in 6789", "6789"),
    ("ssn", "holds 123-4\n5-6789 on file", "123-4\n5-6789"),
    ("phone", "call 555-010-1234 today", "555-010-1234"),
    ("phone", "(555) 010-1234 x12", "(555) 010-1234 x12"),
    ("phone", "+44 20 7946 0958", "+44 20 7946 0958"),
    ("phone", "home 555.010.1234", "555.010.1234"),
    ("phone", "Tel: 5550101234", "5550101234"),
    ("phone", "local 010-1234", "010-1234"),
    ("phone", "pager 4711", "4711"),
    ("email", "write to jonas.q@example.org.", "jonas.q@example.org"),
    ("email", "jonas at example dot org", "jonas at example dot org"),
    ("url", "see https://a.example/x?id=1, please", "https://a.example/x?id=1"),
    ("url", "at www.northgate.example.com", "www.northgate.example.com"),
    ("url", "follow @jonas_q now", "@jonas_q"),
    ("ip", "from 10.20.30.40", "10.20.30.40"),
    ("ip", "mac 00-1A-2B-3C-4D-5E", "00-1A-2B-3C-4D-5E"),
    ("ip", "2001:db8:0:0:0:ff00:42:8329", "2001:db8:0:0:0:ff00:42:8329"),
    ("record_number", "MRN: 100200300", "100200300"),
    ("record_number", "medical record number is A-12345", "A-12345"),
    ("record_number", "Account # 99-8877", "99-8877"),
    ("record_number", "policy number XK55512", "XK55512"),
    ("record_number", "DEA BS1234567", "BS1234567"),
    ("record_number", "VIN 1HGCM82633A004352", "1HGCM82633A004352"),
    ("record_number", "serial number: SN-00991", "SN-00991"),
    ("record_number", "accession S23-10045", "S23-10045"),
    ("record_number", "noted on H12345678 again", "H12345678"),
    ("date", "on 3/14/2023 he", "3/14/2023"),
    ("date", "seen 2023-03-14T10:20:00Z", "2023-03-14T10:20:00Z"),
    ("date", "14.03.2023", "14.03.2023"),
    ("date", "03-14-23", "03-14-23"),
    ("date", "March 14, 2023", "March 14, 2023"),
    ("date", "the 14th of March 2023", "the 14th of March 2023"),
    ("date", "March fourteenth", "March fourteenth"),
    ("date", "Tuesday, Jan 5th", "Tuesday, Jan 5th"),
    ("date", "14-Mar-2023", "14-Mar-2023"),
    ("date", "20230314", "20230314"),
    ("date", "March 2023", "March 2023"),
    ("date", "03/2023", "03/2023"),
    ("date", "last seen in August for", "August"),
    ("date", "seen on 3/14", "3/14"),
    ("date", "since Christmas 2022", "Christmas 2022"),
    ("age", "a 93-year-old man", "93"),
    ("age", "aged 101", "101"),
    ("age", "94 y/o F", "94"),
    ("age", "ninety-two year old", "ninety-two"),
    ("age", "in his 90s", "90s"),
    ("address", "12 Elm Street, Apt 4", "12 Elm Street, Apt 4"),
    ("address", "P.O. Box 118", "P.O. Box 118"),
    ("address", "in Barton, OH 44123", "Barton"),
    ("address", "ZIP 44123", "44123"),
    ("address", "lives in Westerham", "Westerham"),
    ("person", "Dr. Amanda Stonebridge said", "Amanda Stonebridge"),
    ("person", "Mr. O'Brien", "O'Brien"),
    ("person", "Mother: Jane Roe", "Jane Roe"),
    ("person", "SISTER: Wendelgard (alive)", "Wendelgard"),
    ("person", "Dr. Smith MRI pending", "Smith"),
    ("person", "seen by Jane Doe-Miller, RN", "Jane Doe-Miller"),
    ("person", "Patient Name: QUILLFEATHER, JONAS", "QUILLFEATHER, JONAS"),
    ("person", "his wife Wendelgard drove", "Wendelgard"),
    ("person", "Electronically signed by: Ian Stone", "Ian Stone"),
    ("signature", "Sincerely,\nIan Stone", "Ian Stone"),
    ("signature", "/s/ Ian Stone", "Ian Stone"),
    ("organization", "at St. Mary's Hospital today", "St. Mary's Hospital"),
    ("organization", "Northgate Medical Center", "Northgate Medical Center"),
    ("hidden", "1 0 0 2 0 0 3 0 7", "1 0 0 2 0 0 3 0 7"),
    ("hidden", "ref SGVsbG8gSm9uYXMgUXVpbGw=", "SGVsbG8gSm9uYXMgUXVpbGw="),
    ("hidden", "label MzIwNDc1NjU= arrived", "MzIwNDc1NjU="),
    ("hidden", "under OTY3LTE1LTM1MDM= verified", "OTY3LTE1LTM1MDM="),
]  # fmt: skip

MISSES = [
    ("ssn", "ranges 100-20-30"), ("ssn", "12\n3-45-678"), ("ssn", "potassium 4.1\n123-45"), ("ssn", "1123-45-67890"),
    ("phone", "250-1000 mg daily"), ("phone", "BP 120/80, pulse 72"), ("phone", "platelets 250000"), ("phone", "TSH 0.45-4.50"),
    ("email", "BP at rest 120/80"), ("url", "e.g. this"), ("url", "5.5 mmol/L"),
    ("ip", "version 1.2.3"), ("ip", "at 12:30:45"), ("ip", "3.5.10.2.1"),
    ("record_number", "record of falls"), ("record_number", "order 500 mg"), ("record_number", "specimen 5 days old"),
    ("record_number", "plan of care"), ("record_number", "ICD code E11.9"), ("record_number", "potassium 5.9"),
    ("date", "strength 5/5"), ("date", "pain 9/10"), ("date", "BP 120/80"), ("date", "since 2019"), ("date", "may improve"),
    ("date", "march in place"), ("date", "1.5.2 mg"), ("date", "ratio 1/2"), ("date", "SpO2 98%"), ("date", "temp 98.6"),
    ("age", "a 67-year-old man"), ("age", "90 mg daily"), ("age", "temp 94 F"), ("age", "95% on room air"), ("age", "HR 92"),
    ("address", "2 Large tablets"), ("address", "12 hours"), ("address", "from the Emergency Room"),
    ("person", "Patient denies pain"), ("person", "doctor recommends rest"), ("person", "Mother had breast cancer"),
    ("person", "Father: Prostate cancer"), ("person", "Mother: Hodgkin's lymphoma"), ("person", "Brother: Type 2 Diabetes"),
    ("person", "Sister: Asthma"), ("person", "Father: Coronary Artery Disease at 50"),
    ("person", "Patient Education given"), ("person", "dr. office"),
    ("signature", "Thank you for the referral"),
    ("organization", "The Hospital"), ("organization", "the pain clinic"), ("organization", "Emergency Clinic"),
    ("hidden", "0 1 2 3 4 5 6 7 8 9 10"), ("hidden", "hypertension"), ("hidden", "Staphylococcus"),
    ("hidden", "HER2POSITIVE"), ("hidden", "CA125NORMAL1"), ("hidden", "ABO/RHPOSITIVE"),
]  # fmt: skip


@pytest.mark.parametrize(("recognizer", "text", "expected"), HITS)
def test_finds(recognizer: str, text: str, expected: str) -> None:
    """The recognizer finds exactly the identifier."""
    found = [text[span.start : span.end] for span in RECOGNIZERS[recognizer](text)]
    assert expected in found


@pytest.mark.parametrize(("recognizer", "text"), MISSES)
def test_leaves_alone(recognizer: str, text: str) -> None:
    """The recognizer does not take a finding for an identifier."""
    assert [text[span.start : span.end] for span in RECOGNIZERS[recognizer](text)] == []


def test_every_recognizer_has_hits_and_misses() -> None:
    """A recognizer without a table would be unknown territory."""
    assert {row[0] for row in HITS} == set(RECOGNIZERS) == {row[0] for row in MISSES}
