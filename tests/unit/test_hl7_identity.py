"""Who and what a message names; the values here are invented for these tests."""

from __future__ import annotations

import msgspec

from schemas.hl7.er7 import parse
from schemas.hl7.identity import read_identity
from schemas.identity import Identifier, MessageIdentity, PostalAddress, Role

ADT = "\r".join(
    [
        "MSH|^~\\&|ADT|NORTHGATE|EHR|NORTHGATE|20240102030405||ADT^A01|CTRL-1|P|2.5.1",
        "EVN|A01|20240102|||U7^Clerk^Cora",
        "PID|1|EXT9|1001^^^NG^MR~999-55-1111^^^USSSA^SS|ALT4|Quill&van&Quill^Jonas^P^Jr^Dr~Quilly^Jo|Marsh^Ada|19500102|M|Quillson^J"
        "||12 Elm Row&Elm Row^Flat 2^Barton^OH^44123-1111^USA^H^^Summit~PO Box 5^^Barton"
        "||(555)010-1234^PRN^PH~^NET^Internet^jonas@example.org|555 010 9999||||ACC77|999-55-1111|D123^OH"
        "|MOM5^^^NG||Barton General",
        "PD1|||Lakeside Clinic^^123|D1^Hale^Rosa",
        "NK1|1|Quill^Mira|SPO|12 Elm Row^^Barton|^^^^^555^0104321|||||||EMP5|Acme Mills",
        "MRG|1002^^^NG^MR~1003||OLDACC||||Kwill^Jonas",
        "PV1|1|I|W2^201^1^NORTHGATE||PRE1||D2^Stone^Ian^^^Dr^^^NG||||||||||||V55^^^NG^VN|||||||||||||||||||||||||||||||ALTV",
        "GT1|1|G1|Quill^Gil||9 Oak^^Akron||||19490101|F||999-66-2222",
        "IN1|1|PLAN1|PAY1|Blue Harbor|||||GRP-8|||||AUTH1||Quill^Jonas||19500102||||||||||||||||||POL-9",
        "IN2|EE1|999-55-1111",
    ]
).encode()

ORU = "\r".join(
    [
        "MSH|^~\\&|LAB|H1|EHR|H1|20240102030405||ORU^R01|CTRL-2|P|2.5.1",
        "PID|1||1001",
        "ORC|RE|PL1^LAB|FL1^LAB|GR1&X^GR2&Y|||||||U1^Enter^Ed|D2^Stone^Ian||5550107777|||||||North Lab^^55",
        "OBR|1|PL1^LAB|FL1^LAB|24323-8^CMP^LN||||||C9^Draw^Dee||||||D2^Stone^Ian|5550108888|||||||||||||||INT&Read&Ray^20240102~I2&More&May|TRANS&Type&Tom",
        "OBX|1|XPN|21112-8^Mother^LN||Marsh^Ada||||||F|||||RO1^Ober^Olga",
        "OBX|2|CX|X||9999^^^NG",
        "SPM|1|SP1&LAB^SP2&LAB",
        "ZPI|1|Secret^Zed",
    ]
).encode()


def _read(payload: bytes) -> MessageIdentity:
    return read_identity(parse(payload))


def _values(identifiers: tuple[Identifier, ...]) -> set[str]:
    return {identifier.value for identifier in identifiers}


def _families(identity: MessageIdentity, role: Role) -> set[str]:
    return {name.family for person in identity.others if person.role is role for name in person.names}


def test_patient_carries_every_name_number_address_and_phone() -> None:
    """All repetitions and all fields of PID that belong to the patient."""
    patient = _read(ADT).patient
    assert patient is not None
    assert {name.family for name in patient.names} == {"Quill", "Quilly", "Quillson", "Kwill"}
    assert patient.names[0].given == ("Jonas", "P")
    assert patient.names[0].text == "van Quill Quill"
    assert _values(patient.identifiers) == {"EXT9", "1001", "999-55-1111", "ALT4", "D123"}
    assert Identifier(value="1001", system="NG", type="MR") in patient.identifiers
    assert patient.phones == ("(555)010-1234", "555 010 9999")
    assert patient.emails == ("jonas@example.org",)
    assert patient.addresses[0] == PostalAddress(
        lines=("12 Elm Row", "Flat 2", "Elm Row"), city="Barton", state="OH", postal_code="44123-1111", country="USA"
    )
    assert [address.city for address in patient.addresses] == ["Barton", "Barton", "Barton General"]
    assert (patient.birth_date, patient.sex) == ("19500102", "M")


