"""What a gRPC server needs to be asked over TLS."""

from __future__ import annotations

import ssl


def tls_context(certificate: str, key: str) -> ssl.SSLContext:
    """For a server with this certificate chain and key, both PEM files. Raises OSError, of which SSLError is one.

    TLS 1.2 at least, and HTTP/2 by ALPN, as RFC 9113 9.2 asks.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(certificate, key, password="")  # an encrypted key is an error, and not a question
    return context
