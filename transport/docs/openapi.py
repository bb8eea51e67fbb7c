"""The API's description (OpenAPI 3.1): one document for both versions."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from transport.docs.parts import Json
from transport.gateway import openapi as v2
from transport.http import openapi as v1
from transport.http.endpoint import Endpoint

INFO: Json = {
    "title": "Transactions API",
    "version": "2.0",
    "description": """\
Users, accounts and transfers. Amounts and balances are integer minor units (cents) of the named currency, and times
are RFC 3339 UTC.

v2 is gRPC, and this is what it is over HTTP, in protobuf's JSON: 64-bit integers are strings in answers, and strings or
numbers in requests; names may be sent as shown or with underscores. v1 is older and smaller.

Log in, press *Authorize* and paste the access token. A request with an `Idempotency-Key` can be sent again: its first
outcome, success or refusal, is replayed for 24 hours, with `Idempotency-Replayed: true`.

Errors have a stable code: v1 answers `application/problem+json` with `code`, v2 a `google.rpc.Status`, with the code in
the header `Error-Code`.""",
}


def description(endpoints: Iterable[Endpoint], currencies: Collection[str]) -> bytes:
    """The document as JSON, for a service with these routes of v1 and these currencies."""
    parts = [v2.describe(currencies), v1.describe(endpoints, currencies)]
    document = {
        "openapi": "3.1.0",
        "info": INFO,
        "tags": [tag for part in parts for tag in part.tags],
        "paths": {path: item for part in parts for path, item in part.paths.items()},
        "components": {
            "schemas": {name: schema for part in parts for name, schema in part.schemas.items()},
            "responses": {name: response for part in parts for name, response in part.responses.items()},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}],
    }
    return msgspec.json.encode(document)
