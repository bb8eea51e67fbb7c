"""What the descriptions of both versions have in common, and are put together from."""

from __future__ import annotations

from typing import Any, NamedTuple

from domain.validation import KEY

Json = dict[str, Any]

KEY_MAX = 255
REPLAYED: Json = {
    "Idempotency-Replayed": {
        "description": "Whether this is the outcome of an earlier request with the same key",
        "schema": {"const": "true"},
    }
}


def idempotency_key(length_max: int = KEY_MAX) -> Json:
    """The header, as a parameter."""
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The first outcome is replayed for 24 hours; the key belongs to the calling user",
        "schema": {"type": "string", "maxLength": length_max, "pattern": KEY},
    }


class Parts(NamedTuple):
    """One version's share of the document."""

    tags: list[Json]
    paths: dict[str, Json]
    schemas: dict[str, Json]
    responses: dict[str, Json]


def schema_ref(name: str) -> Json:
    """A reference to one of the document's schemas."""
    return {"$ref": f"#/components/schemas/{name}"}
