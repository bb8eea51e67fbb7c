"""Calls through the gateway: a message becomes the request that the annotation of its RPC asks for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
from google.api import annotations_pb2
from google.protobuf.json_format import MessageToDict

from proto.transactions.v2 import identity_pb2, ledger_pb2

METHODS = {
    method.name: method
    for module in (identity_pb2, ledger_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


class Asked(NamedTuple):
    """What goes over the wire."""

    method: str
    path: str
    params: dict[str, Any]
    body: bytes | None


def asked(message: Any) -> Asked:
    """How the gateway is asked for what a message asks for."""
    method = METHODS[type(message).__name__.removesuffix("Request")]
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    path, fields = getattr(rule, verb), MessageToDict(message, preserving_proto_field_name=True)
    for name in [each for each in fields if f"{{{each}}}" in path]:
        path = path.replace(f"{{{name}}}", quote(str(fields.pop(name)), safe=""))
    if rule.body:
        return Asked(verb.upper(), path, {}, json.dumps(fields).encode())
    return Asked(verb.upper(), path, fields, None)


class GatewayCalls:
    """One caller's."""

    def __init__(self, client: httpx.Client, token: str | None = None) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def call(self, message: Any, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """The whole answer."""
        request = asked(message)
        return self._client.request(
            request.method,
            request.path,
            params=request.params,
            content=request.body,
            headers={**self._headers, **(headers or {})},
        )

    @contextmanager
    def lines(self, message: Any) -> Iterator[tuple[httpx.Response, Iterator[dict[str, Any]]]]:
        """An answer, and its lines as they come; the client leaves at the end of the block."""
        request = asked(message)
        with self._client.stream(
            request.method,
            request.path,
            params=request.params,
            content=request.body,
            headers=self._headers,
        ) as response:
            yield response, map(json.loads, response.iter_lines())
