"""Every setting of the system in one place: environment (``WARDSTREAM_KAFKA__BOOTSTRAP``), then a TOML file named by
``WARDSTREAM_CONFIG``, then the defaults below. Secrets are read from files only; nothing here prints one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from schemas.errors import ConfigurationError

CONFIG_FILE = "WARDSTREAM_CONFIG"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Kafka(_Section):
    """``topic_prefix`` puts a whole installation beside another on one cluster (tests, shadow replays)."""

    bootstrap: str = "127.0.0.1:9092"
    topic_prefix: str = ""
    group_prefix: str = "wardstream-"
    replication_factor: int = Field(1, ge=1)
    min_insync_replicas: int = Field(1, ge=1)
    partitions: int = Field(8, ge=1)
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_SSL"] = "PLAINTEXT"
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password_file: Path | None = None
    session_timeout_s: float = Field(7, ge=6)
    heartbeat_interval_s: float = Field(1, gt=0)
    commit_interval_s: float = Field(0.3, gt=0)
    delivery_timeout_s: float = Field(30, gt=0)
    max_record_bytes: int = Field(20_971_520, ge=1_048_576)


class Redis(_Section):
    url: str = "redis://127.0.0.1:6379/0"
    password_file: Path | None = None
    timeout_s: float = Field(2.0, gt=0)


class Secrets(_Section):
    """``master_key_file``: the key-encryption key where ``key_encryption.provider`` is ``file``; 32 random bytes, base64, one key a line.
    ``seal_payloads``: the doors seal raw messages under a key per patient before they enter Kafka, so that an erasure reaches them."""

    master_key_file: Path | None = None
    seal_payloads: bool = True


class KeyEncryption(_Section):
    """What keeps the key-encryption key that wraps the keyring (``streams.key_encryption``): ``file`` is ``secrets.master_key_file``.

    ``key``: its name there (transit key, ARN or alias, resource name, key identifier); ``endpoint``: address of the service, where it is not the
    client library's default; ``token_file`` and ``namespace``: of HashiCorp Vault; ``ca_file``: who signed the service's certificate, where the
    system does not know it. The clouds' client libraries find their own credentials."""

    provider: Literal["file", "vault-transit", "aws-kms", "gcp-kms", "azure-keyvault"] = "file"
    key: str = ""
    endpoint: str | None = None
    token_file: Path | None = None
    namespace: str | None = None
    ca_file: Path | None = None
    timeout_s: float = Field(5.0, gt=0)


class Operators(_Section):
    """Accounts of the operating system that may tell who a token is, decrypt values, erase, put dead letters back or aside (``redrive``), see
    what stands in them (``read_letters``), say which model serves (``release``), or take samples out for another annotation tool and bring
    its labels in (``review``); an empty list is nobody."""

    reidentify: frozenset[str] = frozenset()
    decrypt: frozenset[str] = frozenset()
    erase: frozenset[str] = frozenset()
    redrive: frozenset[str] = frozenset()
    read_letters: frozenset[str] = frozenset()
    release: frozenset[str] = frozenset()
    review: frozenset[str] = frozenset()


class Gateway(_Section):
    mllp_host: str = "127.0.0.1"
    mllp_port: int = Field(2575, ge=0, le=65535)
    mllp_tls_certificate_file: Path | None = None
    mllp_tls_key_file: Path | None = None
    mllp_tls_client_ca_file: Path | None = None
    mllp_max_frame_bytes: int = Field(4_194_304, ge=1024)
    mllp_frame_deadline_s: float = Field(30, gt=0)
    mllp_idle_timeout_s: float = Field(600, gt=0)
    mllp_max_connections: int = Field(1024, ge=1)
    charset_fallback: str = "cp1252"
    http_host: str = "127.0.0.1"
    http_port: int = Field(8080, ge=0, le=65535)
    http_tls_certificate_file: Path | None = None
    http_tls_key_file: Path | None = None
    http_tls_client_ca_file: Path | None = None
    http_token_file: Path | None = None
    http_max_body_bytes: int = Field(16_777_216, ge=1024)
    http_max_depth: int = Field(64, ge=8)
    max_in_flight: int = Field(2000, ge=1)
    max_in_flight_per_sender: int = Field(500, ge=1)
    dedupe_ttl_s: int = Field(86_400 * 7, ge=1)


