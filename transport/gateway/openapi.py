"""The description of v2 over HTTP (OpenAPI 3.1), made from what the gateway's own routes are made from."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from application.transfers import BATCH_KEY_MAX
from domain.policy import PUBLIC, Operation
from transport.docs.examples import EXAMPLES
from transport.docs.parts import KEY_MAX, REPLAYED, Json, Parts, idempotency_key, schema_ref
from transport.docs.statuses import TAKES_KEY, refusals
from transport.gateway.bindings import WHOLE, Binding, bindings_of
from transport.gateway.comments import first_sentence, read_comments
from transport.gateway.failures import STATUS, STATUS_SCHEMA, failure_ref, failures
from transport.gateway.messages import document_of
from transport.gateway.schemas import Schemas, is_required
from transport.grpc.methods import operation_of

from proto.transactions.v2 import identity_pb2, ledger_pb2  # isort: skip

JSON, LINES = "application/json", "application/x-ndjson"


def describe(currencies: Collection[str]) -> Parts:
    """What the gateway serves, for a service with these currencies."""
    comments = read_comments()
    schemas = Schemas(comments, currencies)
    parts = Parts([], {}, schemas.components, {})
    refused: set[int] = set()
    for service in _services():
        parts.tags.append({"name": f"v2 {service.name}", "description": comments[service.full_name]})
        for method in service.methods:
            for binding in bindings_of(method, GetMessageClass(method.input_type)):
                described = _Described(method, binding, schemas, comments[method.full_name])
                path = parts.paths.setdefault(described.path, {})
                path[binding.http_method.lower()] = described.operation()
                refused |= described.refusals
    parts.responses.update(failures(refused))
    schemas.components[STATUS] = STATUS_SCHEMA
    return parts


def _services() -> Iterator[ServiceDescriptor]:
    for file in (identity_pb2, ledger_pb2):
        yield from file.DESCRIPTOR.services_by_name.values()


class _Described:
    """One way to call a method: its `path`, and `refusals`, the statuses of what goes wrong."""

    def __init__(self, method: MethodDescriptor, binding: Binding, schemas: Schemas, comment: str) -> None:
        self._method = method
        self._binding = binding
        self._schemas = schemas
        self._comment = comment
        self._kind = operation_of(method.name)
        self._example = EXAMPLES[self._kind]
        assert binding.body in ("", WHOLE), "no request of ours has a part of itself as its body"
        assert binding.response_body == WHOLE, "no answer of ours is a part of itself"
        self._in_path = {fields[-1].name: fields[-1] for _, fields in binding.paths}
        self.path = _path(binding)
        self.refusals = self._refusals()

    def operation(self) -> Json:
        """As the document has it."""
        service = self._method.containing_service.name
        described: Json = {
            "operationId": f"{service}_{self._method.name}",
            "tags": [f"v2 {service}"],
            "summary": first_sentence(self._comment),
            "parameters": self._parameters(),
            "responses": {"200": self._success()},
        }
        if self._comment != f"{described['summary']}.":
            described["description"] = self._comment
        for status in sorted(self.refusals):
            described["responses"][str(status)] = failure_ref(status)
        if self._binding.body:
            described["requestBody"] = self._body()
        if self._kind in PUBLIC:
            described["security"] = []
        return described

    def _refusals(self) -> set[int]:
        has_body = bool(self._binding.body)
        statuses = refusals(self._kind, has_body=has_body, names_something=bool(self._in_path))
        return statuses | {400} | ({415} if has_body else set())  # a path or a query may always be malformed

    def _parameters(self) -> list[Json]:
        in_path = [self._parameter(field, "path") for field in self._in_path.values()]
        if self._kind in TAKES_KEY:
            longest = BATCH_KEY_MAX if self._kind is Operation.BATCH_TRANSFERS else KEY_MAX
            return [*in_path, idempotency_key(longest)]
        if self._binding.body == WHOLE:
            return in_path
        named = [field for field in self._method.input_type.fields if field.name not in self._in_path]
        return in_path + [self._parameter(field, "query") for field in named]

    def _parameter(self, field: FieldDescriptor, place: str) -> Json:
        described = {"name": field.json_name, "in": place, **self._schemas.parameter(field)}
        if place == "path" and described["schema"]["type"] == "string":
            described["schema"]["minLength"] = 1
        if field.name in self._example.request:
            described["example"] = self._example.request[field.name]
        return {**described, "required": is_required(field)}

    def _body(self) -> Json:
        kind = self._method.input_type
        fields = [field for field in kind.fields if field.name not in self._in_path]
        asked = self._example.request
        example = self._binding.request_type(
            **{name: asked[name] for name in asked.keys() - self._in_path.keys()}
        )
        content = {
            "schema": self._schemas.body(kind, self._in_path),
            "example": json_format.MessageToDict(example),
        }
        if self._method.client_streaming:
            return {"description": "A line for each message", "required": False, "content": {LINES: content}}
        return {"required": any(map(is_required, fields)), "content": {JSON: content}}

    def _success(self) -> Json:
        schema, example = self._schemas.answer(self._method.output_type), document_of(self._example.v2)
        described: Json = {"description": "Done", "content": {JSON: {"schema": schema, "example": example}}}
        if self._method.server_streaming:
            line = {"type": "object", "properties": {"result": schema, "error": schema_ref(STATUS)}}
            described["description"] = "A line for each message; where it fails, the last line says why"
            described["content"] = {LINES: {"schema": line, "example": {"result": example}}}
        return {**described, "headers": REPLAYED} if self._kind in TAKES_KEY else described


def _path(binding: Binding) -> str:
    template = binding.template
    parts = [str(segment) for segment in template.segments]
    for variable, fields in binding.paths:
        parts[variable.start : variable.end] = [f"{{{fields[-1].json_name}}}"]
    return "/" + "/".join(parts) + (f":{template.verb}" if template.verb else "")
