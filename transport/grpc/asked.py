"""What a call says of its caller, and what it asks for."""

from __future__ import annotations

from application.ledger import PAGE_DEFAULT
from application.service import Service
from domain.users import Client
from transport.clients import client_of
from transport.grpc.call import Call
from transport.paging import check_limit


def client_of_call(service: Service, call: Call) -> Client:
    """Where the call comes from."""
    return client_of(
        call.peer, call.values("x-forwarded-for"), call.header("user-agent") or "", service.trusted_proxies
    )


def limit_of(limit: int) -> int:
    """The size of a page; protobuf's zero is as good as nothing. Raises InvalidArgument."""
    return check_limit(limit or PAGE_DEFAULT)
