"""Pictures of pages: read as text, scrubbed, and shown again with nothing on them but what stays."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from functools import cache
from typing import Any

import msgspec
import pytest
from PIL import Image

from agents.deidentify import step
from agents.deidentify.policy import load_policy
from agents.deidentify.step import Deidentified, Deidentifier
from agents.vault.vault import memory_vault
from schemas.envelope import FHIR_JSON, HL7_V2
from schemas.errors import ConfigurationError, LeakDetected, MalformedMessage, Reason
from schemas.hl7.er7 import parse
from schemas.hl7.identity import read_identity
from schemas.identity import MessageIdentity, PostalAddress
from schemas.scan import MAX_PAGES, UNREAD, Scan, ScanWord, paint_scan, read_scan
from tests.support import deid
from tests.support.scans import LINES, packed, page

GONE = ("Quillfeather", "Jonas", "100200300", "01/02/1950", "010-1234", "Stonebridge")
STAYS = ("Metformin 500 mg", "Hypertension", "lisinopril 20 mg", "chest pain")


@cache
def deidentifier(scans: Any) -> Deidentifier:
    return Deidentifier(load_policy("safe_harbor"), scans=scans)


def clean(payload: bytes, scans: str, content_type: str = HL7_V2) -> Deidentified:
    work = deidentifier(scans)

    async def run() -> Deidentified:
        prepared = work.prepare(content_type, payload)
        (answer,) = await memory_vault(seed=1).resolve([prepared.request])
        return work.apply(prepared, answer)

    return asyncio.run(run())


def faxed(data: bytes, kind: str) -> bytes:
    return deid.ORU + f"OBX|9|ED|11506-3^Note^LN||^IM^{kind}^Base64^{base64.b64encode(data).decode()}||||||F\r".encode()


def attachments(result: Deidentified) -> list[list[str]]:
    row = next(line for line in result.payload.decode().split("\r") if line.startswith("OBX|9|"))
    return [value.split("^") for value in row.split("|")[5].split("~")]


@pytest.mark.parametrize(
    ("kind", "media"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("TIFF", "image/tiff"), ("PDF", "application/pdf")]
)
def test_every_kind_of_picture_is_read_with_the_place_of_each_word(kind: str, media: str) -> None:
    """Two pages where the format has pages."""
    pages = 2 if kind in ("TIFF", "PDF") else 1
    scan = read_scan(packed(*[page()] * pages, kind=kind), media)
    assert scan is not None
    assert scan.text.count("Metformin 500 mg PO BID continued.") == pages
    assert {word.page for word in scan.words} == set(range(pages))
    for word in scan.words[:-1]:
        left, top, right, bottom = word.box
        assert scan.text[word.start : word.end].strip()
        assert 0 <= left < right <= 1800
        assert 0 <= top < bottom <= 1200


def test_text_of_a_fax_takes_its_place_without_identifiers() -> None:
    """HL7 ED of subtype TIFF."""
    (value,) = attachments(clean(faxed(packed(page(), kind="TIFF"), "TIFF"), "text"))
    text = base64.b64decode(value[4]).decode()
    assert value[1:4] == ["TEXT", "plain", "Base64"]
    assert all(word in text for word in STAYS), text
    assert not [word for word in GONE if word in text], text


def test_withheld_unless_the_site_wants_it() -> None:
    """The default: the picture goes and is counted as refused."""
    result = clean(faxed(packed(page(), kind="PNG"), "PNG"), "withhold")
    assert attachments(result) == [[""]]
    assert result.coverage.refused == {"OBX-5.5": Reason.UNSUPPORTED_CONTENT_TYPE.value}
    assert "tesserocr" not in deidentifier("withhold").policy_version
    assert "+tesserocr-" in deidentifier("text").policy_version


def test_a_painted_page_shows_what_stays_and_nothing_else() -> None:
    """FHIR: text and picture side by side; no name, no face; where words were taken out it is black."""
    form = {"contentType": "image/png", "data": base64.b64encode(packed(page(), kind="PNG")).decode()}
    payload = deid.bundle(deid.patient_resource(), deid.report("well", presentedForm=[form]))
    result = clean(payload, "picture", FHIR_JSON)
    text, picture = json.loads(result.payload)["entry"][1]["resource"]["presentedForm"]
    assert text["contentType"].startswith("text/plain")
    assert picture["contentType"] == "image/png"
    shown = base64.b64decode(picture["data"])
    again = read_scan(shown, "image/png")
    assert again is not None
    assert all(word in again.text for word in STAYS), again.text
    assert not [word for word in GONE if word in again.text], again.text
    image = Image.open(io.BytesIO(shown))
    assert image.getpixel((1450, 850)) == 255
    assert min(image.crop((200, 150, 600, 200)).get_flattened_data()) == 0
    assert not image.info
    assert clean(payload, "picture", FHIR_JSON).payload == result.payload


def test_the_painted_pages_of_a_fax_are_one_more_repetition() -> None:
    """HL7: text, then PDF for several pages."""
    text, picture = attachments(clean(faxed(packed(page(), page(), kind="TIFF"), "TIFF"), "picture"))
    assert text[1] == "TEXT"
    assert picture[1:4] == ["AP", "PDF", "Base64"]
    again = read_scan(base64.b64decode(picture[4]), "application/pdf")
    assert again is not None
    assert again.text.count("Metformin") == 2
    assert not [word for word in GONE if word in again.text]


def test_the_gate_reads_the_painted_page_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A painter that leaves a name on the page is caught: the message does not pass."""
    from agents.deidentify import scans

    monkeypatch.setattr(scans, "paint_scan", lambda scan, taken_out: (scan.data, "image/png"))
    with pytest.raises(LeakDetected):
        clean(faxed(packed(page(), kind="PNG"), "PNG"), "picture")


