"""Key management services on loopback that speak the documented APIs, with real cryptography and real versions, for the vendors' own clients.

They refuse what the services refuse: an unknown key, a wrong token, other associated data, a version that was destroyed. AWS is moto's server.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import google_crc32c
import grpc
from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID
from google.cloud import kms_v1

TOKEN = "token-of-the-test"


@dataclass
class Versions:
    """AES-256-GCM keys, the newest last."""

    keys: list[bytes] = field(default_factory=lambda: [AESGCM.generate_key(256)])

    def rotate(self) -> int:
        self.keys.append(AESGCM.generate_key(256))
        return len(self.keys)

    def seal(self, plain: bytes, bound: bytes) -> tuple[int, bytes]:
        nonce = os.urandom(12)
        return len(self.keys), nonce + AESGCM(self.keys[-1]).encrypt(nonce, plain, bound)

    def open(self, version: int, sealed: bytes, bound: bytes) -> bytes:
        """Raises InvalidTag, IndexError."""
        if version < 1:
            raise IndexError
        return AESGCM(self.keys[version - 1]).decrypt(sealed[:12], sealed[12:], bound)


Answer = tuple[int, dict[str, str], Any]


@contextmanager
def http(answer: Callable[[str, str, dict[str, str], Any], Answer], context: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server whose ``answer(method, path, headers, json)`` is status, headers, json; its address without scheme."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, content = answer(self.command, self.path.partition("?")[0], headers, json.loads(raw) if raw else None)
            body = json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"content-type": "application/json", "content-length": str(len(body)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = _serve

        def log_message(self, *args: object) -> None:
            """Nothing: the console is the test's."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def vault_transit(name: str) -> Iterator[str]:
    """Transit engine of HashiCorp Vault at ``transit/``, type aes256-gcm96."""
    versions = Versions()

    def answer(method: str, path: str, headers: dict[str, str], content: Any) -> Answer:
        if headers.get("x-vault-token") != TOKEN:
            return 403, {}, {"errors": ["permission denied"]}
        if path == f"/v1/transit/keys/{name}/rotate":
            return 200, {}, {"data": {"latest_version": versions.rotate()}}
        bound = base64.b64decode((content or {}).get("associated_data") or "")
        if path == f"/v1/transit/encrypt/{name}":
            version, sealed = versions.seal(base64.b64decode(content["plaintext"]), bound)
            return 200, {}, {"data": {"ciphertext": f"vault:v{version}:{base64.b64encode(sealed).decode()}"}}
        if path == f"/v1/transit/decrypt/{name}":
            try:
                mark, version_text, text = content["ciphertext"].split(":")
                if mark != "vault":
                    raise ValueError
                plain = versions.open(int(version_text[1:]), base64.b64decode(text), bound)
            except (InvalidTag, ValueError, IndexError):
                return 400, {}, {"errors": ["cipher: message authentication failed"]}
            return 200, {}, {"data": {"plaintext": base64.b64encode(plain).decode()}}
        return 400, {}, {"errors": ["encryption key not found"]}

    with http(answer) as address:
        yield f"http://{address}"


