"""An attacker's client of the service, over HTTP and over gRPC: the same questions, and answers in the same words."""

from __future__ import annotations

import email
import email.policy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import httpx
from google.protobuf.json_format import MessageToDict

from proto.transactions.v2 import identity_pb2
from tests.attacks.health import tells_nothing
from tests.support.service import PASSWORD, ServiceProcess, link_in

TIMEOUT_S = 30
OK = "ok"
STATUSES = {
    "invalid_argument": (400, "INVALID_ARGUMENT"),
    "unauthenticated": (401, "UNAUTHENTICATED"),
    "invalid_token": (401, "UNAUTHENTICATED"),
    "token_expired": (401, "UNAUTHENTICATED"),
    "session_revoked": (401, "UNAUTHENTICATED"),
    "permission_denied": (403, "PERMISSION_DENIED"),
    "not_found": (404, "NOT_FOUND"),
}
"""The contract's table of errors, as far as identity goes."""


@dataclass(frozen=True)
class Login:
    """A session's newest tokens."""

    session: str
    access: str
    refresh: str
    access_ends: datetime
    refresh_ends: datetime


@dataclass(frozen=True)
class Answer:
    """`ok` or the domain's code; the fields have v1's names."""

    error: str
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def login(self) -> Login:
        assert self.error == OK, self
        body = self.body
        ends = (
            datetime.fromisoformat(body[f"{name}_expires_at"]) for name in ("access_token", "refresh_token")
        )
        return Login(body["session_id"], body["access_token"], body["refresh_token"], *ends)


def bearer(token: str) -> list[str]:
    return [f"Bearer {token}"]


class OverHttp:
    """v1."""

    def __init__(self, service: ServiceProcess) -> None:
        self._client = httpx.Client(base_url=service.http, timeout=TIMEOUT_S)

    def close(self) -> None:
        self._client.close()

    def login(self, username: str, password: str = PASSWORD) -> Answer:
        return self._ask("POST", "/v1/users/login", json={"username": username, "password": password})

    def renew(self, refresh_token: str) -> Answer:
        return self._ask("POST", "/v1/tokens/renew_access", json={"refresh_token": refresh_token})

    def sessions(self, authorization: list[str], **elsewhere: str) -> Answer:
        """List one's sessions; whatever is sent `elsewhere` goes into the query, headers and cookies alike."""
        return self._ask(
            "GET",
            "/v1/sessions",
            authorization,
            params=elsewhere,
            more=[*elsewhere.items(), *(("Cookie", f"{name}={value}") for name, value in elsewhere.items())],
        )

    def end(self, token: str, session: str) -> Answer:
        return self._ask("DELETE", f"/v1/sessions/{session}", bearer(token))

    def logout(self, token: str, *, everywhere: bool = False) -> Answer:
        return self._ask("POST", "/v1/users/logout", bearer(token), json={"everywhere": everywhere})

    def change_password(self, token: str, username: str, password: str) -> Answer:
        return self._ask("PATCH", f"/v1/users/{username}", bearer(token), json={"password": password})

    def events(self, token: str, username: str) -> Answer:
        return self._ask("GET", "/v1/security_events", bearer(token), params={"username": username})

    def verify_email(self, email_id: str, secret_code: str) -> Answer:
        params = {"email_id": email_id, "secret_code": secret_code}
        return self._ask("GET", "/v1/verify_email", params=params)

    def reset_password(self, reset_id: str, secret_code: str, password: str) -> Answer:
        body = {"reset_id": reset_id, "secret_code": secret_code, "password": password}
        return self._ask("POST", "/v1/users/password_reset/confirm", json=body)

    def ask_for_reset(self, address: str) -> Answer:
        return self._ask("POST", "/v1/users/password_reset", json={"email": address})

    def _ask(
        self,
        method: str,
        path: str,
        authorization: list[str] | None = None,
        more: list[tuple[str, str]] | None = None,
        **options: Any,
    ) -> Answer:
        headers = [("Authorization", each) for each in authorization or ()]
        response = self._client.request(method, path, headers=[*headers, *(more or ())], **options)
        if response.is_success:
            return Answer(OK, response.json() if response.content else {})
        tells_nothing(response.content)
        assert response.headers["Content-Type"] == "application/problem+json", response.content
        document = response.json()
        allowed = {
            STATUSES[document["code"]][0],
            *([413, 431] if document["code"] == "invalid_argument" else []),
        }
        assert response.status_code == document["status"], document
        assert response.status_code in allowed, document
        assert (response.status_code == 401) is ("WWW-Authenticate" in response.headers)
        return Answer(document["code"], document)


