"""MLLP and HTTP over TLS: who gets in, and that the listener outlives everybody who does not."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.duplicates import MemoryLedger
from gateway.metrics import GatewayMetrics
from gateway.server import Gateway, Ports
from gateway.tls import server_context
from schemas.errors import ConfigurationError
from streams.settings import Gateway as GatewaySettings
from streams.settings import Settings
from tests.support.gateway import ROUTING, Client, MemoryLog, code, hl7


class Authority:
    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.path = directory / f"{name}.pem"
        self._certificate = self._sign(self._key, self._name, 1, ca=True)
        self.path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *, days: int = 1) -> tuple[Path, Path]:
        """Certificate and key files; negative ``days`` is expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(key, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), days)
        files = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return files

    def _sign(self, key: ec.EllipticCurvePrivateKey, subject: x509.Name, days: int, *, ca: bool = False) -> x509.Certificate:
        end = datetime.now(UTC) + timedelta(days=days)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - timedelta(days=3))
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        )
        return builder.sign(self._key, hashes.SHA256())


class Secured:
    def __init__(self, directory: Path) -> None:
        self.hospital = Authority(directory, "hospital")
        self.stranger = Authority(directory, "stranger")
        certificate, key = self.hospital.issue("gateway")
        self.settings = Settings(
            gateway=GatewaySettings(
                mllp_port=0,
                http_port=0,
                mllp_tls_certificate_file=certificate,
                mllp_tls_key_file=key,
                mllp_tls_client_ca_file=self.hospital.path,
                http_tls_certificate_file=certificate,
                http_tls_key_file=key,
                http_tls_client_ca_file=self.hospital.path,
            ),
        )
        self.log = MemoryLog()
        self.ports = Ports(0, 0)

    def client(self, files: tuple[Path, Path] | None = None, *, highest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.hospital.path))
        if highest is not None:
            context.minimum_version, context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, highest
        if files is not None:
            context.load_cert_chain(*files)
        return context


@pytest_asyncio.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    site = Secured(tmp_path)
    ready = {"broker": True}
    gateway = Gateway(site.settings, site.log, MemoryLedger(), lambda: ready, GatewayMetrics(), ROUTING)
    site.ports = await gateway.start()
    yield site
    await gateway.stop()


async def test_a_known_client_is_served(secured: Secured) -> None:
    """With a certificate of the hospital's CA: MLLP is acknowledged, HTTP answered."""
    context = secured.client(secured.hospital.issue("engine"))
    client = await Client.connect(secured.ports.mllp, context)
    assert code(await client.post(hl7())) == "AA"
    await client.close()
    async with httpx.AsyncClient(verify=context, trust_env=False) as http:
        url = f"https://localhost:{secured.ports.http}/fhir/Patient"
        answer = await http.post(url, content=b'{"resourceType":"Patient"}', headers={"content-type": "application/json"})
    assert answer.status_code == 202
    assert len(secured.log.stored) == 2


async def _answer(port: int, context: ssl.SSLContext) -> bytes | None:
    try:
        client = await Client.connect(port, context)
        return await client.post(hl7())
    except (ssl.SSLError, ConnectionError):
        return None


@pytest.mark.parametrize("who", ["nobody", "stranger", "expired", "old TLS"])
async def test_others_are_not(secured: Secured, who: str) -> None:
    """No certificate, another CA's, an expired one, TLS 1.1: no answer on either door, and the next good client is served."""
    files = {
        "nobody": None,
        "stranger": secured.stranger.issue("intruder"),
        "expired": secured.hospital.issue("expired", days=-1),
        "old TLS": secured.hospital.issue("engine"),
    }[who]
    context = secured.client(files, highest=ssl.TLSVersion.TLSv1_1 if who == "old TLS" else None)
    assert await _answer(secured.ports.mllp, context) is None
    with pytest.raises(httpx.TransportError):
        async with httpx.AsyncClient(verify=context, trust_env=False) as http:
            await http.get(f"https://localhost:{secured.ports.http}/livez")
    assert secured.log.stored == []
    good = await Client.connect(secured.ports.mllp, secured.client(secured.hospital.issue("engine2")))
    assert code(await good.post(hl7())) == "AA"
    await good.close()


async def test_plaintext_to_the_tls_port(secured: Secured) -> None:
    """It is closed without an answer, the listener goes on."""
    client = await Client.connect(secured.ports.mllp)
    await client.raw(b"\x0b" + hl7() + b"\x1c\r")
    with contextlib.suppress(ConnectionError):
        assert b"MSA" not in await asyncio.wait_for(client.reader.read(100), 5)
    assert secured.log.stored == []
    good = await Client.connect(secured.ports.mllp, secured.client(secured.hospital.issue("engine")))
    assert code(await good.post(hl7())) == "AA"


async def test_half_finished_tls_sender(secured: Secured) -> None:
    """A TLS peer that leaves inside a frame publishes nothing."""
    context = secured.client(secured.hospital.issue("engine"))
    client = await Client.connect(secured.ports.mllp, context)
    await client.raw(b"\x0b" + hl7()[:50])
    await client.close()
    await asyncio.sleep(0.1)
    assert secured.log.stored == []


def test_unusable_tls_files(tmp_path: Path) -> None:
    """A missing file, a key without a certificate: refused at start, the setting named."""
    with pytest.raises(ConfigurationError, match=r"gateway\.mllp_tls"):
        server_context("gateway.mllp_tls", tmp_path / "none.crt", tmp_path / "none.key", None)
    with pytest.raises(ConfigurationError, match=r"gateway\.mllp_tls_certificate_file"):
        server_context("gateway.mllp_tls", None, None, tmp_path / "ca.pem")
