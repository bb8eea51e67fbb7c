"""`transactions.v2.Identity`: translates calls into operations of the application."""

from __future__ import annotations

from typing import TypeVar

from application.ledger import SEQ_BEYOND_ALL
from application.service import Service
from application.sessions import Login
from domain.users import Client
from transport.grpc import compat, messages  # noqa: F401 - compat goes before anything of purerpc's
from transport.grpc.asked import client_of_call, limit_of
from transport.grpc.call import Call
from transport.paging import cut, position

from proto.transactions.v2 import identity_pb2 as pb  # isort: skip
from proto.transactions.v2.identity_grpc import IdentityServicer  # isort: skip


class Identity(IdentityServicer):
    """Users, their roles and their sessions."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._users = service.users
        self._links = service.mailed_links
        self._sessions = service.sessions
        self._security = service.security

    async def CreateUser(self, input_message: pb.CreateUserRequest, request: Call) -> pb.CreateUserResponse:
        user = await self._users.create(
            self._client(request),
            username=input_message.username,
            password=input_message.password,
            full_name=input_message.full_name,
            email=input_message.email,
        )
        return pb.CreateUserResponse(user=messages.user(user))

    async def GetUser(self, input_message: pb.GetUserRequest, request: Call) -> pb.GetUserResponse:
        user = await self._users.get(request.principal, input_message.username)
        return pb.GetUserResponse(user=messages.user(user))

    async def UpdateUser(self, input_message: pb.UpdateUserRequest, request: Call) -> pb.UpdateUserResponse:
        user = await self._users.update(
            request.principal,
            self._client(request),
            input_message.username,
            full_name=input_message.full_name if input_message.HasField("full_name") else None,
            email=input_message.email if input_message.HasField("email") else None,
            password=input_message.password if input_message.HasField("password") else None,
        )
        return pb.UpdateUserResponse(user=messages.user(user))

    async def GrantRoles(self, input_message: pb.GrantRolesRequest, request: Call) -> pb.GrantRolesResponse:
        user = await self._users.grant_roles(
            request.principal, self._client(request), input_message.username, input_message.roles
        )
        return pb.GrantRolesResponse(user=messages.user(user))

    async def VerifyEmail(self, input_message: pb.VerifyEmailRequest, request: Call) -> pb.VerifyEmailResponse:
        email_id = input_message.email_id
        await self._links.verify_email(
            self._client(request), email_id=email_id, secret_code=input_message.secret_code
        )
        return pb.VerifyEmailResponse(is_verified=True)

    async def ResendVerification(
        self, input_message: pb.ResendVerificationRequest, request: Call
    ) -> pb.ResendVerificationResponse:
        await self._links.resend_verification(self._client(request), email=input_message.email)
        return pb.ResendVerificationResponse()

    async def RequestPasswordReset(
        self, input_message: pb.RequestPasswordResetRequest, request: Call
    ) -> pb.RequestPasswordResetResponse:
        await self._links.request_password_reset(self._client(request), email=input_message.email)
        return pb.RequestPasswordResetResponse()

    async def ConfirmPasswordReset(
        self, input_message: pb.ConfirmPasswordResetRequest, request: Call
    ) -> pb.ConfirmPasswordResetResponse:
        await self._links.confirm_password_reset(
            self._client(request),
            reset_id=input_message.reset_id,
            secret_code=input_message.secret_code,
            password=input_message.password,
        )
        return pb.ConfirmPasswordResetResponse()

    async def LoginUser(self, input_message: pb.LoginUserRequest, request: Call) -> pb.LoginUserResponse:
        login = await self._sessions.login(
            self._client(request), username=input_message.username, password=input_message.password
        )
        return _login(pb.LoginUserResponse(), login)

    async def RenewAccess(self, input_message: pb.RenewAccessRequest, request: Call) -> pb.RenewAccessResponse:
        renewed = await self._sessions.renew(self._client(request), refresh_token=input_message.refresh_token)
        return _login(pb.RenewAccessResponse(), renewed)

    async def LogoutUser(self, input_message: pb.LogoutUserRequest, request: Call) -> pb.LogoutUserResponse:
        await self._sessions.logout(
            request.principal, self._client(request), everywhere=input_message.everywhere
        )
        return pb.LogoutUserResponse()

    async def ListSessions(
        self, input_message: pb.ListSessionsRequest, request: Call
    ) -> pb.ListSessionsResponse:
        principal = request.principal
        items = await self._sessions.list_active(principal)
        return pb.ListSessionsResponse(items=[messages.session(each, principal.session_id) for each in items])

    async def RevokeSession(
        self, input_message: pb.RevokeSessionRequest, request: Call
    ) -> pb.RevokeSessionResponse:
        principal = request.principal
        await self._sessions.end(principal, self._client(request), input_message.id)
        return pb.RevokeSessionResponse()

    async def ListSecurityEvents(
        self, input_message: pb.ListSecurityEventsRequest, request: Call
    ) -> pb.ListSecurityEventsResponse:
        principal, limit = request.principal, limit_of(input_message.limit)
        items = await self._security.list_events(
            principal,
            username=input_message.username or None,
            before_id=position(input_message.cursor or None, SEQ_BEYOND_ALL),
            limit=limit + 1,
        )
        page, cursor = cut(items, limit, lambda event: event.id)
        return pb.ListSecurityEventsResponse(
            items=[messages.security_event(each) for each in page], next_cursor=cursor or ""
        )

    def _client(self, call: Call) -> Client:
        return client_of_call(self._service, call)


Response = TypeVar("Response", pb.LoginUserResponse, pb.RenewAccessResponse)


def _login(response: Response, login: Login) -> Response:
    response.session_id = str(login.session_id)
    response.access_token = login.access.token
    response.access_token_expires_at.CopyFrom(messages.timestamp(login.access.expires_at))
    response.refresh_token = login.refresh.token
    response.refresh_token_expires_at.CopyFrom(messages.timestamp(login.refresh.expires_at))
    response.user.CopyFrom(messages.user(login.user))
    return response
