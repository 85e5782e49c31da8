"""Who made a bundle: a detached Ed25519 signature (RFC 8032) over its manifest, by a key that the site trusts."""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key

from schemas.errors import ConfigurationError

#: Public keys of those who release what ships; a site adds its own folder by ``models.trusted_keys``.
KEYS: Final = Path(__file__).parent / "keys"
SIGNATURE: Final = "manifest.sig"
PUBLIC: Final = ".pub"
_ID_DIGITS: Final = 16


def key_id(public: Ed25519PublicKey) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the raw public key."""
    return hashlib.sha256(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:_ID_DIGITS]


def new_key_pair() -> tuple[bytes, str]:
    """A private key (PEM, not encrypted: its file must be) and the line that goes into a ``.pub`` file."""
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return pem, base64.b64encode(public).decode() + "\n"


def sign(content: bytes, private_key: Path) -> str:
    """The line for ``manifest.sig``: key id and signature.

    Raises:
        ConfigurationError: the file holds no Ed25519 private key.
    """
    try:
        key = load_pem_private_key(private_key.read_bytes(), password=None)
    except (ValueError, TypeError, OSError) as error:
        raise ConfigurationError(path=str(private_key), detail="no readable private key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(path=str(private_key), detail="not an Ed25519 key")
    return f"{key_id(key.public_key())} {base64.b64encode(key.sign(content)).decode()}\n"


def verify(content: bytes, signature: Path, trusted_keys: Path) -> None:
    """Check the signature file over ``content``.

    Raises:
        ConfigurationError: malformed, by a key that is not among ``trusted_keys/*.pub``, or wrong.
    """
    key, _, encoded = signature.read_text(encoding="ascii", errors="replace").strip().partition(" ")
    public = _trusted(trusted_keys).get(key)
    if public is None:
        raise ConfigurationError(path=str(signature), detail="signed by no trusted key")
    try:
        public.verify(base64.b64decode(encoded, validate=True), content)
    except (InvalidSignature, binascii.Error) as error:
        raise ConfigurationError(path=str(signature), detail="the signature does not fit the manifest") from error


def _trusted(folder: Path) -> dict[str, Ed25519PublicKey]:
    found: dict[str, Ed25519PublicKey] = {}
    for path in sorted({*KEYS.glob(f"*{PUBLIC}"), *folder.glob(f"*{PUBLIC}")}):
        try:
            key = Ed25519PublicKey.from_public_bytes(base64.b64decode(path.read_text(encoding="ascii").strip(), validate=True))
        except (ValueError, binascii.Error) as error:
            raise ConfigurationError(path=str(path), detail="no Ed25519 public key") from error
        found[key_id(key)] = key
    return found
