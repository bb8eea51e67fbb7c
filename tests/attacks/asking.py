"""One way to ask the service over both transports, that looks at every answer for what none may carry."""

from __future__ import annotations

import email
import email.policy
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.message import EmailMessage
from itertools import count
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import grpc
import httpx
import psycopg
from google.protobuf.json_format import MessageToDict

from domain.policy import Role
from proto.transactions.v2 import identity_pb2, ledger_pb2
from tests.attacks.health import tells_nothing
from tests.support.service import PASSWORD, ServiceProcess, link_in

TIMEOUT_S = 30
OK = "ok"
OWN_USER_AGENT = "grpc-python/"
"""Stands in sessions and security events, rightly."""
ROUTES = {
    "CreateUser": ("POST", "/v1/users"),
    "GetUser": ("GET", "/v1/users/{username}"),
    "UpdateUser": ("PATCH", "/v1/users/{username}"),
    "LoginUser": ("POST", "/v1/users/login"),
    "RenewAccess": ("POST", "/v1/tokens/renew_access"),
    "LogoutUser": ("POST", "/v1/users/logout"),
    "ListSessions": ("GET", "/v1/sessions"),
    "RevokeSession": ("DELETE", "/v1/sessions/{id}"),
    "VerifyEmail": ("GET", "/v1/verify_email"),
    "ListSecurityEvents": ("GET", "/v1/security_events"),
    "ResendVerification": ("POST", "/v1/users/resend_verification"),
    "RequestPasswordReset": ("POST", "/v1/users/password_reset"),
    "ConfirmPasswordReset": ("POST", "/v1/users/password_reset/confirm"),
    "CreateAccount": ("POST", "/v1/accounts"),
    "GetAccount": ("GET", "/v1/accounts/{id}"),
    "ListAccounts": ("GET", "/v1/accounts"),
    "ListEntries": ("GET", "/v1/accounts/{account_id}/entries"),
    "Deposit": ("POST", "/v1/accounts/{account_id}/deposits"),
    "Withdraw": ("POST", "/v1/accounts/{account_id}/withdrawals"),
    "CreateTransfer": ("POST", "/v1/transfers"),
    "GetTransfer": ("GET", "/v1/transfers/{id}"),
}
SECRET_FIELDS = {"password", "secret_code", "access_token", "refresh_token"}
_numbers = count(1)


class Answer(NamedTuple):
    """What came back; `code` is `ok` or the error's."""

    code: str
    status: Any
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def told(self) -> tuple[Any, ...]:
        """All of it that could tell two answers apart, but for when it was given."""
        return self.code, self.status, {k: v for k, v in self.headers.items() if k != "date"}, self.body


Ask = Callable[..., Answer]


