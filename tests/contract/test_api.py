"""The annotation API as its clients see it: a running process, real models, the published contract."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate

from ops.console.contract import OWN_CODES
from ops.console.openapi import document, render
from ops.serving import is_loopback, tokens_of
from schemas.envelope import FHIR_JSON, HL7_V2
from schemas.errors import ConfigurationError, Reason
from streams.settings import Api
from tests.support.api import ROOT, TOKEN, ApiProcess

SAMPLES = ROOT / "ops" / "samples" / "mllp"
NOTE = "Mr. Lucien Abernathy (MRN 2077415) was seen on 03/04/2026. Denies chest pain. Start metformin 500 mg PO BID."
POTASSIUM = "\r".join(
    [
        "MSH|^~\\&|LAB|LAKEVIEW|WARDSTREAM|NLP|20260303061500||ORU^R01^ORU_R01|T-1|P|2.5.1",
        "PID|1||70023118^^^LAKEVIEW^MR||Thornquist^Adelaide||19531119|F",
        "OBR|1|P1|F1|24323-8^Metabolic panel^LN|||20260303060000",
        "OBX|1|NM|2823-3^Potassium^LN||6.8|mmol/L^^UCUM|3.5-5.1|HH|||F|||20260303060000",
        "",
    ]
)
CREATININES = "\r".join(
    [
        POTASSIUM.partition("\rOBR")[0],
        "OBR|1|P1|F1|2160-0^Creatinine^LN|||20260302060000",
        "OBX|1|NM|2160-0^Creatinine^LN||1.0|mg/dL^^UCUM|||||F|||20260302060000",
        "OBR|2|P1|F2|2160-0^Creatinine^LN|||20260303060000",
        "OBX|1|NM|2160-0^Creatinine^LN||2.1|mg/dL^^UCUM|||||F|||20260303060000",
        "",
    ]
)
CODES = {*OWN_CODES, *(reason.value for reason in Reason)}
PATHS = ("/v1/annotate", "/v1/explain/entity", "/v1/explain/flag")
MOST_BYTES = 65_536


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    process = ApiProcess(tmp_path_factory.mktemp("api"), MAX_BODY_BYTES=MOST_BYTES, CONCURRENCY=1, WAITING=1)
    yield process
    assert process.stop() == 0


def holds(path: str, status: int, answer: Any) -> None:
    """The answer has the form that the contract gives for this path and status."""
    contract = document()
    responses = contract["paths"][path]["post"]["responses"]
    response = responses[str(status)]
    if "$ref" in response:
        response = contract["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = response["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator({**schema, "components": contract["components"]}).validate(answer)


def test_the_published_document_is_that_of_the_code() -> None:
    """``python -m ops.console.openapi docs/reference/openapi.yaml`` was run."""
    assert (ROOT / "docs" / "reference" / "openapi.yaml").read_text("utf-8") == render()


def test_the_document_is_valid_openapi(api: ApiProcess) -> None:
    served = api.client.get("/openapi.json").json()
    assert served == json.loads(json.dumps(document()))
    validate(served)


def test_a_text_is_answered_as_annotate_does(api: ApiProcess) -> None:
    """The same line as the command's, its identifiers gone."""
    answer = api.ask("/v1/annotate", id=7, text=NOTE)
    holds("/v1/annotate", 200, answer)
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", "annotate", "--quiet"],
        input=json.dumps({"id": 7, "text": NOTE}),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert answer == json.loads(done.stdout)
    assert not any(word in answer["deid"]["text"] for word in ("Lucien", "Abernathy", "2077415"))


@pytest.mark.parametrize(
    ("content_type", "body", "key"),
    [
        ("text/plain; charset=utf-8", NOTE, "text"),
        (HL7_V2, POTASSIUM, "message"),
        (FHIR_JSON, json.dumps({"resourceType": "Patient", "id": "p1", "birthDate": "1961-06-14"}), "message"),
    ],
)
def test_a_bare_body_is_taken_by_its_content_type(api: ApiProcess, content_type: str, body: str, key: str) -> None:
    answer = api.client.post("/v1/annotate", content=body.encode(), headers={"content-type": content_type})
    assert answer.status_code == 200, answer.text
    holds("/v1/annotate", 200, answer.json())
    assert "Thornquist" not in answer.text
    assert key in answer.json()["deid"]
    assert answer.headers["cache-control"] == "no-store"


