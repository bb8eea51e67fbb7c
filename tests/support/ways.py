"""The three ways into the service, asked the same question, answering in the same words.

What may differ between them is taken away here, and is all that may: how amounts are spelt (a string in protobuf's
JSON), how nothing is (null or an empty string), and that v2 wraps a lone user, account or transfer in an answer of
its own. Everything that is different in every run (ids, times, tokens, names) becomes a placeholder, numbered in
order of appearance, so that two answers about the same thing still show that they are.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import quote

import grpc
import httpx
import psycopg
from argon2 import PasswordHasher
from google.api import annotations_pb2
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2, status_pb2

from proto.transactions.v2 import identity_pb2, ledger_pb2
from tests.attacks.asking import ROUTES
from tests.support.service import PASSWORD, ServiceProcess, open_accounts

OK = "ok"
V1, GATEWAY, GRPC = "v1", "gateway", "grpc"

CODES = {
    "ok": (None, None, grpc.StatusCode.OK),
    "invalid_argument": (400, 400, grpc.StatusCode.INVALID_ARGUMENT),
    "unauthenticated": (401, 401, grpc.StatusCode.UNAUTHENTICATED),
    "invalid_token": (401, 401, grpc.StatusCode.UNAUTHENTICATED),
    "token_expired": (401, 401, grpc.StatusCode.UNAUTHENTICATED),
    "session_revoked": (401, 401, grpc.StatusCode.UNAUTHENTICATED),
    "permission_denied": (403, 403, grpc.StatusCode.PERMISSION_DENIED),
    "email_not_verified": (403, 403, grpc.StatusCode.PERMISSION_DENIED),
    "not_found": (404, 404, grpc.StatusCode.NOT_FOUND),
    "already_exists": (409, 409, grpc.StatusCode.ALREADY_EXISTS),
    "insufficient_funds": (422, 400, grpc.StatusCode.FAILED_PRECONDITION),
    "currency_mismatch": (422, 400, grpc.StatusCode.FAILED_PRECONDITION),
    "same_account": (422, 400, grpc.StatusCode.FAILED_PRECONDITION),
    "account_closed": (422, 400, grpc.StatusCode.FAILED_PRECONDITION),
    "account_frozen": (422, 400, grpc.StatusCode.FAILED_PRECONDITION),
    "idempotency_key_reused": (422, 400, grpc.StatusCode.FAILED_PRECONDITION),
    "unavailable": (503, 503, grpc.StatusCode.UNAVAILABLE),
    "deadline_exceeded": (504, 504, grpc.StatusCode.DEADLINE_EXCEEDED),
}
"""The contract's table: status over v1, over the gateway (as grpc-gateway maps gRPC's), over gRPC."""
CREATED = {"CreateUser", "CreateAccount", "Deposit", "Withdraw", "CreateTransfer"}
ACCEPTED = {"ResendVerification", "RequestPasswordReset"}
NO_CONTENT = {"LogoutUser", "RevokeSession"}
WORDLESS = ACCEPTED | NO_CONTENT | {"ConfirmPasswordReset"}
"""v1 answers these with a word or with nothing, v2 with an empty message."""
WRAPPED = {"user", "account", "transfer"}
NUMBERS = {"id", "account_id", "seq", "transfer_id", "from_account_id", "to_account_id", "amount"} | {
    "balance",
    "available_balance",
    "balance_after",
}
IDS = {"id", "account_id", "transfer_id", "from_account_id", "to_account_id", "session_id"}
DIFFERENT = {"access_token", "refresh_token", "next_cursor", "user_agent", "client_address"}
PASSWORD_HASH = PasswordHasher().hash(PASSWORD)
_numbers = count(1)


class Told(NamedTuple):
    """An answer, without what may differ."""

    code: str
    replayed: bool
    fields: tuple[str, ...]
    body: Any


class Way:
    """One way in, for one run of a scenario. What is asked is named as its RPC; `raw` is what came back."""

    def __init__(self, kind: str, service: ServiceProcess, channel: grpc.Channel, http: httpx.Client) -> None:
        self.service = service
        self.told: list[Told] = []
        self._ask: Callable[..., tuple[str, bool, list[str], Any]] = {
            V1: self._over_v1,
            GATEWAY: self._over_gateway,
            GRPC: self._over_grpc,
        }[kind]
        self._channel = channel
        self._http = http
        self._names: dict[str, str] = {}
        self._seen: dict[Any, str] = {}

    def ask(
        self, name: str, token: str | None = None, /, *, key: str | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Ask, note what was told, and return the body as it came, in v1's shape."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        if key is not None:
            headers["idempotency-key"] = key
        code, replayed, places, body = self._ask(name, headers, fields)
        if code == "invalid_argument" or (code == OK and name in WORDLESS):
            body = {}  # which fields are bad is told apart from the words
        body = _snaked(_unwrapped(body))
        self.told.append(Told(code, replayed, tuple(sorted(places)), self._placeheld(body)))
        return body

    # The people and accounts of a scenario, made behind the scenes

    def name(self, of: str) -> str:
        """The name of somebody in this run."""
        if of not in self._names:
            self._names[of] = f"{of}_{next(_numbers)}_{time.monotonic_ns() % 10**9}"
        return self._names[of]

    def user(self, of: str = "alice", *, verified: bool = True, role: str = "depositor") -> str:
        """Made without a mail, and logged in; returns the token."""
        name = self.name(of)
        with psycopg.connect(self.service.database_url) as connection:
            connection.execute(
                "insert into users (username, full_name, email, password_hash, is_email_verified, roles)"
                " values (%s, 'Some One', %s, %s, %s, %s)",
                [name, f"{name}@example.com", PASSWORD_HASH, verified, [role]],
            )
        return self.service.login(name)

    def staff(self, role: str) -> str:
        """Somebody with this role only; returns the token."""
        return self.user(role, role=role)

    def account(self, of: str = "alice", *, funds: int = 0, currency: str = "USD") -> int:
        """An account of somebody's; `funds` as an overdraft, which needs no deposit."""
        return open_accounts(self.service.database_url, self.name(of), 1, currency=currency, overdraft=funds)[0]

    # One for each way

    def _over_v1(self, name: str, headers: dict[str, str], fields: dict[str, Any]):
        method, path = ROUTES[name]
        return self._over_http(0, name, headers, method, path, fields)

    def _over_gateway(self, name: str, headers: dict[str, str], fields: dict[str, Any]):
        rule = _method(name).GetOptions().Extensions[annotations_pb2.http]
        verb = rule.WhichOneof("pattern")
        return self._over_http(1, name, headers, verb.upper(), getattr(rule, verb), fields)

    def _over_http(
        self, column: int, name: str, headers: dict[str, str], method: str, path: str, fields: dict[str, Any]
    ):
        in_path = {field: value for field, value in fields.items() if f"{{{field}}}" in path}
        rest = {field: value for field, value in fields.items() if field not in in_path}
        sent = {"params": rest} if method in ("GET", "DELETE") else {"json": rest}
        url = path.format(**{field: quote(str(value), safe="") for field, value in in_path.items()})
        response = self._http.request(method, url, headers=headers, **sent)
        body = response.json() if response.content else {}
        if response.is_success:
            code, places = OK, []
            assert response.status_code == _success(column, name), response
        else:
            code = body["code"] if column == 0 else response.headers["error-code"]
            assert response.status_code == CODES[code][column], body
            places = [each["field"] for each in _problems(body, column)]
            body = {"detail": body["detail"] if column == 0 else body["message"]}
        return code, response.headers.get("idempotency-replayed") == "true", places, body

    def _over_grpc(self, name: str, headers: dict[str, str], fields: dict[str, Any]):
        method = _method(name)
        module = _module(name)
        call = self._channel.unary_unary(
            f"/{method.containing_service.full_name}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=getattr(module, method.output_type.name).FromString,
        )
        request = getattr(module, method.input_type.name)(**fields)
        try:
            answer, done = call.with_call(request, metadata=list(headers.items()), timeout=30)
        except grpc.RpcError as error:
            trailers = dict(error.trailing_metadata())
            code = trailers["error-code"]
            assert error.code() is CODES[code][2], error  # noqa: PT017 - whatever was asked may be refused
            return code, "idempotency-replayed" in trailers, _places(trailers), {"detail": error.details()}
        body = MessageToDict(
            answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        return OK, dict(done.trailing_metadata()).get("idempotency-replayed") == "true", [], body

    # What is different in every run

    def _placeheld(self, value: Any, field: str = "") -> Any:
        if isinstance(value, Mapping):
            return {name: self._placeheld(each, name) for name, each in sorted(value.items())}
        if isinstance(value, list):
            return [self._placeheld(each, field) for each in value]
        if value in (None, ""):
            return None
        if field in NUMBERS and isinstance(value, str) and re.fullmatch(r"-?\d+", value):
            value = int(value)
        if field in IDS:
            return self._seen.setdefault((field, value), f"{field} {len(self._seen) + 1}")
        if field in DIFFERENT or field.endswith("_at"):
            return f"<{field}>"
        if isinstance(value, str):
            for of, name in self._names.items():
                value = value.replace(name, of)
        return value


def _success(column: int, name: str) -> int:
    if column == 1:
        return 200
    return 201 if name in CREATED else 202 if name in ACCEPTED else 204 if name in NO_CONTENT else 200


def _problems(body: Mapping[str, Any], column: int) -> Iterable[Mapping[str, Any]]:
    if column == 0:
        return body.get("errors", ())
    return [each for detail in body.get("details", ()) for each in detail.get("fieldViolations", ())]


def _places(trailers: Mapping[str, Any]) -> list[str]:
    details = trailers.get("grpc-status-details-bin")
    if details is None:
        return []
    places = []
    for each in status_pb2.Status.FromString(details).details:
        bad = error_details_pb2.BadRequest()
        if each.Unpack(bad):
            places += [violation.field for violation in bad.field_violations]
    return places


def _unwrapped(body: dict[str, Any]) -> dict[str, Any]:
    return next(iter(body.values())) if len(body) == 1 and body.keys() <= WRAPPED else body


def _snaked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_snake(name): _snaked(each) for name, each in value.items()}
    return [_snaked(each) for each in value] if isinstance(value, list) else value


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _module(name: str) -> Any:
    return identity_pb2 if hasattr(identity_pb2, f"{name}Request") else ledger_pb2


def _method(name: str) -> Any:
    (service,) = _module(name).DESCRIPTOR.services_by_name.values()
    return service.methods_by_name[name]
