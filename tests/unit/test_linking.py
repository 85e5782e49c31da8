"""Vocabulary files become an index, mentions become codes, and what is not sure stays unlinked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

from agents.decide.form.base import Code
from agents.decide.form.inputs import Statement
from agents.decide.reading.inputs import has_code
from agents.extract.linking.abbreviations import defined
from agents.extract.linking.build import build
from agents.extract.linking.index import SHIPPED, encode, read
from agents.extract.linking.linker import LOOK_ALIKE, UNEXPLAINED, Context, Linker
from agents.extract.linking.nearest import vectors_of
from agents.extract.linking.sources import DOID, ICD10CM, LOINC, MESH, RXNORM, SNOMED
from agents.extract.linking.sources import MONDO as MONDO_URI
from agents.extract.step import make_extractor
from ops.commands.vocab import command
from schemas.clinical import Coding
from schemas.errors import ConfigurationError
from schemas.findings import Mention
from streams.settings import Settings, Vocabularies

ORDER = (
    "00001 I10     1 {:60} Essential (primary) hypertension\n"
    "00002 E119    1 {:60} Type 2 diabetes mellitus without complications\n"
    "00003 J459    0 {:60} Other and unspecified asthma\n"
).format("x", "x", "x")
MONDO = (
    "#mapping_set: x\nsubject_id\tsubject_label\tpredicate_id\tobject_id\tobject_label\tmapping_justification\n"
    "MONDO:1\thypertensive disorder\tskos:exactMatch\tMESH:D006973\thypertension\tx\n"
    "MONDO:1\thypertensive disorder\tskos:exactMatch\tICD10CM:I10\tEssential (primary) hypertension\tx\n"
    "MONDO:2\tanaemia\tskos:exactMatch\tMESH:D000740\tanemia disorder\tx\n"
    "MONDO:3\tcarcinoma of the lung\tskos:exactMatch\tMESH:D008175\t\tx\n"
)
RXN = "".join(
    "|".join([cui, "ENG", *[""] * 9, sab, "IN", cui, name, "", flag, "", ""]) + "\n"
    for cui, sab, name, flag in [
        ("1191", "RXNORM", "aspirin", "N"), ("1192", "OTHER", "not RxNorm's", "N"), ("1193", "RXNORM", "gone drug", "O"),
    ]
)  # fmt: skip
SCT = (
    "id\teffectiveTime\tactive\tmoduleId\tconceptId\tlanguageCode\ttypeId\tterm\tcaseSignificanceId\n"
    "1\t20200101\t1\tm\t195967001\ten\t900000000000003001\tAsthma (disorder)\tc\n"
    "2\t20200101\t1\tm\t195967001\ten\t900000000000013009\tBronchial asthma\tc\n"
    "3\t20200101\t0\tm\t195967001\ten\t900000000000013009\tWithdrawn name\tc\n"
)
LNC = 'LOINC_NUM,COMPONENT,STATUS,SHORTNAME,LONG_COMMON_NAME\n"2160-0","Creatinine","ACTIVE","Creat SerPl-mCnc","Creatinine [Mass/volume] in Serum"\n'
MSH = "*NEWRECORD\nMH = Asthma\nENTRY = Bronchial Asthma|T047|x\nMN = C08.127.108\nUI = D001249\n\n"
ATC = "ATC code,ATC level name\nN02BA01,acetylsalicylic acid\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, text in {
        "order.txt": ORDER, "mondo.tsv": MONDO, "RXNCONSO.RRF": RXN, "sct2_Description_Snapshot-en.txt": SCT, "Loinc.csv": LNC,
        "d.bin": MSH, "atc.csv": ATC,
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def _linker(files: Path, *kinds: tuple[str, str]) -> Linker:
    return Linker(build([(kind, files / name) for kind, name in kinds]), "1")


def _codes(linker: Linker, text: str, kind: str) -> dict[str, str]:
    link = linker.link(text, kind)
    return {coding.system: coding.code for coding in linker.codings(link)} if link else {}


def test_a_name_leads_to_its_codes_in_every_vocabulary_that_knows_it(files: Path) -> None:
    linker = _linker(files, ("mondo", "mondo.tsv"), ("icd10cm", "order.txt"))
    codes = _codes(linker, "Hypertension", "problem")
    assert (codes[MESH], codes[ICD10CM]) == ("D006973", "I10")


@pytest.mark.parametrize(
    ("written", "code"),
    [("HYPERTENSION", "D006973"), ("hypertensive", "D006973"), ("severe hypertension", "D006973"),
     ("anemia", "D000740"), ("lung carcinomas", "D008175")],
)  # fmt: skip
def test_spellings_of_a_name_are_one(files: Path, written: str, code: str) -> None:
    assert _codes(_linker(files, ("mondo", "mondo.tsv")), written, "problem").get(MESH) == code


def test_what_no_vocabulary_knows_and_what_is_another_type_stays_unlinked(files: Path) -> None:
    linker = _linker(files, ("mondo", "mondo.tsv"), ("rxnorm", "RXNCONSO.RRF"))
    assert linker.link("glorious weather", "problem") is None
    assert linker.link("hypertension", "medication") is None
    assert linker.link("hypertension", "dosage") is None
    assert linker.link("aspirin", "problem") is None


def test_an_expansion_is_linked_in_place_of_its_abbreviation(files: Path) -> None:
    link = _linker(files, ("mondo", "mondo.tsv")).link("HTN", "problem", "hypertension")
    assert link is not None
    assert link.match == "exact"


@pytest.mark.parametrize(
    ("kind", "name", "text", "mention", "system", "code"),
    [
        ("rxnorm", "RXNCONSO.RRF", "Aspirin", "medication", RXNORM, "1191"),
        ("snomed", "sct2_Description_Snapshot-en.txt", "bronchial asthma", "problem", SNOMED, "195967001"),
        ("loinc", "Loinc.csv", "creatinine [mass/volume] in serum", "test", LOINC, "2160-0"),
        ("mesh", "d.bin", "bronchial asthma", "problem", MESH, "D001249"),
        ("atc", "atc.csv", "acetylsalicylic acid", "medication", "http://www.whocc.no/atc", "N02BA01"),
        ("umls", "RXNCONSO.RRF", "aspirin", "medication", "http://www.nlm.nih.gov/research/umls", "1191"),
    ],
)
def test_every_licensed_format_is_read(
    files: Path, kind: str, name: str, text: str, mention: str, system: str, code: str
) -> None:
    assert _codes(_linker(files, (kind, name)), text, mention) == {system: code}


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [("rxnorm", "RXNCONSO.RRF", "gone drug"), ("rxnorm", "RXNCONSO.RRF", "not RxNorm's"),
     ("snomed", "sct2_Description_Snapshot-en.txt", "withdrawn name")],
)  # fmt: skip
def test_withdrawn_and_foreign_names_are_left_out(files: Path, kind: str, name: str, text: str) -> None:
    linker = _linker(files, (kind, name))
    assert linker.link(text, "problem") is None
    assert linker.link(text, "medication") is None


def test_a_mention_that_has_a_code_keeps_it_and_a_linked_one_says_who_linked_it(files: Path) -> None:
    linker = _linker(files, ("mondo", "mondo.tsv"))
    bare = Mention(id="1", note="n", start=0, end=12, text="hypertension", type="problem", score=1, source="m")
    coded = linker.coded(bare)
    assert {coding.inferred for coding in coded.codes} == {"vocabulary-1"}
    assert all(0 < coding.score < 1 for coding in coded.codes)
    assert linker.coded(coded) is coded


def test_rules_count_an_inferred_code_only_where_they_say_so() -> None:
    wanted = (Code(system=ICD10CM, code="I10"),)
    inferred = (Coding(system=ICD10CM, code="I10", inferred="vocabulary-1", score=0.9),)
    assert not has_code(inferred, wanted)
    assert has_code(inferred, wanted, inferred=True)
    assert has_code((Coding(system=ICD10CM, code="I10"),), wanted)
    assert not Statement(codes=wanted).inferred


def test_the_same_files_give_the_same_bytes(files: Path, tmp_path: Path) -> None:
    sources = [("mondo", files / "mondo.tsv"), ("icd10cm", files / "order.txt")]
    first = encode(build(sources))
    assert first == encode(build(sources))
    (tmp_path / "v.index").write_bytes(first)
    assert read(tmp_path / "v.index")[0] == build(sources)


def test_an_index_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.index"
    with pytest.raises(ConfigurationError):
        read(path)
    path.write_bytes(b"no index")
    with pytest.raises(ConfigurationError):
        read(path)


def test_a_file_of_another_kind_is_refused(files: Path) -> None:
    with pytest.raises(ConfigurationError):
        build([("loinc", files / "mondo.tsv")])
    with pytest.raises(ConfigurationError):
        build([("mondo", files / "missing.tsv")])


def test_the_command_builds_shows_and_looks_up(files: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "v.index")
    run = CliRunner()
    built = run.invoke(command, ["build", "--source", f"mondo={files / 'mondo.tsv'}", "--release", "mondo=2026-01", "--out", out])
    assert built.exit_code == 0, built.output
    shown = json.loads(run.invoke(command, ["show", "--index", out]).output)
    assert [(s["kind"], s["version"], s["licence"]) for s in shown["sources"]] == [("mondo", "2026-01", "CC BY 4.0")]
    found = json.loads(run.invoke(command, ["lookup", "hypertension", "--index", out]).output)
    assert "D006973" in [code["code"] for code in found["codes"]]
    assert run.invoke(command, ["build", "--source", "nonsense=x", "--out", out]).exit_code == 2


def test_a_misspelt_name_is_linked_with_a_lower_score_and_not_above_it(files: Path) -> None:
    index = build([("mondo", files / "mondo.tsv")])
    link = Linker(index, "1").link("hypertnsion", "problem")
    assert link is not None
    assert link.match == "fuzzy"
    assert Linker(index, "1", link.score + 0.01).link("hypertnsion", "problem") is None


def test_a_drug_of_nearly_the_same_letters_is_never_linked_by_default(files: Path) -> None:
    index = build([("rxnorm", files / "RXNCONSO.RRF")])
    assert Linker(index, "1").link("aspirine", "medication") is None
    link = Linker(index, "1", 0).link("aspirine", "medication")
    assert link is not None
    assert (link.match, link.score) == ("fuzzy", LOOK_ALIKE)


#: Names of diseases as ``pubtator`` rows give them: code and name.
NAMES = [
    ("D001943", "breast cancer"), ("D010051", "ovarian cancer"), ("D000326", "adrenoleukodystrophy"), ("D005955", "G6P deficiency"),
    ("D012175", "retinoblastoma"), ("D007571", "jaw disease"), ("D011125", "adenomatous polyposis coli"), ("D011125", "APC"),
    ("D018455", "protein C deficiency"), ("D018455", "APC"), ("D009223", "dystrophia myotonica"), ("D003920", "diabetes mellitus"),
    ("D003920", "DM"), ("D009223", "DM"),
]  # fmt: skip


@pytest.fixture
def named(tmp_path: Path) -> Linker:
    path = tmp_path / "named.txt"
    path.write_text("".join(f"1\t0\t1\t{name}\tDisease\t{code}\n" for code, name in NAMES), encoding="utf-8")
    return Linker(build([("pubtator", path)]), "1", 0)


@pytest.mark.parametrize(
    ("written", "match", "code"),
    [("breast and ovarian cancer", "joined", "D001943"), ("cerebral adrenoleukodystrophy", "wider", "D000326"),
     ("retinoblastoma tumours", "wider", "D012175"), ("jaw lesions", "completed", "D007571"),
     ("G6P (GPX) deficiency", "exact", "D005955"), ("adrenoleukodystrophy type 2b", "wider", "D000326")],
)  # fmt: skip
def test_a_name_is_found_in_what_is_written_around_it(named: Linker, written: str, match: str, code: str) -> None:
    link = named.link(written, "problem")
    assert link is not None
    assert (link.match, link.concept.codes[0][1]) == (match, code)


@pytest.mark.parametrize("written", ["breast and left-handedness", "weather disease", "severe disease", "gene mutation"])
def test_what_says_no_more_than_that_something_is_wrong_stays_unlinked(named: Linker, written: str) -> None:
    assert named.link(written, "problem") is None


def test_a_short_form_means_what_the_note_defines_in_a_longer_mention_too(named: Linker) -> None:
    context = Context.of("Twelve boys had adrenoleukodystrophy (ALD). Childhood ALD progressed.")
    link = named.link("childhood ALD", "problem", context=context)
    assert link is not None
    assert link.concept.codes[0][1] == "D000326"
    assert named.link("childhood ALD", "problem") is None


@pytest.mark.parametrize(
    ("note", "code"),
    [
        ("Diabetes was found in mellitus clinics; DM since 2010.", "D003920"),
        ("Dystrophia of hands, myotonica form. DM.", "D009223"),
    ],
)
def test_of_two_meanings_the_note_decides(named: Linker, note: str, code: str) -> None:
    link = named.link("DM", "problem", context=Context.of(note))
    assert link is not None
    assert link.concept.codes[0][1] == code
    assert link.score > UNEXPLAINED


def test_of_two_meanings_that_nothing_explains_none_is_sure(named: Linker) -> None:
    link = named.link("DM", "problem", context=Context.of("Seen today. DM."))
    assert link is not None
    assert link.score == UNEXPLAINED


def test_rows_of_several_sources_that_mean_one_disease_become_one_concept_unless_a_code_speaks_against_it(tmp_path: Path) -> None:
    (tmp_path / "d.bin").write_text(MSH, encoding="utf-8")
    rows = "MONDO:4\tasthma\tskos:exactMatch\tDOID:2841\tasthma\tx\nMONDO:5\tasthma\tskos:exactMatch\tMESH:D999999\tasthma\tx\n"
    (tmp_path / "mondo.tsv").write_text("".join(MONDO.splitlines(keepends=True)[:2]) + rows, encoding="utf-8")
    index = build([("mesh", tmp_path / "d.bin"), ("mondo", tmp_path / "mondo.tsv")])
    codes = [{(system, code) for system, code, _ in concept.codes} for concept in index.concepts]
    assert {(MESH, "D001249"), (MONDO_URI, "MONDO:4"), (DOID, "DOID:2841")} in codes
    assert {(MESH, "D999999"), (MONDO_URI, "MONDO:5")} in codes


class Letters:
    """Vectors by first letters: enough to be near or far."""

    version = "letters@1"

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        rows = np.zeros((len(texts), 26), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.split():
                row[ord(word[0]) % 26] += 1
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def test_a_name_that_no_vocabulary_spells_so_goes_to_the_nearest_one_and_unlinked_where_none_is_near(files: Path) -> None:
    index = build([("mondo", files / "mondo.tsv")])
    index = msgspec.structs.replace(index, vectors=vectors_of(index, Letters()))
    linker = Linker(index, "1", 0, Letters())
    link = linker.link("catastrophe of the larynx", "problem")
    assert link is not None
    assert (link.match, link.concept.codes[0][2]) == ("nearest", "carcinoma of the lung")
    assert linker.link("zebra quagga", "problem") is None
    assert linker.version.endswith("letters@1")


def test_vectors_of_another_encoder_are_refused(files: Path) -> None:
    index = build([("mondo", files / "mondo.tsv")])
    with pytest.raises(ConfigurationError):
        Linker(index, "1", 0, Letters())


def test_vectors_stay_in_the_file_and_are_the_same_each_time(files: Path, tmp_path: Path) -> None:
    index = build([("mondo", files / "mondo.tsv")])
    index = msgspec.structs.replace(index, vectors=vectors_of(index, Letters()))
    (tmp_path / "v.index").write_bytes(encode(index))
    assert read(tmp_path / "v.index")[0] == index
    assert vectors_of(index, Letters()) == index.vectors


def test_the_names_of_concepts_with_more_than_one_are_written_for_training(files: Path, tmp_path: Path) -> None:
    run, out = CliRunner(), tmp_path / "names.tsv"
    assert (
        run.invoke(command, ["build", "--source", f"mondo={files / 'mondo.tsv'}", "--out", str(tmp_path / "v.index")]).exit_code
        == 0
    )
    assert run.invoke(command, ["names", "--index", str(tmp_path / "v.index"), "--out", str(out)]).exit_code == 0
    rows = [line.split("\t") for line in out.read_text("utf-8").splitlines()]
    assert {name for _, name in rows} >= {"hypertension", "hypertensive disorder", "anaemia"}
    assert "carcinoma of the lung" not in {name for _, name in rows}


def test_the_index_that_ships_is_of_free_sources_and_links_common_problems() -> None:
    index, version = read(Path("shipped"))
    assert version == hashlib.sha256(SHIPPED.read_bytes()).hexdigest()[:12]
    assert version in SHIPPED.with_suffix(".md").read_text("utf-8")
    assert not {source.kind for source in index.sources} & {"snomed", "loinc", "umls", "atc"}
    assert SHIPPED.stat().st_size <= 8 * 2**20
    codes = _codes(Linker(index, version), "high blood pressure", "problem")
    assert codes[MESH] == "D006973"


def test_an_abbreviation_defined_beside_its_long_form_means_it_in_the_whole_note(files: Path) -> None:
    text = "lung carcinoma (LCX) seen. LCX grew."
    spans = [(0, 14), (16, 19), (27, 30)]
    mentions = [
        Mention(id=str(a), note="n", start=a, end=b, text=text[a:b], type="problem", score=1, source="m") for a, b in spans
    ]
    coded = _linker(files, ("mondo", "mondo.tsv")).coded_all(text, mentions)
    assert [{c.code for c in m.codes if c.system == MESH} for m in coded] == [{"D008175"}] * 3


@pytest.mark.parametrize(
    ("text", "short", "long"),
    [("with chronic kidney disease (CKD) and", "CKD", "chronic kidney disease"), ("familial adenomatous polyposis (FAP)", "FAP", "familial adenomatous polyposis"),
     ("X-linked adrenoleukodystrophy (X-ALD; n=3)", "X-ALD", "X-linked adrenoleukodystrophy")],
)  # fmt: skip
def test_the_long_form_before_a_bracket_is_what_its_letters_mean(text: str, short: str, long: str) -> None:
    assert defined(text) == {short: long}


@pytest.mark.parametrize(
    "text", ["aspirin (100 mg)", "seen by the team (USA)", "no bracket CKD", "(CKD) at the start", "kidney (see)"]
)
def test_a_bracket_without_a_long_form_before_it_defines_nothing(text: str) -> None:
    assert defined(text) == {}


def test_letters_that_nothing_explains_stay_unlinked(tmp_path: Path) -> None:
    path = tmp_path / "c.tsv"
    path.write_text("1\t0\t3\tBMD\tDisease\tD1234\n", encoding="utf-8")
    linker = Linker(build([("pubtator", path)]), "1")
    assert linker.link("BMD", "problem") is None


def test_the_extractor_codes_mentions_by_the_index_that_the_settings_name_and_does_not_start_without_it(files: Path) -> None:
    index = files / "v.index"
    named = Settings(vocabularies=Vocabularies(index=index))
    with pytest.raises(ConfigurationError):
        make_extractor(named)
    index.write_bytes(encode(build([("mondo", files / "mondo.tsv")])))
    plain, linking = make_extractor(Settings()), make_extractor(named)
    try:
        given = [(11, 23, "problem")]
        bare = plain.extract_text("n", "History of hypertension.", origin="o", policy="p", given=given)
        coded = linking.extract_text("n", "History of hypertension.", origin="o", policy="p", given=given)
    finally:
        plain.close()
        linking.close()
    assert bare.mentions[0].codes == ()
    assert bare.versions.vocabulary == ""
    assert "D006973" in [coding.code for coding in coded.mentions[0].codes]
    assert coded.versions.vocabulary.startswith("vocabulary-")
    assert coded.versions.vocabulary in linking.version
    assert coded.mentions[0].id != bare.mentions[0].id