def test_an_entity_rests_on_its_own_word(api: ApiProcess) -> None:
    """Asked for by its place in the note as it was sent, although de-identification moved it."""
    answer = api.ask("/v1/explain/entity", text=NOTE, start=NOTE.index("metformin"))
    holds("/v1/explain/entity", 200, answer)
    entity = answer["entity"]
    assert (entity["text"], entity["words"][0]["text"]) == ("metformin", "metformin")
    assert 0 < entity["words"][0]["drop"] <= entity["score"]
    clean = api.ask("/v1/annotate", text=NOTE)["deid"]["text"]
    assert all(clean[word["start"] : word["end"]] == word["text"] for word in entity["words"])


def test_where_no_entity_stands_there_is_none(api: ApiProcess) -> None:
    answer = api.client.post("/v1/explain/entity", json={"text": NOTE, "start": 3})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    holds("/v1/explain/entity", 404, answer.json())


def test_a_text_without_stops_is_explained_by_the_words_around(api: ApiProcess) -> None:
    """A long text of one sentence costs no more than a few lines."""
    text = "with some pain " * 300 + "on metformin daily " + "and rest " * 200
    answer = api.ask("/v1/explain/entity", text=text, start=text.index("metformin"))
    assert 20 < len(answer["entity"]["words"]) < 200


def test_a_flag_is_told_with_its_evidence(api: ApiProcess) -> None:
    """The template's words and each input; on request the checked sentence; and what the other rules came to."""
    plain = api.ask("/v1/explain/flag", format="hl7v2", message=POTASSIUM, flag="labs.critical")
    (flag,) = plain["flags"]
    assert "in_words" not in flag
    assert flag["evidence"] == ["Potassium: 6.8 mmol/L"]
    assert plain["outcomes"]["aki.kdigo"] != "raised"
    worded = api.ask("/v1/explain/flag", format="hl7v2", message=POTASSIUM, flag="labs.critical", in_words=True)
    holds("/v1/explain/flag", 200, worded)
    assert "6.8" in worded["flags"][0]["in_words"]
    assert worded["writer"].startswith("wardstream-explain@")


def test_what_would_clear_a_flag_is_told(api: ApiProcess) -> None:
    """Both creatinines in one message: the later one could have been lower."""
    answer = api.ask("/v1/explain/flag", format="hl7v2", message=CREATININES, flag="aki.kdigo")
    (flag,) = answer["flags"]
    assert flag["clearings"] == ["Would not fire if Creatinine were at most 1.2 mg/dL"]


def test_messages_of_one_patient_do_not_meet(api: ApiProcess) -> None:
    """A rise of creatinine over an earlier message is none here: nothing was kept."""
    for name in ("02-creatinine-baseline.hl7", "03-creatinine-rise.hl7"):
        message = (SAMPLES / name).read_bytes().decode()
        answer = api.ask("/v1/explain/flag", format="hl7v2", message=message, flag="aki.kdigo")
        assert answer["flags"] == []
        assert answer["outcomes"]["aki.kdigo"].startswith("missing:")


@pytest.mark.parametrize("path", [*PATHS, "/", "/v1/nothing", "/docs"])
@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer wrong-token-of-some-length"}, {"authorization": f"Basic {TOKEN}"}]
)
def test_without_the_token_there_is_nothing(api: ApiProcess, path: str, headers: dict[str, str]) -> None:
    answer = httpx.post(f"{api.url}{path}", content=b"{}", headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("content_type", "body", "status", "code"),
    [
        ("application/json", b"Canaryname", 400, "malformed_json"),
        ("application/json", b'{"text": 5}', 422, "schema_mismatch"),
        ("application/json", b'{"text": "a", "message": "b"}', 422, "schema_mismatch"),
        (
            "application/json",
            b'{"format": "fhir", "message": {"a": ' + b"[" * 30_000 + b"]" * 30_000 + b"}}",
            400,
            "malformed_json",
        ),
        ("text/plain", b"Canaryname \xff", 400, "undecodable_charset"),
        ("text/plain; charset=latin-1", b"a", 415, "unsupported_content_type"),
        ("application/xml", b"<Canaryname/>", 415, "unsupported_content_type"),
        (HL7_V2, b"PID|1||Canaryname", 400, "malformed_hl7"),
        (FHIR_JSON, b'{"resourceType": "Canaryname"}', 422, "unsupported_resource"),
        ("text/plain", b"Canaryname " * 6000, 413, "too_large"),
    ],
)
def test_bad_input_gets_a_code(api: ApiProcess, content_type: str, body: bytes, status: int, code: str) -> None:
    """In the form of the contract, and without a word of what was sent."""
    answer = api.client.post("/v1/annotate", content=body, headers={"content-type": content_type})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    holds("/v1/annotate", status, answer.json())
    assert "Canaryname" not in answer.text


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "id", "message", "start"]) | st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
_ITEM = st.fixed_dictionaries(
    {},
    optional={
        "id": _JSON,
        "text": st.text(max_size=60) | _JSON,
        "format": st.sampled_from(["hl7v2", "fhir", "xml"]),
        "message": st.text(max_size=60) | _JSON | st.just(POTASSIUM[:200]),
        "deid": st.booleans() | _JSON,
        "mentions": st.lists(
            st.fixed_dictionaries(
                {"start": st.integers(-2, 70), "end": st.integers(-2, 70), "type": st.sampled_from(["finding", "x"])}
            ),
            max_size=2,
        ),
        "start": st.integers(-1, 2**70),
        "flag": st.text(max_size=9),
        "in_words": st.booleans(),
    },
)
_BODIES = st.binary(max_size=200) | (_ITEM | _JSON).map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))
_TYPES = st.sampled_from(["application/json", "application/json", "application/json", "text/plain", HL7_V2, FHIR_JSON, "a/b", ""])


