"""Every keeper of the key-encryption key behaves alike, through its vendor's own client library."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from schemas.errors import ConfigurationError, StoreUnavailable
from streams.embedded import free_port
from streams.key_encryption import EXTRAS, KeyEncryption, open_key_encryption
from streams.key_encryption.aws_kms import AwsKms
from streams.key_encryption.azure_keyvault import AzureKeyVault
from streams.key_encryption.file import MasterKeyFile, master_key
from streams.key_encryption.gcp_kms import GcpKms
from streams.key_encryption.vault_transit import VaultTransit
from streams.settings import KeyEncryption as Chosen
from streams.settings import Secrets, Settings
from tests.support import key_services

NAME = "wardstream"
GCP_KEY = f"projects/p/locations/global/keyRings/r/cryptoKeys/{NAME}"
KEY, BOUND = bytes(range(32)), b"wardstream/keyring/t1/1"
TIMEOUT_S = 1.0


@dataclass
class Keeper:
    """``kept`` works; ``denied`` may not; ``away`` has nobody at its address (a file has no address)."""

    kept: KeyEncryption
    denied: Callable[[], KeyEncryption]
    away: Callable[[], KeyEncryption] | None


def _file(directory: Path) -> Iterator[Keeper]:
    path = directory / "master.key"
    path.write_text(master_key())
    yield Keeper(MasterKeyFile(path), lambda: MasterKeyFile(directory / "none"), None)


def _vault(directory: Path) -> Iterator[Keeper]:
    good, bad = directory / "token", directory / "bad"
    good.write_text(key_services.TOKEN + "\n")
    bad.write_text("another")
    with key_services.vault_transit(NAME) as address:
        chosen = Chosen(provider="vault-transit", key=NAME, endpoint=address, token_file=good, timeout_s=TIMEOUT_S)
        yield Keeper(
            VaultTransit(chosen),
            lambda: VaultTransit(chosen.model_copy(update={"token_file": bad})),
            lambda: VaultTransit(chosen.model_copy(update={"endpoint": f"http://127.0.0.1:{free_port()}"})),
        )


def _aws(directory: Path) -> Iterator[Keeper]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port())
        kms = boto3.client("kms", endpoint_url=address, region_name="eu-central-1")
        arn = kms.create_key()["KeyMetadata"]["Arn"]
        alias = f"alias/{NAME}-{arn[-12:]}"  # the server's keys outlive it
        kms.create_alias(AliasName=alias, TargetKeyId=arn)
        chosen = Chosen(provider="aws-kms", key=arn, endpoint=address, timeout_s=TIMEOUT_S)
        yield Keeper(
            AwsKms(chosen.model_copy(update={"key": alias})),
            lambda: AwsKms(chosen.model_copy(update={"key": arn[:-4] + "0000"})),
            lambda: AwsKms(chosen.model_copy(update={"endpoint": f"http://127.0.0.1:{free_port()}"})),
        )
    finally:
        server.stop()


def _gcp(directory: Path) -> Iterator[Keeper]:
    with key_services.gcp_kms(GCP_KEY) as client:
        chosen = Chosen(provider="gcp-kms", key=GCP_KEY, timeout_s=TIMEOUT_S)
        yield Keeper(
            GcpKms(chosen, client),
            lambda: GcpKms(chosen.model_copy(update={"key": GCP_KEY + "x"}), client),
            lambda: GcpKms(chosen, key_services.gcp_client(f"127.0.0.1:{free_port()}")),
        )


def _azure(directory: Path) -> Iterator[Keeper]:
    with key_services.azure_keyvault(NAME, directory) as (key, authority):
        chosen = Chosen(provider="azure-keyvault", key=key, ca_file=authority, timeout_s=TIMEOUT_S)

        def opened(token: str = key_services.TOKEN, **changes: object) -> AzureKeyVault:
            credential = key_services.AzureCredential(token)
            return AzureKeyVault(chosen.model_copy(update=changes), credential, verify_challenge_resource=False)

        yield Keeper(opened(), lambda: opened("another"), lambda: opened(key=f"https://127.0.0.1:{free_port()}/keys/{NAME}"))


@pytest.fixture(params=[_file, _vault, _aws, _gcp, _azure], ids=["file", "vault", "aws", "gcp", "azure"])
def keeper(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    yield from request.param(tmp_path)


def test_what_was_wrapped_comes_back(keeper: Keeper) -> None:
    """The key is not in the wrapped form, and wrapping twice differs."""
    one, two = keeper.kept.wrap(KEY, BOUND), keeper.kept.wrap(KEY, BOUND)
    assert one != two
    assert KEY not in one
    assert [keeper.kept.unwrap(each, BOUND) for each in (one, two)] == [KEY, KEY]


def test_it_is_bound(keeper: Keeper) -> None:
    """The secret of one tenant or generation does not open as another's."""
    wrapped = keeper.kept.wrap(KEY, BOUND)
    for other in (b"wardstream/keyring/t1/2", b"wardstream/keyring/t2/1", b""):
        with pytest.raises(ConfigurationError):
            keeper.kept.unwrap(wrapped, other)


