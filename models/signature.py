"""Who made a bundle: a detached Ed25519 signature (RFC 8032) over its manifest, by a key that the site trusts."""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
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
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), _line(private.public_key())


def public_line(private_key: Path) -> str:
    """The line of the ``.pub`` file that belongs to a private key. Raises ConfigurationError as ``sign`` does."""
    return _line(_private(private_key).public_key())


def sign(content: bytes, private_key: Path) -> str:
    """The line for ``manifest.sig``: key id and signature.

    Raises:
        ConfigurationError: the file holds no Ed25519 private key.
    """
    key = _private(private_key)
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


def _line(public: Ed25519PublicKey) -> str:
    return base64.b64encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode() + "\n"


def _private(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, OSError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(path=str(path), detail="no readable private key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(path=str(path), detail="not an Ed25519 key")
    return key


def _trusted(folder: Path) -> dict[str, Ed25519PublicKey]:
    found: dict[str, Ed25519PublicKey] = {}
    for path in sorted({*KEYS.glob(f"*{PUBLIC}"), *folder.glob(f"*{PUBLIC}")}):
        try:
            key = Ed25519PublicKey.from_public_bytes(base64.b64decode(path.read_text(encoding="ascii").strip(), validate=True))
        except (ValueError, binascii.Error) as error:
            raise ConfigurationError(path=str(path), detail="no Ed25519 public key") from error
        found[key_id(key)] = key
    return found