class OverGrpc:
    """v2."""

    def __init__(self, service: ServiceProcess) -> None:
        self._channel = grpc.insecure_channel(service.grpc)

    def close(self) -> None:
        self._channel.close()

    def login(self, username: str, password: str = PASSWORD) -> Answer:
        return self._ask("LoginUser", username=username, password=password)

    def renew(self, refresh_token: str) -> Answer:
        return self._ask("RenewAccess", refresh_token=refresh_token)

    def sessions(self, authorization: list[str], **elsewhere: str) -> Answer:
        """List one's sessions; whatever is sent `elsewhere` goes into the metadata."""
        return self._ask("ListSessions", authorization, more=list(elsewhere.items()))

    def end(self, token: str, session: str) -> Answer:
        return self._ask("RevokeSession", bearer(token), id=session)

    def logout(self, token: str, *, everywhere: bool = False) -> Answer:
        return self._ask("LogoutUser", bearer(token), everywhere=everywhere)

    def change_password(self, token: str, username: str, password: str) -> Answer:
        return self._ask("UpdateUser", bearer(token), username=username, password=password)

    def events(self, token: str, username: str) -> Answer:
        return self._ask("ListSecurityEvents", bearer(token), username=username)

    def verify_email(self, email_id: str, secret_code: str) -> Answer:
        return self._ask("VerifyEmail", email_id=email_id, secret_code=secret_code)

    def grant(self, token: str, username: str, *roles: str) -> Answer:
        return self._ask("GrantRoles", bearer(token), username=username, roles=roles)

    def _ask(
        self,
        method: str,
        authorization: list[str] | None = None,
        more: list[tuple[str, str]] | None = None,
        **fields: Any,
    ) -> Answer:
        request, response = (
            getattr(identity_pb2, f"{method}Request"),
            getattr(identity_pb2, f"{method}Response"),
        )
        stub = self._channel.unary_unary(
            f"/transactions.v2.Identity/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        metadata = [*(("authorization", each) for each in authorization or ()), *(more or ())]
        try:
            answer = stub(request(**fields), metadata=metadata, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            return _refused(error)
        return Answer(OK, MessageToDict(answer, preserving_proto_field_name=True))


def _refused(error: grpc.RpcError) -> Answer:
    tells_nothing(repr((error.details(), error.trailing_metadata())).encode())
    code = dict(error.trailing_metadata() or ()).get("error-code")
    if code is None:
        return Answer(f"status {error.code().name}")
    assert STATUSES[code][1] == error.code().name, error
    return Answer(code, {"detail": error.details()})


Client = OverHttp | OverGrpc


class Clients:
    """Both ways into one service."""

    def __init__(self, service: ServiceProcess) -> None:
        self.service = service
        self.http = OverHttp(service)
        self.grpc = OverGrpc(service)

    def over(self, transport: str) -> Client:
        return self.http if transport == "http" else self.grpc

    def close(self) -> None:
        self.http.close()
        self.grpc.close()


@contextmanager
def serving(var_dir: Path, database_url: str, redis_url: str, **environment: str) -> Iterator[Clients]:
    """A service for the block, with its clients."""
    service = ServiceProcess(var_dir, database_url, redis_url, **environment)
    try:
        clients = Clients(service.start())
        try:
            yield clients
        finally:
            clients.close()
    finally:
        if service.process is not None and service.process.poll() is None:
            assert service.stop() == 0, service.log.read_text()


def mailed(service: ServiceProcess, address: str, name: str, timeout_s: float = 30) -> tuple[str, str]:
    """The id of this name and the secret code of the newest mail to an address that has them in its link."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for path in sorted((service.var_dir / "mail").glob("*.eml"), reverse=True):
            mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            query = parse_qs(urlsplit(link_in(mail)).query) if mail["To"] == address else {}
            if name in query:
                return query[name][0], query["secret_code"][0]
        time.sleep(0.02)
    raise AssertionError(f"no {name} mailed to {address}")
