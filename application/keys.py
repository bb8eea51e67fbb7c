"""One secret from the environment, a key of its own for every purpose."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SECRET_BYTES = 32


def derive(secret: bytes, purpose: str) -> bytes:
    """A 32-byte key for `purpose` alone (HKDF-SHA256, RFC 5869): knowing one tells nothing of another."""
    assert len(secret) == SECRET_BYTES
    return HKDF(SHA256(), 32, salt=None, info=f"transactions/{purpose}".encode()).derive(secret)
