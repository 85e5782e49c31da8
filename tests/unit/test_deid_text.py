"""Free text: the layers, what they replace, what they leave, and the way back to the original."""

from __future__ import annotations

import pytest

from agents.deidentify.text.known import Known
from agents.deidentify.text.model import ModelLayer
from agents.deidentify.text.normalise import normalise
from agents.deidentify.text.protect import is_protected
from agents.deidentify.text.scrub import scrub
from agents.deidentify.text.spans import NAME, Found
from schemas.identity import Identifier, MessageIdentity, Person, PersonName, PostalAddress, Role

JONAS = Person(
    role=Role.PATIENT,
    names=(PersonName(family="Quillfeather", given=("William", "Peregrine")),),
    identifiers=(Identifier(value="100-200-300"), Identifier(value="7")),
    phones=("(555) 010-1234",),
    emails=("jq@mail.example",),
    addresses=(PostalAddress(lines=("12 Elm Row",), city="Westerham", postal_code="44123"),),
)
LONG = Person(role=Role.PRACTITIONER, names=(PersonName(family="Long", given=("Hope",)),))
KNOWN = Known(MessageIdentity(patient=JONAS, others=(LONG,), organizations=("Northgate Infirmary",)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("quillfeather came", "[NAME] came"),
        ("QUILLFEATHER, WILLIAM came", "[NAME], [NAME] came"),
        ("W. Quillfeather's leg", "[NAME]'s leg"),
        ("Quilfeather slept", "[NAME] slept"),
        ("Quillfaether slept", "[NAME] slept"),
        ("Billy slept", "[NAME] slept"),
        ("his record 100200300", "his record [ID]"),
        ("his number is 100 200 300 now", "his number is [ID] now"),
        ("rang 010-1234 twice", "rang [PHONE] twice"),
        ("wrote to JQ@mail.example", "wrote to [EMAIL]"),
        ("at 12 ELM ROW", "at [LOCATION]"),
        ("went home to Westerham", "went home to [LOCATION]"),
        ("back to Northgate Infirmary", "back to [ORGANIZATION]"),
        ("under the care of Hope Long since", "under the care of [NAME] since"),
        ("he saw Long twice", "he saw [NAME] twice"),
    ],
)  # fmt: skip
def test_known_identifiers_go_however_they_are_written(text: str, expected: str) -> None:
    """What the message says about people does not survive in its text."""
    assert scrub(text, KNOWN)[0] == expected


@pytest.mark.parametrize(
    "text",
    ["Long QT syndrome", "a long way to go", "We hope for the best", "Hope for recovery", "grade 7 effort", "bills were paid"],
)
def test_names_that_are_words_stay_words(text: str) -> None:
    """A doctor named Long does not take the long QT away."""
    assert scrub(text, KNOWN)[0] == text


def test_an_eponym_is_no_patient() -> None:
    """With a patient named Parkinson the disease stays, the patient goes."""
    known = Known(MessageIdentity(patient=Person(role=Role.PATIENT, names=(PersonName(family="Parkinson"),))))
    assert scrub("Parkinson has Parkinson's disease.", known)[0] == "[NAME] has Parkinson's disease."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seen 3/14/2023", "seen [DATE 2023]"),
        ("born 3/14/1931", "born [DATE]"),
        ("seen 3/14/23", "seen [DATE]"),
        ("since 2019", "since 2019"),
        ("a 93-year-old", "a [AGE 90+]-year-old"),
        ("a 67-year-old", "a 67-year-old"),
    ],
)
def test_years_and_ages_stay_as_far_as_the_law_lets_them(text: str, expected: str) -> None:
    """The year of a date stays unless it tells an age over 89; ages up to 89 stay."""
    assert scrub(text, oldest_year=1935)[0] == expected


def test_the_birth_year_of_somebody_over_89_goes() -> None:
    """A bare year goes when it is the birth year of a patient over 89."""
    known = Known(MessageIdentity(patient=JONAS), birth_year=1931)
    assert scrub("born in 1931, widowed in 1980", known)[0] == "born in [DATE], widowed in 1980"


