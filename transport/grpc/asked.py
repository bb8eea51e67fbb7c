"""What a call says of its caller; and that every method has a rule."""

from __future__ import annotations

import re

from application.ledger import PAGE_DEFAULT
from application.service import Service
from domain.policy import Operation, Principal
from domain.users import Client
from transport.clients import client_of
from transport.grpc.call import Call
from transport.paging import check_limit

from transport.grpc import compat  # isort: skip
from purerpc.server import Service as Methods  # isort: skip

assert compat


def principal_of(service: Service, call: Call) -> Principal:
    """Who makes the call; raises Unauthenticated."""
    return service.authenticator.principal(call.values("authorization"))


def client_of_call(service: Service, call: Call) -> Client:
    """Where the call comes from."""
    return client_of(
        call.peer, call.values("x-forwarded-for"), call.header("user-agent") or "", service.trusted_proxies
    )


def limit_of(limit: int) -> int:
    """The size of a page; protobuf's zero is as good as nothing. Raises InvalidArgument."""
    return check_limit(limit or PAGE_DEFAULT)


def ruled(methods: Methods) -> Methods:
    """The same methods, each of which is an operation of the policy; raises ValueError for one that is not."""
    for name in methods.methods:
        Operation(re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower())
    return methods
