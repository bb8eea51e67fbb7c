"""`transactions.v2.Identity`: translates calls into operations of the application."""

from __future__ import annotations

from application.service import Service
from transport.grpc import compat, messages  # noqa: F401 - compat goes before anything of purerpc's
from transport.grpc.call import Call

from proto.transactions.v2 import identity_pb2 as pb  # isort: skip
from proto.transactions.v2.identity_grpc import IdentityServicer  # isort: skip


class Identity(IdentityServicer):
    """Registration and login."""

    def __init__(self, service: Service) -> None:
        self._identity = service.identity

    async def CreateUser(self, input_message: pb.CreateUserRequest, request: Call) -> pb.CreateUserResponse:
        user = await self._identity.create_user(
            username=input_message.username,
            password=input_message.password,
            full_name=input_message.full_name,
            email=input_message.email,
        )
        return pb.CreateUserResponse(user=messages.user(user))

    async def LoginUser(self, input_message: pb.LoginUserRequest, request: Call) -> pb.LoginUserResponse:
        login = await self._identity.login(
            username=input_message.username,
            password=input_message.password,
            user_agent=request.header("user-agent") or "",
            client_address=request.peer,
        )
        return pb.LoginUserResponse(
            session_id=str(login.session_id),
            access_token=login.access.token,
            access_token_expires_at=messages.timestamp(login.access.expires_at),
            refresh_token=login.refresh.token,
            refresh_token_expires_at=messages.timestamp(login.refresh.expires_at),
            user=messages.user(login.user),
        )