def test_relatives_guarantors_and_insured_are_apart() -> None:
    """Everybody around the patient has a role of their own."""
    identity = _read(ADT)
    assert _families(identity, Role.RELATIVE) == {"Marsh", "Quill"}
    assert _families(identity, Role.GUARANTOR) == {"Quill"}
    assert _families(identity, Role.PRACTITIONER) == {"Clerk", "Hale", "Stone"}
    spouse = next(person for person in identity.others if person.role is Role.RELATIVE and person.phones)
    assert spouse.phones == ("5550104321",)
    insured = [person for person in identity.others if person.role is Role.INSURED]
    assert {value for person in insured for value in _values(person.identifiers)} >= {"POL-9", "999-55-1111", "PAY1", "AUTH1"}


def test_merge_encounter_numbers_and_organizations() -> None:
    """MRG numbers are prior, PV1-19 is the encounter, accounts and control id are numbers."""
    identity = _read(ADT)
    assert _values(identity.prior) == {"1002", "1003", "OLDACC"}
    assert identity.encounter == Identifier(value="V55", system="NG", type="VN")
    assert _values(identity.numbers) >= {"CTRL-1", "ACC77", "PRE1", "V55", "ALTV"}
    assert set(identity.organizations) >= {"NORTHGATE", "Lakeside Clinic", "Acme Mills", "Blue Harbor"}


def test_orders_specimens_and_interpreters_are_found() -> None:
    """EI, EIP, XCN and NDL fields of order messages, repetitions and subcomponents included."""
    identity = _read(ORU)
    assert _values(identity.numbers) >= {"PL1", "FL1", "GR1", "GR2", "SP1", "SP2", "9999", "CTRL-2", "55"}
    assert _families(identity, Role.PRACTITIONER) == {"Enter", "Stone", "Draw", "Read", "More", "Type", "Ober"}
    assert {phone for person in identity.others for phone in person.phones} == {"5550107777", "5550108888"}


def test_typed_observation_values_are_identities() -> None:
    """OBX-2 decides the type of OBX-5."""
    assert "Marsh" in _families(_read(ORU), Role.OTHER)


def test_account_number_stands_for_a_missing_visit_number() -> None:
    """Without PV1-19 the encounter is PID-18."""
    payload = b"MSH|^~\\&|A|B|C|D|2024||ADT^A08|1|P|2.3\rPID|1||7||Doe^J|||||||||||||ACC5\rPV1|1|O\r"
    assert _read(payload).encounter == Identifier(value="ACC5")


def test_message_without_patient_has_none() -> None:
    """MFN names staff but no patient."""
    identity = _read(b"MSH|^~\\&|A|B|C|D|2024||MFN^M02|1|P|2.5\rSTF|S1|S9|Bond^Bea||F|19700101||||(555)0101\r")
    assert identity.patient is None
    assert _families(identity, Role.PRACTITIONER) == {"Bond"}


def test_second_patient_is_kept_beside_the_first() -> None:
    """A17 swaps two patients: the second keeps the role patient."""
    identity = _read(b"MSH|^~\\&|A|B|C|D|2024||ADT^A17|1|P|2.5\rPID|1||7||One^A\rPV1|1\rPID|2||8||Two^B\rPV1|1\r")
    assert identity.patient is not None
    assert _values(identity.patient.identifiers) == {"7"}
    assert _families(identity, Role.PATIENT) == {"Two"}


def test_null_and_empty_fields_are_no_identifiers() -> None:
    """HL7's null ``""`` names nobody."""
    identity = _read(b'MSH|^~\\&|A|B|C|D|2024||ADT^A08|1|P|2.5\rPID|1|""|""^^^X||""^""||""|""|||""||""\r')
    assert identity.patient is not None
    assert msgspec.to_builtins(identity.patient) == msgspec.to_builtins(type(identity.patient)(role=Role.PATIENT))


def test_identity_prints_nothing() -> None:
    """``repr`` is blind."""
    assert "Quill" not in repr(_read(ADT)) + str(_read(ADT).patient)
