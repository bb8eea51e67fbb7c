"""The whole of the policy, role by role, over every way in: what the table says is what the service does."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import grpc
import httpx
import psycopg
import pytest

from application.tokens import ACCESS, Tokens
from cli.settings import SECRET_FILE
from domain.policy import PUBLIC, RULES, Operation, Role, Scope, scopes
from proto.transactions.v2 import identity_pb2, ledger_pb2
from tests.support.gateway import GatewayCalls
from tests.support.service import PASSWORD, ServiceProcess, open_accounts
from transport.grpc.methods import methods_of
from transport.http.routes import endpoints
from transport.http.server import create_app

from purerpc import Cardinality, RPCSignature  # isort: skip
from purerpc.server import Service  # isort: skip

NOBODY, ROLELESS = "anonymous", "without a role"
CALLERS = [NOBODY, ROLELESS, *(role.value for role in Role), "depositor+banker"]
V2_ONLY = {
    Operation.GRANT_ROLES,
    Operation.BATCH_TRANSFERS,
    Operation.STREAM_TRANSFERS,
    Operation.WATCH_ACCOUNT,
}
PAGES = {"healthz", "readyz", "show_metrics", "ask_for_password", "take_password", "openapi"}
PAGES |= {"docs.swagger", "docs.schema", "docs.asset", "docs.favicon"}
NOT_ABOUT_ANYTHING_OF_ANYBODY = {
    Operation.CREATE_ACCOUNT,
    Operation.LIST_SESSIONS,
    Operation.LOGOUT_USER,
    Operation.LIST_SECURITY_EVENTS,
}


@dataclass
class Person:
    """Somebody with an account, a transfer and a session."""

    name: str
    account: int
    transfer: int
    session: str
    token: str | None


@dataclass
class Request:
    """The same operation over v1 and, as a message, over v2."""

    http: tuple[str, str, dict[str, Any] | None]
    grpc: Any = None


def requests(of: Person, target: int) -> dict[Operation, Request]:
    """How each operation that has a rule is asked for, about what belongs to a person."""
    money = {"from_account_id": of.account, "to_account_id": target, "amount": 1, "currency": "USD"}
    order = ledger_pb2.TransferOrder(**money)
    return {
        Operation.GET_USER: Request(
            ("GET", f"/v1/users/{of.name}", None), identity_pb2.GetUserRequest(username=of.name)
        ),
        Operation.UPDATE_USER: Request(
            ("PATCH", f"/v1/users/{of.name}", {"full_name": "X"}),
            identity_pb2.UpdateUserRequest(username=of.name, full_name="X"),
        ),
        Operation.GRANT_ROLES: Request(
            ("", "", None), identity_pb2.GrantRolesRequest(username=of.name, roles=["depositor"])
        ),
        Operation.LOGOUT_USER: Request(("POST", "/v1/users/logout", None), identity_pb2.LogoutUserRequest()),
        Operation.LIST_SESSIONS: Request(("GET", "/v1/sessions", None), identity_pb2.ListSessionsRequest()),
        Operation.REVOKE_SESSION: Request(
            ("DELETE", f"/v1/sessions/{of.session}", None), identity_pb2.RevokeSessionRequest(id=of.session)
        ),
        Operation.LIST_SECURITY_EVENTS: Request(
            ("GET", "/v1/security_events", None), identity_pb2.ListSecurityEventsRequest()
        ),
        Operation.CREATE_ACCOUNT: Request(
            ("POST", "/v1/accounts", {"currency": "USD"}), ledger_pb2.CreateAccountRequest(currency="USD")
        ),
        Operation.GET_ACCOUNT: Request(
            ("GET", f"/v1/accounts/{of.account}", None), ledger_pb2.GetAccountRequest(id=of.account)
        ),
        Operation.LIST_ACCOUNTS: Request(
            ("GET", f"/v1/accounts?owner={of.name}", None), ledger_pb2.ListAccountsRequest(owner=of.name)
        ),
        Operation.LIST_ENTRIES: Request(
            ("GET", f"/v1/accounts/{of.account}/entries", None),
            ledger_pb2.ListEntriesRequest(account_id=of.account),
        ),
        Operation.DEPOSIT: Request(
            ("POST", f"/v1/accounts/{of.account}/deposits", {"amount": 1}),
            ledger_pb2.DepositRequest(account_id=of.account, amount=1),
        ),
        Operation.WITHDRAW: Request(
            ("POST", f"/v1/accounts/{of.account}/withdrawals", {"amount": 1}),
            ledger_pb2.WithdrawRequest(account_id=of.account, amount=1),
        ),
        Operation.CREATE_TRANSFER: Request(
            ("POST", "/v1/transfers", money), ledger_pb2.CreateTransferRequest(**money)
        ),
        Operation.BATCH_TRANSFERS: Request(
            ("", "", None), ledger_pb2.BatchTransfersRequest(transfers=[order], atomic=True)
        ),
        Operation.STREAM_TRANSFERS: Request(("", "", None), ledger_pb2.StreamTransfersRequest(transfer=order)),
        Operation.WATCH_ACCOUNT: Request(("", "", None), ledger_pb2.WatchAccountRequest(account_id=of.account)),
        Operation.GET_TRANSFER: Request(
            ("GET", f"/v1/transfers/{of.transfer}", None), ledger_pb2.GetTransferRequest(id=of.transfer)
        ),
    }


def public_requests(of: Person) -> dict[Operation, tuple[Request, str]]:
    """How each operation that needs no login is asked for, and what the answer is, whoever asks."""
    name, pb = f"new{time.monotonic_ns()}", identity_pb2
    new = {"username": name, "password": PASSWORD, "full_name": "N", "email": f"{name}@example.com"}
    login, address = {"username": of.name, "password": PASSWORD}, {"email": f"{of.name}@example.com"}
    link = {"email_id": str(uuid4()), "secret_code": "none"}
    choice = {"reset_id": str(uuid4()), "secret_code": "none", "password": PASSWORD}
    token = {"refresh_token": "none"}

    def post(path: str, body: dict[str, str], kind: Any) -> Request:
        return Request(("POST", path, body), kind(**body))

    verify = Request(("GET", f"/v1/verify_email?{urlencode(link)}", None), pb.VerifyEmailRequest(**link))
    asked = "/v1/users/password_reset"
    return {
        Operation.CREATE_USER: (post("/v1/users", new, pb.CreateUserRequest), "ok"),
        Operation.LOGIN_USER: (post("/v1/users/login", login, pb.LoginUserRequest), "ok"),
        Operation.RENEW_ACCESS: (
            post("/v1/tokens/renew_access", token, pb.RenewAccessRequest),
            "invalid_token",
        ),
        Operation.VERIFY_EMAIL: (verify, "not_found"),
        Operation.RESEND_VERIFICATION: (
            post("/v1/users/resend_verification", address, pb.ResendVerificationRequest),
            "ok",
        ),
        Operation.REQUEST_PASSWORD_RESET: (post(asked, address, pb.RequestPasswordResetRequest), "ok"),
        Operation.CONFIRM_PASSWORD_RESET: (
            post(f"{asked}/confirm", choice, pb.ConfirmPasswordResetRequest),
            "not_found",
        ),
    }


class World:
    """One service, and people of every kind on it."""

    def __init__(self, service: ServiceProcess) -> None:
        self.service = service
        self.http = httpx.Client(base_url=service.http, timeout=30)
        self.channel = grpc.insecure_channel(service.grpc)
        key = bytes.fromhex((service.var_dir / SECRET_FILE).read_text())
        self.tokens = Tokens([key], issue="jwt")
        self.bank = service.login(service.banker())

    def person(self, name: str, token: str | None, session: str) -> Person:
        account = open_accounts(self.service.database_url, name, 1)[0]
        response = self.http.post(
            f"/v1/accounts/{account}/deposits", json={"amount": 1000}, headers=bearer(self.bank)
        )
        return Person(name, account, response.json()["transfer"]["id"], session, token)

    def caller(self, kind: str) -> Person:
        """Somebody with these roles, whose token and session nobody has used yet."""
        if kind == NOBODY:
            return self.person(self.service.register(), None, str(uuid4()))
        name = self.service.register()
        if kind == ROLELESS:  # nobody can log in without a role, so the token is made with the service's key
            session = uuid4()
            end = datetime.now(UTC) + timedelta(minutes=5)
            issued = self.tokens.issue(ACCESS, username=name, roles=(), session_id=session, expires_at=end)
            return self.person(name, issued.token, str(session))
        with psycopg.connect(self.service.database_url) as connection:
            connection.execute("update users set roles = %s where username = %s", [kind.split("+"), name])
        login = self.http.post("/v1/users/login", json={"username": name, "password": PASSWORD}).json()
        other = self.http.post("/v1/users/login", json={"username": name, "password": PASSWORD}).json()
        return self.person(name, login["access_token"], other["session_id"])

    def over_http(self, request: Request, token: str | None) -> str:
        method, path, body = request.http
        response = self.http.request(method, path, json=body, headers=bearer(token))
        return "ok" if response.is_success else response.json()["code"]

    def over_gateway(self, request: Request, token: str | None) -> str:
        with GatewayCalls(self.http, token).lines(request.grpc) as (response, lines):
            if not response.is_success:
                return response.headers["error-code"]
            answer = next(lines)
        return answer.get("result", {}).get("outcome", {}).get("error", {}).get("code") or "ok"

    def over_grpc(self, request: Request, token: str | None) -> str:
        kind = type(request.grpc)
        name = kind.__name__.removesuffix("Request")
        module = identity_pb2 if hasattr(identity_pb2, kind.__name__) else ledger_pb2
        service = module.DESCRIPTOR.services_by_name["Identity" if module is identity_pb2 else "Ledger"]
        method = service.methods_by_name[name]
        metadata = [("authorization", f"Bearer {token}")] if token else []
        try:
            answer = self._first_answer(method, module, request.grpc, metadata)
        except grpc.RpcError as error:
            return dict(error.trailing_metadata())["error-code"]
        return answer.outcome.error.code or "ok" if name == "StreamTransfers" else "ok"

    def _first_answer(self, method: Any, module: Any, message: Any, metadata: list[tuple[str, str]]) -> Any:
        shape = "_".join(
            "stream" if each else "unary" for each in (method.client_streaming, method.server_streaming)
        )
        call = getattr(self.channel, shape)(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=type(message).SerializeToString,
            response_deserializer=getattr(module, method.output_type.name).FromString,
        )
        sent = iter([message]) if method.client_streaming else message
        answer = call(sent, metadata=metadata, timeout=30)
        if not method.server_streaming:
            return answer
        first = next(answer)
        answer.cancel()
        return first


def bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


@pytest.fixture(scope="module")
def world(service: ServiceProcess):
    world = World(service)
    with world.http, world.channel:
        yield world


def expected(operation: Operation, kind: str, *, own: bool) -> str:
    """What the table says, in the words of the answer."""
    if kind == NOBODY:
        return "unauthenticated"
    roles = () if kind == ROLELESS else tuple(kind.split("+"))
    scope = scopes(roles).get(operation, Scope.NONE)
    if operation is Operation.GRANT_ROLES and own:
        return "permission_denied"  # nobody changes their own
    if scope is Scope.NONE:
        return "permission_denied"
    return "ok" if own or scope is Scope.ANY else "not_found"


@pytest.mark.parametrize("transport", ["http", "gateway", "grpc"])
@pytest.mark.parametrize("kind", CALLERS)
def test_everybody_may_do_what_the_table_says_and_nothing_else(world: World, kind: str, transport: str):
    caller, other = world.caller(kind), world.caller("depositor")
    ask: Callable[[Request, str | None], str] = getattr(world, f"over_{transport}")
    unheard = V2_ONLY if transport == "http" else set()
    told, said = {}, {}
    # Logging out is the last thing that can be tried with a token.
    for operation in sorted(RULES.keys() - unheard, key=lambda each: each is Operation.LOGOUT_USER):
        for own, of in ((False, other), (True, caller)):
            if not own and operation in NOT_ABOUT_ANYTHING_OF_ANYBODY:
                continue
            target = other.account if own else caller.account
            told[operation.value, own] = ask(requests(of, target)[operation], caller.token)
            said[operation.value, own] = expected(operation, kind, own=own)
    assert told == said


@pytest.mark.parametrize("transport", ["http", "gateway", "grpc"])
@pytest.mark.parametrize("kind", CALLERS)
def test_anybody_may_do_what_needs_no_login_with_a_token_or_without(world: World, kind: str, transport: str):
    caller, other = world.caller(kind), world.caller("depositor")
    ask: Callable[[Request, str | None], str] = getattr(world, f"over_{transport}")
    public = public_requests(other)
    told = {operation: ask(request, caller.token) for operation, (request, _) in public.items()}
    assert told == {operation: answer for operation, (_, answer) in public.items()}


@pytest.mark.parametrize("kind", CALLERS)
def test_pages_are_for_anybody(world: World, kind: str):
    token, refused = world.caller(kind).token, {}
    for rule in create_app(Anything(), Anything()).url_map.iter_rules():
        for method in rule.methods if rule.endpoint.removeprefix("v1.") in PAGES else ():
            status = world.http.request(method, rule.rule, headers=bearer(token)).status_code
            if status in (401, 403, 405):
                refused[method, rule.rule] = status
    assert not refused


def test_every_operation_is_in_the_matrix():
    person = Person("x", 1, 1, "x", None)
    assert requests(person, 2).keys() == RULES.keys()
    assert public_requests(person).keys() == PUBLIC
    assert len(Role) + 3 == len(CALLERS)


def test_staff_is_changed_by_admins_alone(world: World):
    banker, admin, victim = (world.caller(kind) for kind in ("banker", "admin", "banker"))
    request = requests(victim, victim.account)[Operation.UPDATE_USER]
    for ask in (world.over_http, world.over_gateway, world.over_grpc):
        assert ask(request, banker.token) == "permission_denied"
        assert ask(request, admin.token) == "ok"


class Anything:
    """Stands for a service of which nothing is asked."""

    def __getattr__(self, name: str) -> Any:
        return Anything()

    def __iter__(self) -> Iterator[Any]:
        return iter(())


def test_every_route_is_an_operation_or_a_page_for_everybody():
    app = create_app(Anything(), Anything())
    routes = {rule.endpoint.removeprefix("v1.") for rule in app.url_map.iter_rules()}
    assert routes - {operation.value for operation in set(Operation) - V2_ONLY} == PAGES
    assert {each.operation for each in endpoints(Anything(), Anything(), Anything()).described} == set(
        Operation
    ) - V2_ONLY


def test_every_method_is_an_operation():
    methods = {
        Operation(re.sub(r"(?<!^)(?=[A-Z])", "_", method.name).lower())
        for module in (identity_pb2, ledger_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert methods == set(Operation)
    assert PUBLIC | RULES.keys() == set(Operation)


def test_a_method_without_a_rule_does_not_start():
    methods = Service("transactions.v2.Ledger")
    signature = RPCSignature(Cardinality.UNARY_UNARY, ledger_pb2.DepositRequest, ledger_pb2.DepositResponse)
    methods.add_method("Deposit", lambda message: message, signature)
    assert [each.operation for each in methods_of([methods], ruled=True).values()] == [Operation.DEPOSIT]
    methods.add_method("TakeEverything", lambda message: message, signature)
    with pytest.raises(ValueError, match="take_everything"):
        methods_of([methods], ruled=True)
