"""TLS of both listeners: 1.2 or newer, client certificates demanded where a client CA is configured (IHE ATNA ITI-19)."""

from __future__ import annotations

import ssl
from pathlib import Path

from schemas.errors import ConfigurationError


def server_context(setting: str, certificate: Path | None, key: Path | None, client_ca: Path | None) -> ssl.SSLContext | None:
    """``None`` when no certificate is configured.

    Args:
        setting: prefix of the settings' names (``gateway.mllp_tls``), for errors.

    Raises:
        ConfigurationError: a file cannot be loaded, or a key or client CA stands without a certificate.
    """
    if certificate is None:
        if key is not None or client_ca is not None:
            raise ConfigurationError(path=f"{setting}_certificate_file", detail="is missing")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError):
        raise ConfigurationError(path=setting, detail="certificate files cannot be loaded") from None
    return context
