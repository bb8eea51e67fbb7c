"""The methods of purerpc's services, by path, and the operation of the policy that each one is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from domain.policy import Operation

from transport.grpc import compat  # isort: skip
from purerpc.rpc import Cardinality  # isort: skip
from purerpc.server import Service  # isort: skip

assert compat


class Method(NamedTuple):
    """A method of a service. `operation` is None where the policy has nothing to say: health and reflection."""

    path: bytes
    handler: Callable[..., Any]
    request_type: Any
    client_streaming: bool
    server_streaming: bool
    operation: Operation | None

    @property
    def streaming(self) -> bool:
        """Whether either side sends several messages."""
        return self.client_streaming or self.server_streaming


def methods_of(services: Iterable[Service], *, ruled: bool) -> dict[bytes, Method]:
    """By path. With `ruled` each is an operation of the policy; raises ValueError for one that is not."""
    return {method.path: method for service in services for method in _methods(service, ruled=ruled)}


def _methods(service: Service, *, ruled: bool) -> Iterator[Method]:
    for name, (handler, signature) in service.methods.items():
        cardinality = signature.cardinality
        yield Method(
            f"/{service.name}/{name}".encode(),
            handler,
            signature.request_type,
            cardinality in (Cardinality.STREAM_UNARY, Cardinality.STREAM_STREAM),
            cardinality in (Cardinality.UNARY_STREAM, Cardinality.STREAM_STREAM),
            operation_of(name) if ruled else None,
        )


def operation_of(name: str) -> Operation:
    """The operation that a method of this name is; raises ValueError for one that the policy does not have."""
    return Operation(re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower())