class Deid(_Section):
    """``use_model`` False is only for structured feeds and benchmarks: free text then has two layers instead of three.

    ``rules_file``: the site's own rules, in place of the shipped file of ``profile``, which they must say they are.

    ``authorities``: names of one assigning authority (namespace, OID, URI) -> the one that stands for all of them, so that a number
    in HL7 v2 and in FHIR is the same patient; ``default_authority`` is meant where a message names none.

    ``scans``: pictures of pages (scanned PDF, TIFF, PNG, JPEG) are withheld, come back as clean text (``text``), or as clean text and
    beside it the pages with nothing on them but words that stay (``picture``). A page takes about a second.
    """

    profile: Literal["safe_harbor", "expert", "limited", "internal"] = "safe_harbor"
    rules_file: Path | None = None
    use_model: bool = True
    tenant: str = "default"
    authorities: dict[str, str] = {}
    default_authority: str = ""
    scans: Literal["withhold", "text", "picture"] = "withhold"


class Models(_Section):
    """``execution``: ``auto`` takes CUDA when it is there, ``gpu`` refuses to start without it. ``trusted_keys``: folder of
    public keys (``*.pub``) whose bundles are accepted beside those that ship. ``messages``: a bundle that reads patients' messages
    beside the triage table (recipe ``messages``); none ships. ``flags`` and ``vitals``: classifiers beside the rules (recipes of these names); none ships. ``explanations``: the bundle that ``wardstream explain --in-words`` writes with. ``store``: fsspec address of the bundles that are released while the stream runs (a
    folder, ``s3://bucket/prefix``); ``cache``: local folder, of this account, for what was
    fetched from there (default: one under the system's folder for temporary files)."""

    execution: Literal["auto", "cpu", "gpu"] = "auto"
    threads: int = Field(2, ge=1)
    entities: str = "wardstream-entities"
    phi: str = "wardstream-phi"
    messages: str | None = None
    flags: str | None = None
    vitals: str | None = None
    explanations: str = "wardstream-explain"
    store: str = ""
    cache: Path | None = None
    shelf: Path = Path(__file__).resolve().parent.parent / "models" / "shelf"
    trusted_keys: Path = Path(__file__).resolve().parent.parent / "models" / "keys"


class Vocabularies(_Section):
    """``index``: a file of ``wardstream vocab build``, or ``shipped`` for the one of free vocabularies that ships, by which mentions get codes;
    without it they get none. ``encoder``: folder of the bundle whose vectors the index holds, for names that no vocabulary spells so.
    ``threshold``: a link whose score is below it is not made."""

    index: Path | None = None
    encoder: Path | None = None
    threshold: float = Field(0.6, ge=0, le=1)


class Decide(_Section):
    """``rules_folder``: rule files of the site, which replace shipped rules of the same id and add others; ``site_table``: YAML of critical limits that overrides the shipped adult defaults; ``triage_table``: YAML in place of the shipped words
    of urgency in patients' messages; ``baseline``: where a rule compares with a baseline (AKI), ``recent``, ``lowest`` or ``estimated``, in place of the rule's own."""

    rules_folder: Path | None = None
    site_table: Path | None = None
    triage_table: Path | None = None
    baseline: Literal["recent", "lowest", "estimated"] | None = None
    context_ttl_days: int = Field(400, ge=1)


class Publish(_Section):
    reidentify: bool = True
    oru: bool = True
    application: str = "WARDSTREAM"
    facility: str = "NLP"
    receiver: str | None = None
    receiver_timeout_s: float = Field(10, gt=0)


class FhirServer(_Section):
    """The FHIR server that ``deliver_fhir`` writes results to; https, but for this machine itself.

    ``ca_file``: who signed its certificate, where the system does not know it; ``certificate_file`` and ``key_file``: ours, where it asks.
    ``token_url``, ``client_id``, ``client_key_file`` (PEM, RSA or P-384), ``client_key_id``: SMART Backend Services."""

    base_url: str | None = None
    timeout_s: float = Field(10, gt=0)
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    token_url: str | None = None
    client_id: str | None = None
    client_key_file: Path | None = None
    client_key_id: str | None = None
    scope: str = "system/*.cus"