CLINICAL = (
    "Chest pain radiating to left arm. BP 120/80, HR 92, SpO2 95% on room air, pain 9/10, strength 5/5. "
    "Metformin 500 mg PO BID, insulin 10-20 units. Potassium 5.9 mmol/L (3.5-5.1). Ejection fraction 55-60%. "
    "Crohn's disease, Foley catheter, Glasgow coma scale 15. T2N0M0, stage III. LVEF 35%. Follow up in 2 weeks. L4-L5 disc."
)


def test_clinical_text_is_left_as_it_is() -> None:
    """Findings, doses, vital signs, scores and eponyms stay, character by character."""
    assert scrub(CLINICAL, KNOWN) == (CLINICAL, ())


DISGUISES = {
    "zero width": "Qui\u200bll\u200dfeather",
    "soft hyphen": "Quill\u00adfeather",
    "full width": "Ｑｕｉｌｌｆｅａｔｈｅｒ",
    "look-alikes": "Quillfеаther",
    "combining": "Qui\u0301llfeather",
    "reference": "&#81;uillfeather",
    "percent": "%51uillfeather",
    "upper": "QUILLFEATHER",
}


@pytest.mark.parametrize("disguise", sorted(DISGUISES))
def test_disguises_of_a_name_do_not_help(disguise: str) -> None:
    """What looks like the name to a reader is the name; the whole of it is replaced."""
    assert scrub(f"Then {DISGUISES[disguise]} left", KNOWN)[0] == "Then [NAME] left"


@pytest.mark.parametrize(
    "text", ["١٢٣-٤٥-٦٧٨٩", "１２３-４５-６７８９", "123\u201145\u20116789", "123\u00a045\u00a06789", "1\u200b23-45-6789"]
)
def test_disguised_digits_are_digits(text: str) -> None:
    """A social security number in other digits, dashes or blanks is one."""
    assert scrub(f"no {text} there")[0] == "no [ID] there"


def test_offsets_of_normalised_text_lead_back_exactly() -> None:
    """Every character of the normalised text comes from where the map says."""
    text = "a\u200bb\u00adｃ&#100;%65 ﬁ é"
    normal = normalise(text)
    assert normal.text == "abcde fi e"
    assert normal.starts is not None
    assert [text[start] for start in normal.starts[:3]] == ["a", "b", "ｃ"]
    assert normal.original(3, 4) == (text.index("&"), text.index("%"))


class _Tagger:
    """A tagger of fixed answers: what the layer does with them is under test, not the model."""

    version = "tagger@1"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def tag_many(self, texts: list[str]) -> list[list[_Span]]:
        self.asked += texts
        return [[_Span(text.index(word), word) for word in ("Zelda", "Lisinopril") if word in text] for text in texts]


class _Span:
    label = "NAME"
    score = 0.9

    def __init__(self, start: int, word: str) -> None:
        self.start, self.end = start, start + len(word)


def test_the_model_adds_what_nobody_announced_and_never_a_drug() -> None:
    """A guess joins the other layers with its score and version; a protected word is no name."""
    layer = ModelLayer(_Tagger())
    text = "Zelda takes Lisinopril"
    clean, (redaction,) = scrub(text, guesses=layer.find_all([text])[text])
    assert clean == "[NAME] takes Lisinopril"
    assert (redaction.layer, redaction.rule, redaction.score) == ("model", "tagger@1", 0.9)


def test_short_texts_are_asked_once() -> None:
    """Feeds repeat short results; the model sees each of them once."""
    tagger = _Tagger()
    layer = ModelLayer(tagger)
    for _ in range(3):
        layer.find_all(["Zelda, unclear", "Zelda, unclear"])
    assert tagger.asked == ["Zelda, unclear"]


@pytest.mark.parametrize(
    ("text", "word"), [("on Metoprolol daily", "Metoprolol"), ("grew Escherichia coli", "Escherichia coli"), ("Crohn's disease", "Crohn"),
                       ("gave 500 mg now", "500 mg")],
)  # fmt: skip
def test_protected_words_are_told(text: str, word: str) -> None:
    """Drugs, organisms, eponyms and doses are protected from guesses."""
    start = text.index(word)
    assert is_protected(text, Found(start, start + len(word), NAME, "model", "m"))


def test_an_unprotected_word_is_not() -> None:
    """A name is not protected, nor is a name beside a drug."""
    for text in ("Zelda", "Zelda Lisinopril", "Parkinson"):
        assert not is_protected(text, Found(0, len(text), NAME, "model", "m"))
