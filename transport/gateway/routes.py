"""Routes from the descriptors of services: one for each way to call a method that its annotation names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor

from transport.gateway.bindings import Binding, bindings_of
from transport.gateway.router import Router
from transport.grpc.methods import Method

PREFIX = "/v2/"
"""Everything below it is the gateway's."""


class Route(NamedTuple):
    """A method, and how a request becomes its message."""

    method: Method
    binding: Binding


def services_named(names: Iterable[str]) -> list[ServiceDescriptor]:
    """The descriptors of services that have been imported."""
    return [descriptor_pool.Default().FindServiceByName(name) for name in names]


def routes_of(services: Iterable[ServiceDescriptor], methods: Mapping[bytes, Method]) -> Router[Route]:
    """The routes of these services; raises ValueError for an annotation that means nothing or cannot be reached."""
    router: Router[Route] = Router()
    for service in services:
        for described in service.methods:
            method = methods[f"/{service.full_name}/{described.name}".encode()]
            for binding in bindings_of(described, method.request_type):
                if binding.template.segments[0] != PREFIX.strip("/"):
                    raise ValueError(f"{described.full_name}: its path must begin with {PREFIX}")
                router.add(binding.http_method, binding.template, Route(method, binding))
    return router