class CdsIssuer(_Section):
    """An EHR that may call the CDS Hooks door: its public keys (JWKS file), and the ``jku`` that its tokens may name."""

    jwks_file: Path
    jku: str | None = None


class Cds(_Section):
    """CDS Hooks. ``enabled``: the stages ``cards`` and ``merge_cards`` run by default. ``base_url``: as EHRs call it, for the audience of their tokens; ``issuers`` by ``iss``.

    ``authority``: to whom the EHR's patient ids belong, where they are the patient's numbers; without it the prefetched Patient must carry an identifier.
    ``origins``: web pages that may call (CORS). ``development``: every caller is believed; for a sandbox, never for patients. ``days``: how long a card is shown.
    ``fhir_servers``: base addresses of EHRs' FHIR servers that may be read, with a call's own token, for what its prefetch lacks; ``fhir_timeout_s`` for all of it.
    Metrics are on ``worker.metrics_port``."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = Field(8090, ge=0, le=65535)
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    base_url: str = "http://127.0.0.1:8090"
    issuers: dict[str, CdsIssuer] = {}
    authority: str | None = None
    origins: tuple[str, ...] = ()
    development: bool = False
    days: int = Field(14, ge=1, le=400)
    fhir_servers: tuple[str, ...] = ()
    fhir_timeout_s: float = Field(0.3, gt=0, le=10)


class Api(_Section):
    """``wardstream serve``. Beyond loopback it needs ``token_file`` (tokens of 16 characters or more, one a line) and TLS.

    ``concurrency``: requests read at a time, ``waiting``: further ones that may wait for their turn; beyond both the answer is 429."""

    host: str = "127.0.0.1"
    port: int = Field(8091, ge=0, le=65535)
    token_file: Path | None = None
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    max_body_bytes: int = Field(1_048_576, ge=1024)
    concurrency: int = Field(2, ge=1, le=64)
    waiting: int = Field(16, ge=0)


class Subscriptions(_Section):
    """Who is told of new results, for ``notify`` and ``notify_results``.

    ``file``: YAML, see "Subscriptions" in Consume results. ``ca_file``: who signed the subscribers' certificates, where the system does not
    know it. ``kept``: notifications that wait for one subscriber; beyond that the oldest are given up, and the event numbers show the gap."""

    file: Path | None = None
    ca_file: Path | None = None
    timeout_s: float = Field(10, gt=0)
    kept: int = Field(10_000, ge=1)


class Feedback(_Section):
    """``policy_file``: which notes are proposed for review and how many, in place of the shipped ``agents/feedback/policy.toml``."""

    policy_file: Path | None = None


class Labels(_Section):
    """``store``: fsspec address of the store of samples and reviewed labels (a folder, ``s3://bucket/prefix``); needs the extra ``store``. Endpoint and
    keys of an S3-compatible store come from the environment (``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``, ...)."""

    store: str = ""


class Watch(_Section):
    """Drift per sender and department. ``learn``: messages of a group that make its baseline, where ``baseline`` (a file of ``wardstream drift
    baseline``) has none; ``forget_days``: a group without messages is forgotten; ``groups``: at most so many; ``mark_hours``: how long after the last
    comparison that saw drift the feedback stage picks samples of the sender."""

    baseline: Path | None = None
    learn: int = Field(1000, ge=200)
    groups: int = Field(2000, ge=1)
    forget_days: int = Field(30, ge=1)
    mark_hours: int = Field(24, ge=1)


class Review(_Section):
    """The annotation page, ``wardstream review serve``. ``base_url``: as browsers call it, https but for this machine itself (default: its own
    loopback address). ``reviewers_file``: who may review, ``key_file``: secret behind the pseudonyms in labels (both by ``wardstream review add``).

    ``guideline``: text file whose digest, with the version in its first line, stands in every label; without it the one that ships. ``double_share`` of samples goes
    to two reviewers, ``random_share`` of what one gets is drawn by chance, ``lease_s`` is how long a sample is kept for who opened it.

    Against poisoning: ``cap_per_day`` labels a reviewer; ``gold`` questions (reviewed labels, JSON Lines) make ``gold_share`` of what one gets; a
    reviewer is put aside whose F1 on ``gold_fewest`` or more of them is below ``gold_f1``, or whose rate of deleted or added spans over ``outlier_fewest`` or
    more labels lies ``outlier_z`` robust standard deviations from the others'."""

    host: str = "127.0.0.1"
    port: int = Field(8095, ge=0, le=65535)
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    base_url: str | None = None
    reviewers_file: Path | None = None
    key_file: Path | None = None
    session_hours: float = Field(10, gt=0, le=24)
    guideline: Path | None = None
    double_share: float = Field(0.1, ge=0, le=1)
    random_share: float = Field(0.2, ge=0, le=1)
    lease_s: float = Field(1800, gt=0)
    cap_per_day: int = Field(200, ge=1)
    gold: Path | None = None
    gold_share: float = Field(0.05, ge=0, le=0.5)
    gold_f1: float = Field(0.6, ge=0, le=1)
    gold_fewest: int = Field(5, ge=1)
    outlier_fewest: int = Field(20, ge=1)
    outlier_z: float = Field(3.5, gt=0)


class Retrain(_Section):
    """``wardstream retrain``. A run begins with ``labels`` new reviewed labels (0: their number starts none), where ``drift`` was seen, or after
    ``days`` (0: never). ``recipe``: what the model is made by; ``checkpoint``: of the champion that ships with no run of ours, to go on from, for
    ``epochs``. ``held``: share of the patients whose labels are kept for the gate. ``key`` signs the challenger. ``python``: of the training
    environment (default: this one); ``processes`` train together through accelerate. ``folder``: one folder a run; ``tracking``: address of an
    MLflow server, or empty for files under ``folder``."""

    model: str = "wardstream-entities"
    recipe: Path | None = None
    checkpoint: Path | None = None
    epochs: float = Field(2.0, gt=0)
    labels: int = Field(200, ge=0)
    days: float = Field(30, ge=0)
    drift: bool = True
    held: float = Field(0.25, gt=0, lt=1)
    key: Path | None = None
    python: Path | None = None
    processes: int = Field(1, ge=1)
    folder: Path = Path("out/retrain")
    tracking: str = ""


class Worker(_Section):
    batch_size: int = Field(64, ge=1)
    batch_wait_s: float = Field(0.01, ge=0)
    batch_busy_wait_s: float = Field(0.06, ge=0)
    batches_in_flight: int = Field(2, ge=1)
    retry_patience_s: float = Field(60, gt=0)
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(0, ge=0, le=65535)
    stuck_after_s: float = Field(120, gt=0)
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="WARDSTREAM_", env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    kafka: Kafka = Kafka()
    redis: Redis = Redis()
    secrets: Secrets = Secrets()
    key_encryption: KeyEncryption = KeyEncryption()
    operators: Operators = Operators()
    gateway: Gateway = Gateway()
    deid: Deid = Deid()
    models: Models = Models()
    vocabularies: Vocabularies = Vocabularies()
    decide: Decide = Decide()
    publish: Publish = Publish()
    fhir_server: FhirServer = FhirServer()
    cds: Cds = Cds()
    api: Api = Api()
    subscriptions: Subscriptions = Subscriptions()
    feedback: Feedback = Feedback()
    labels: Labels = Labels()
    watch: Watch = Watch()
    review: Review = Review()
    worker: Worker = Worker()
    retrain: Retrain = Retrain()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        path = os.environ.get(CONFIG_FILE)
        if path is None:
            return init_settings, env_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path(path))


def load() -> Settings:
    """Raises ConfigurationError naming the setting, never its value."""
    path = os.environ.get(CONFIG_FILE)
    if path is not None and not Path(path).is_file():
        raise ConfigurationError(path=CONFIG_FILE, detail="the file does not exist")
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(path=where, detail=first["type"]) from None
