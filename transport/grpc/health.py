"""`grpc.health.v1.Health`: what Kubernetes and load balancers ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from actors.bell import Bell
from transport import errors
from transport.grpc import compat
from transport.grpc.call import Call
from transport.grpc.status import RpcFailed

from proto.grpc.health.v1 import health_pb2 as pb  # isort: skip
from proto.grpc.health.v1.health_grpc import HealthServicer  # isort: skip

assert compat


class Health(HealthServicer):
    """SERVING for the server ("") and each service, until `drain`."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = {"", *services}
        self._status = pb.HealthCheckResponse.SERVING
        self._watchers: set[Bell] = set()

    def drain(self) -> None:
        """NOT_SERVING from now on; watchers are told at once."""
        self._status = pb.HealthCheckResponse.NOT_SERVING
        for bell in self._watchers:
            bell.ring()

    async def Check(self, input_message: pb.HealthCheckRequest) -> pb.HealthCheckResponse:
        if input_message.service not in self._services:
            raise RpcFailed(errors.NOT_FOUND, "unknown service")
        return pb.HealthCheckResponse(status=self._status)

    async def Watch(
        self, input_message: pb.HealthCheckRequest, request: Call
    ) -> AsyncIterator[pb.HealthCheckResponse]:
        known, told = input_message.service in self._services, None
        self._watchers.add(request.bell)
        try:
            while not request.draining:
                status = self._status if known else pb.HealthCheckResponse.SERVICE_UNKNOWN
                if status != told:
                    told = status
                    yield pb.HealthCheckResponse(status=status)
                await request.bell.wait()
        finally:
            self._watchers.discard(request.bell)