@pytest.mark.parametrize("where", [0, 5, 40, -1])
def test_damage_is_noticed(keeper: Keeper, where: int) -> None:
    """Any changed byte, and what is no wrapped key at all."""
    wrapped = bytearray(keeper.kept.wrap(KEY, BOUND))
    wrapped[where] ^= 1
    for bad in (bytes(wrapped), b"", b"x" * 60):
        with pytest.raises(ConfigurationError):
            keeper.kept.unwrap(bad, BOUND)


def test_old_versions_still_open_after_a_rotation(keeper: Keeper) -> None:
    """Twice rotated, what the first version wrapped opens, and so does what the newest does."""
    first = keeper.kept.wrap(KEY, BOUND)
    keeper.kept.rotate()
    keeper.kept.rotate()
    third = keeper.kept.wrap(KEY[::-1], BOUND)
    assert keeper.kept.unwrap(first, BOUND) == KEY
    assert keeper.kept.unwrap(third, BOUND) == KEY[::-1]


def test_who_may_not_is_told_so_and_nothing_else(keeper: Keeper, caplog: pytest.LogCaptureFixture) -> None:
    """A configuration error without the vendor's text; no secret in texts or logs, on any level."""
    with caplog.at_level(logging.DEBUG):
        wrapped = keeper.kept.wrap(KEY, BOUND)
        for call in (lambda k: k.wrap(KEY, BOUND), lambda k: k.unwrap(wrapped, BOUND), lambda k: k.rotate()):
            with pytest.raises(ConfigurationError) as refused:
                call(keeper.denied())
            assert refused.value.path is not None
            assert refused.value.path.startswith(("key_encryption", "secrets.master_key_file"))
            assert refused.value.__cause__ is None
    said = caplog.text + repr(keeper.kept) + str(refused.value)
    for secret in (KEY.hex(), repr(KEY)[2:-1], __import__("base64").b64encode(KEY).decode(), key_services.TOKEN):
        assert secret not in said


def test_who_does_not_answer_is_waited_for(keeper: Keeper) -> None:
    """Retryable, within a few times the time-out."""
    if keeper.away is None:
        return
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable):
        keeper.away().wrap(KEY, BOUND)
    assert time.monotonic() - begun < 6 * TIMEOUT_S


@pytest.mark.parametrize("provider", sorted(EXTRAS))
def test_a_missing_library_names_its_extra(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a key that nobody named is a configuration error as well."""
    module = f"streams.key_encryption.{provider.replace('-', '_')}"
    monkeypatch.setitem(sys.modules, module, None)
    settings = Settings.model_validate({"key_encryption": {"provider": provider, "key": "k"}})
    with pytest.raises(ConfigurationError, match=EXTRAS[provider]):
        open_key_encryption(settings)
    monkeypatch.undo()
    with pytest.raises(ConfigurationError):
        open_key_encryption(Settings.model_validate({"key_encryption": {"provider": provider}}))


def test_the_file_is_the_default(tmp_path: Path) -> None:
    """And needs a path."""
    with pytest.raises(ConfigurationError):
        open_key_encryption(Settings())
    path = tmp_path / "key"
    path.write_text(master_key())
    keeper = open_key_encryption(Settings(secrets=Secrets(master_key_file=path)))
    keeper.rotate()
    assert (len(path.read_text().split()), path.stat().st_mode & 0o077) == (2, 0)