@given(path=st.sampled_from(PATHS), body=_BODIES, content_type=_TYPES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_breaks_it(api: ApiProcess, path: str, body: bytes, content_type: str) -> None:
    """Whatever comes is answered in the form of the contract; nothing is our own fault."""
    answer = api.client.post(path, content=body, headers={"content-type": content_type})
    assert answer.status_code < 500, answer.text
    holds(path, answer.status_code, answer.json())
    assert answer.status_code == 200 or answer.json()["error"]["code"] in CODES


def test_more_than_it_can_hold_is_told_to_come_back(api: ApiProcess) -> None:
    """One is read, one waits, the others get 429; none is lost in silence, and afterwards there is room again."""
    long = "Denies chest pain on metformin 500 mg daily. " * 1200

    def post(_: int) -> httpx.Response:
        return httpx.post(
            f"{api.url}/v1/annotate",
            json={"text": long},
            headers={"authorization": f"Bearer {TOKEN}"},
            timeout=120,
            trust_env=False,
        )

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(post, range(6)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429}
    assert 1 <= statuses.count(200) <= 3
    assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 429)
    assert api.ask("/v1/annotate", text="Cough.")["mentions"]


def test_metrics_count_by_path_and_code(api: ApiProcess) -> None:
    api.client.post("/v1/annotate", content=b"x", headers={"content-type": "a/b"})
    text = api.client.get("/metrics").text
    assert re.search(r'wardstream_api_requests_total\{outcome="unsupported_content_type",path="/v1/annotate"\} [1-9]', text)
    assert "wardstream_api_in_flight 0.0" in text


def test_the_log_says_nothing_of_the_content(api: ApiProcess) -> None:
    """The log of all the requests of this file holds the line that it listens, and no word of a message."""
    api.ask("/v1/annotate", text="Zyxwvut Qqrstuv has a cough.")
    log = api.log.read_text()
    assert "listening" in log
    assert not re.search("Zyxwvut|Canaryname|Abernathy|Thornquist|metformin|request_failed", log)


@pytest.mark.parametrize(
    "example", re.findall(r"```bash\n(curl .*?)```", (ROOT / "docs" / "reference" / "http-api.md").read_text("utf-8"), re.DOTALL)
)
def test_the_examples_of_the_page_work(api: ApiProcess, example: str) -> None:
    """Each command of docs/reference/http-api.md, against the port of this test."""
    env = {**os.environ, "API": api.url, "TOKEN_FILE": str(api.token_file)}
    done = subprocess.run(["bash", "-c", example], capture_output=True, text=True, cwd=ROOT, env=env, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "error" not in json.loads(done.stdout), done.stdout


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.4", "::", "example.org"])
def test_beyond_loopback_it_wants_token_and_tls(host: str, tmp_path: Path) -> None:
    """Neither is enough alone, and a name is not trusted to be this machine."""
    token, certificate = tmp_path / "token", tmp_path / "certificate"
    token.write_text(TOKEN)
    for files, missing in (
        ({}, "token_file"),
        ({"tls_certificate_file": certificate}, "token_file"),
        ({"token_file": token}, "tls_certificate_file"),
    ):
        with pytest.raises(ConfigurationError) as error:
            tokens_of("api", Api.model_validate({"host": host, **files}))
        assert error.value.path == f"api.{missing}"
    assert tokens_of("api", Api(host=host, token_file=token, tls_certificate_file=certificate)) is not None


def test_a_process_that_may_not_listen_ends_with_the_code_of_a_wrong_configuration() -> None:
    env = {**os.environ, "WARDSTREAM_API__HOST": "0.0.0.0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", "serve"], capture_output=True, text=True, cwd=ROOT, env=env, check=False
    )
    assert done.returncode == 3
    assert "api.token_file" in done.stderr


def test_loopback_is_known_by_its_address() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.3.2.1", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.2", "127.evil.example", "")))