@contextmanager
def gcp_kms(key: str) -> Iterator[kms_v1.KeyManagementServiceClient]:
    """Google Cloud KMS over gRPC; a new version is enabled only when it is looked at again."""
    versions, primary, pending = Versions(), [1], set[int]()
    types = kms_v1.types
    state = types.CryptoKeyVersion.CryptoKeyVersionState

    def own(context: grpc.ServicerContext, name: str) -> None:
        if name != key:
            context.abort(grpc.StatusCode.NOT_FOUND, "CryptoKey not found")

    def encrypt(request: Any, context: grpc.ServicerContext) -> Any:
        own(context, request.name)
        nonce, bound = os.urandom(12), request.additional_authenticated_data
        sealed = bytes([primary[0]]) + nonce + AESGCM(versions.keys[primary[0] - 1]).encrypt(nonce, request.plaintext, bound)
        return types.EncryptResponse(
            ciphertext=sealed,
            ciphertext_crc32c=google_crc32c.value(sealed),
            verified_plaintext_crc32c=request.plaintext_crc32c == google_crc32c.value(request.plaintext),
            verified_additional_authenticated_data_crc32c=request.additional_authenticated_data_crc32c
            == google_crc32c.value(bound),
        )

    def decrypt(request: Any, context: grpc.ServicerContext) -> Any:
        own(context, request.name)
        try:
            plain = versions.open(request.ciphertext[0], request.ciphertext[1:], request.additional_authenticated_data)
        except (InvalidTag, IndexError):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Decryption failed")
        return types.DecryptResponse(plaintext=plain, plaintext_crc32c=google_crc32c.value(plain))

    def create(request: Any, context: grpc.ServicerContext) -> Any:
        own(context, request.parent)
        pending.add(number := versions.rotate())
        return types.CryptoKeyVersion(name=f"{key}/cryptoKeyVersions/{number}", state=state.PENDING_GENERATION)

    def get(request: Any, context: grpc.ServicerContext) -> Any:
        pending.discard(int(request.name.rpartition("/")[2]))
        return types.CryptoKeyVersion(name=request.name, state=state.ENABLED)

    def update(request: Any, context: grpc.ServicerContext) -> Any:
        number = int(request.crypto_key_version_id)
        if number in pending:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not enabled")
        primary[0] = number
        return types.CryptoKey(name=key)

    calls = {
        "Encrypt": (encrypt, types.EncryptRequest, types.EncryptResponse),
        "Decrypt": (decrypt, types.DecryptRequest, types.DecryptResponse),
        "CreateCryptoKeyVersion": (create, types.CreateCryptoKeyVersionRequest, types.CryptoKeyVersion),
        "GetCryptoKeyVersion": (get, types.GetCryptoKeyVersionRequest, types.CryptoKeyVersion),
        "UpdateCryptoKeyPrimaryVersion": (update, types.UpdateCryptoKeyPrimaryVersionRequest, types.CryptoKey),
    }
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            call, request_deserializer=asked.deserialize, response_serializer=answered.serialize
        )
        for name, (call, asked, answered) in calls.items()
    }
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("google.cloud.kms.v1.KeyManagementService", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield gcp_client(f"127.0.0.1:{port}")
    finally:
        server.stop(None)


def gcp_client(address: str) -> kms_v1.KeyManagementServiceClient:
    transport = kms_v1.KeyManagementServiceClient.get_transport_class("grpc")
    return kms_v1.KeyManagementServiceClient(transport=transport(channel=grpc.insecure_channel(address)))


@dataclass
class AzureCredential:
    """What ``azure.identity`` gives, without asking anybody."""

    token: str = TOKEN

    def get_token(self, *scopes: str, **options: Any) -> Any:
        from azure.core.credentials import AccessToken

        return AccessToken(self.token, int(datetime.now(UTC).timestamp()) + 3600)


@contextmanager
def azure_keyvault(name: str, directory: Path) -> Iterator[tuple[str, Path]]:
    """Azure Key Vault over TLS, with the challenge that its client expects; address of the key and the CA file."""
    versions: dict[str, rsa.RSAPrivateKey] = {}

    def rotate() -> None:
        versions[uuid.uuid4().hex] = rsa.generate_private_key(65537, 2048)

    rotate()

    def described(base: str, version: str) -> dict[str, Any]:
        numbers = versions[version].public_key().public_numbers()
        return {
            "key": {
                "kid": f"{base}/keys/{name}/{version}",
                "kty": "RSA",
                "key_ops": ["wrapKey", "unwrapKey"],
                "n": _b64(numbers.n.to_bytes(256)),
                "e": _b64(numbers.e.to_bytes(3)),
            },
            "attributes": {"enabled": True},
        }

    def answer(method: str, path: str, headers: dict[str, str], content: Any) -> Answer:
        base = f"https://{headers['host']}"
        if headers.get("authorization") != f"Bearer {TOKEN}":
            challenge = f'Bearer authorization="{base}/tenant", resource="https://vault.azure.net"'
            status = 401 if "authorization" not in headers else 403
            return status, {"www-authenticate": challenge}, {"error": {"code": "Unauthorized", "message": "no"}}
        parts = path.strip("/").split("/")
        if parts[:2] != ["keys", name]:
            return 404, {}, {"error": {"code": "KeyNotFound", "message": "no such key"}}
        rest = parts[2:]
        if rest == ["rotate"]:
            rotate()
            return 200, {}, described(base, list(versions)[-1])
        version = rest[0] if rest else list(versions)[-1]
        if version not in versions:
            return 404, {}, {"error": {"code": "KeyNotFound", "message": "no such version"}}
        if rest[1:] == ["unwrapkey"]:
            try:
                plain = versions[version].decrypt(_unb64(content["value"]), _OAEP)
            except ValueError:
                return 400, {}, {"error": {"code": "BadParameter", "message": "decryption failed"}}
            return 200, {}, {"kid": f"{base}/keys/{name}/{version}", "value": _b64(plain)}
        if rest[1:] == ["wrapkey"]:
            sealed = versions[version].public_key().encrypt(_unb64(content["value"]), _OAEP)
            return 200, {}, {"kid": f"{base}/keys/{name}/{version}", "value": _b64(sealed)}
        return 200, {}, described(base, version)

    context, authority = _tls(directory)
    with http(answer, context) as address:
        yield f"https://{address}/keys/{name}", authority


_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _tls(directory: Path) -> tuple[ssl.SSLContext, Path]:
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    authority, secret = directory / "azure.pem", directory / "azure.key"
    authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, secret)
    return context, authority