class Asking:
    """Operations by the names of their RPCs. Remembers every secret that it has sent or received."""

    def __init__(self, service: ServiceProcess, channel: grpc.Channel) -> None:
        self.service = service
        self.channel = channel
        self.secrets: set[str] = set()
        self._clients: dict[str | None, httpx.Client] = {}

    def http(
        self,
        name: str,
        token: str | None = None,
        /,
        *,
        headers: Mapping[str, str] | None = None,
        source: str | None = None,
        content: bytes | None = None,
        **fields: Any,
    ) -> Answer:
        """Over v1, from the address `source`; `content` goes in place of the fields that are no part of the path."""
        method, path = ROUTES[name]
        rest = {field: value for field, value in fields.items() if f"{{{field}}}" not in path}
        sent: dict[str, Any] = {"params": rest} if method in ("GET", "DELETE") else {"json": rest}
        if content is not None:
            sent = {"content": content}
        credentials = {"Authorization": f"Bearer {token}"} if token else {}
        response = self.client(source).request(
            method, path.format(**fields), headers={**credentials, **(headers or {})}, **sent
        )
        return self.heard(fields, response)

    def heard(self, fields: Mapping[str, Any], response: httpx.Response) -> Answer:
        tells_nothing(response.content.replace(OWN_USER_AGENT.encode(), b""))
        body = response.json() if response.content else {}
        self._remember(fields, body)
        return Answer(OK if response.is_success else body["code"], response.status_code, response.headers, body)

    def grpc(
        self, name: str, token: str | None = None, /, *, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> Answer:
        """Over v2."""
        return self.grpc_bytes(name, request_type(name)(**fields).SerializeToString(), token, headers, fields)

    def grpc_bytes(
        self,
        name: str,
        raw: bytes,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, Any] = MappingProxyType({}),
    ) -> Answer:
        """Over v2, a message that somebody else has encoded."""
        module = module_of(name)
        service = module.DESCRIPTOR.name.split("/")[-1].removesuffix(".proto").title()
        call = self.channel.unary_unary(
            f"/transactions.v2.{service}/{name}",
            request_serializer=lambda message: message,
            response_deserializer=getattr(module, f"{name}Response").FromString,
        )
        metadata = [(key.lower(), value) for key, value in (headers or {}).items()]
        if token:
            metadata.append(("authorization", f"Bearer {token}"))
        try:
            response, done = call.with_call(raw, metadata=metadata, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            trailers = dict(error.trailing_metadata())
            tells_nothing(repr((error.details(), trailers)).encode())
            self._remember(fields, {})
            return Answer(trailers.get("error-code", ""), error.code(), trailers, {"detail": error.details()})
        body = MessageToDict(
            response, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        tells_nothing(repr(body).replace(OWN_USER_AGENT, "").encode())
        self._remember(fields, body)
        return Answer(OK, grpc.StatusCode.OK, dict(done.trailing_metadata()), body)

    def client(self, source: str | None = None) -> httpx.Client:
        """The one connection from this address of ours."""
        if source not in self._clients:
            transport = httpx.HTTPTransport(local_address=source)
            self._clients[source] = httpx.Client(
                base_url=self.service.http,
                transport=transport,
                timeout=TIMEOUT_S,
                headers={"User-Agent": "attacker"},
            )
        return self._clients[source]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def _remember(self, sent: Mapping[str, Any], received: Mapping[str, Any]) -> None:
        for fields in (sent, received):
            self.secrets |= {str(value) for name, value in fields.items() if name in SECRET_FIELDS}

    # Who asks

    def user(self, **settings: Any) -> str:
        """A new user."""
        return self.service.register(f"asker{next(_numbers)}_{time.monotonic_ns() % 10**9}", **settings)

    def token(self, username: str, password: str = PASSWORD) -> str:
        """The access token of a new session."""
        answer = self.http("LoginUser", username=username, password=password)
        assert answer.code == OK, answer
        return answer.body["access_token"]

    def staff(self, role: str) -> str:
        """A token of somebody new with this role only."""
        name = f"{role}{next(_numbers)}_{time.monotonic_ns() % 10**9}"
        done = self.service.run("user", "create", name, role, stdin=f"{PASSWORD}\n")
        assert done.returncode == 0, done.stderr
        return self.token(name)

    def everything(self) -> str:
        """A token of somebody new who holds every role."""
        name = self.user()
        for role in set(Role) - {Role.DEPOSITOR}:
            done = self.service.run("user", "grant", name, role)
            assert done.returncode == 0, done.stderr
        return self.token(name)

    # Mail

    def mails(
        self, address: str, subject: str, *, number: int = 1, timeout_s: float = 20
    ) -> list[EmailMessage]:
        """The mails to an address with this in their subject, oldest first, when there are so many."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = [mail for mail in self._all_mails() if mail["To"] == address and subject in mail["Subject"]]
            if len(found) >= number:
                return found
            assert time.monotonic() < deadline, f"{len(found)} mails to {address} about {subject}"
            time.sleep(0.02)

    def _all_mails(self) -> Iterator[EmailMessage]:
        for path in sorted((self.service.var_dir / "mail").glob("*.eml")):
            yield email.message_from_bytes(path.read_bytes(), policy=email.policy.default)

    def secret(self, address: str, subject: str, *, number: int = 1) -> dict[str, str]:
        """What the link in the newest of so many mails carries."""
        query = parse_qs(urlsplit(link_in(self.mails(address, subject, number=number)[-1])).query)
        carried = {name: values[0] for name, values in query.items()}
        self._remember(carried, {})
        return carried


VERIFY, RESET, CHANGED = "verify your email", "Choose a new password", "Your email address was changed"


@contextmanager
def asking(service: ServiceProcess) -> Iterator[Asking]:
    """At the end neither the log nor the security events have any secret that went to and fro meanwhile."""
    with grpc.insecure_channel(service.grpc) as channel:
        asking = Asking(service, channel)
        yield asking
        asking.close()
    secrets_stayed_secret(asking)


def secrets_stayed_secret(asking: Asking) -> None:
    """Neither in the log nor among the security events; what is shorter than a password may be is no secret."""
    service = asking.service
    with psycopg.connect(service.database_url) as connection:
        events = connection.execute(
            "select coalesce(string_agg(e::text, ' '), '') from security_events e"
        ).fetchone()
    assert events is not None
    for kept in (events[0], service.log.read_text()):
        assert not [secret for secret in asking.secrets if len(secret) >= 8 and secret in kept]


def module_of(name: str) -> Any:
    return identity_pb2 if hasattr(identity_pb2, f"{name}Request") else ledger_pb2


def request_type(name: str) -> Any:
    return getattr(module_of(name), f"{name}Request")