def test_words_in_doubt_are_neither_text_nor_shown() -> None:
    """What the reader is not sure of may be a name that it garbled."""
    data = packed(page(dirt=0), kind="PNG")
    sure = read_scan(data, "image/png")
    assert sure is not None
    doubted = Scan(sure.text, tuple(ScanWord(w.start, w.end, w.page, w.box, False) for w in sure.words), sure.data)
    with pytest.raises(MalformedMessage):
        read_scan(paint_scan(doubted, ())[0], "image/png")
    smeared = page(["Metformin 500 mg continued", "Qu1llf"]).resize((170, 110)).resize((1700, 1100))
    text = read_scan(packed(smeared, kind="PNG"), "image/png")
    assert text is None or UNREAD in text.text


@pytest.mark.parametrize(
    ("data", "media", "reason"),
    [
        (b"\x89PNG not really", "image/png", Reason.MALFORMED_FHIR),
        (b"%PDF-1.4 not really", "application/pdf", Reason.MALFORMED_FHIR),
        (packed(Image.new("L", (400, 400), 255), kind="PNG"), "image/png", Reason.UNSUPPORTED_CONTENT_TYPE),
        (packed(*[Image.new("L", (40, 40), 255)] * (MAX_PAGES + 1), kind="TIFF"), "image/tiff", Reason.TOO_LARGE),
        (packed(Image.new("1", (9000, 9000), 1), kind="PNG"), "image/png", Reason.MALFORMED_FHIR),
    ],
    ids=["no picture", "no PDF", "blank", "too many pages", "too large a page"],
)
def test_what_cannot_be_read_is_refused_with_a_code(data: bytes, media: str, reason: Reason) -> None:
    """Never passed, never a crash."""
    with pytest.raises(MalformedMessage) as caught:
        read_scan(data, media)
    assert caught.value.reason is reason


def test_other_types_are_none_of_its_business() -> None:
    """The caller withholds them."""
    assert read_scan(b"x", "audio/wav") is None


def test_a_site_that_asks_for_scans_needs_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused at the start, not at the first fax."""
    monkeypatch.setattr(step, "reader_version", lambda: None)
    with pytest.raises(ConfigurationError):
        Deidentifier(load_policy("safe_harbor"), scans="text")


@pytest.mark.parametrize("turn", [0.0, 1.0, -1.5])
def test_a_page_that_went_in_askew_keeps_no_identifier(turn: float) -> None:
    """Read or unread: the name is in neither text nor picture."""
    text, *_ = attachments(clean(faxed(packed(page(LINES, turn=turn), kind="PNG"), "PNG"), "picture"))
    words = base64.b64decode(text[4]).decode()
    assert not [word for word in GONE if word in words], words
    assert "etformin" in words


def test_a_street_of_which_a_word_was_unread_goes_all_the_same() -> None:
    """The rest of a phrase that the message knows, beside what nobody could read."""
    known = read_identity(parse(deid.ADT))
    text, _ = deidentifier("text").text(f"Sent to 12 {UNREAD} Row, seen at {UNREAD} Thistlewood. Aspirin 81 mg.", known)
    assert "Thistlewood" not in text
    street = msgspec.structs.replace(known.patient, addresses=(PostalAddress(lines=("12 Elderflower Row",)),))  # type: ignore[type-var]
    clean_text, _ = deidentifier("text").text(f"Sent to 12 Elderflower {UNREAD}, aspirin 81 mg.", MessageIdentity(patient=street))
    assert "Elderflower" not in clean_text
    assert "aspirin 81 mg" in clean_text
