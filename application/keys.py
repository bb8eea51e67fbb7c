"""One secret from the environment, a key of its own for every purpose."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SECRET_BYTES = 32


def derive(secret: bytes, purpose: str) -> bytes:
    """A 32-byte key for `purpose` alone (HKDF-SHA256, RFC 5869): knowing one tells nothing of another."""
    assert len(secret) == SECRET_BYTES
    return HKDF(SHA256(), 32, salt=None, info=f"transactions/{purpose}".encode()).derive(secret)


def digest(secret: str) -> bytes:
    """What is stored of a token, or of a code, that is too long to be guessed."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()
