"""The HTTP server: Quart-Trio behind Hypercorn's protocol, as one supervised child."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Sequence
from time import time
from wsgiref.handlers import format_date_time

import trio
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from quart import Response
from quart_trio import QuartTrio

from application.service import Service
from transport.admission import Admission
from transport.asgi import App
from transport.docs import pages as docs
from transport.gateway.gateway import Gateway
from transport.http import routes
from transport.http.connection import HttpConnection
from transport.http.endpoint import UsernameConverter, response_of
from transport.http.hygiene import security_headers, with_cors
from transport.http.limits import HttpLimits
from transport.http.listening import serve_until
from transport.http.problems import failed
from transport.listeners import open_listeners
from transport.metrics import Metrics


def create_app(
    service: Service,
    metrics: Metrics,
    gateway: Gateway | None = None,
    *,
    allowed_origins: Collection[str] = (),
    limits: HttpLimits | None = None,
) -> QuartTrio:
    """The app with v1 and its documentation, and the gateway in front of it, open to pages of these origins."""
    limits = limits or HttpLimits()
    app = QuartTrio("transactions", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = limits.body_max_bytes
    app.config["BODY_TIMEOUT"] = None  # of which `Endpoints` takes care
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.converters["username"] = UsernameConverter
    endpoints = routes.endpoints(service, metrics, limits)
    app.register_blueprint(endpoints.blueprint)
    app.register_blueprint(docs.blueprint())
    app.register_error_handler(Exception, _told)
    served: App = app.asgi_app
    if gateway is not None:
        served = gateway.mounted(served)
    app.asgi_app = with_cors(endpoints.mounted(served), allowed_origins)  # type: ignore[method-assign, assignment]
    return app


async def _told(error: Exception) -> Response:
    return response_of(failed(error))


class _Config(Config):
    """Hypercorn's, with what every answer carries."""

    def __init__(self, public_url: str) -> None:
        super().__init__()
        self._always = security_headers(public_url)
        self._second, self._headers = 0, self._always

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        second = int(time())
        if second != self._second:
            self._second = second
            self._headers = [(b"date", format_date_time(second).encode()), *self._always]
        return self._headers


class HttpServer:
    """Serves an app on one address until stopped; `drain` then tells it to end what has no end of its own."""

    def __init__(
        self,
        app: QuartTrio,
        address: str,
        *,
        grace_s: float,
        drain: Callable[[], None] = lambda: None,
        public_url: str = "",
        limits: HttpLimits | None = None,
        admission: Admission | None = None,
        shared: Sequence[socket.socket] = (),
    ) -> None:
        self._app = app
        self._address = address
        self._shared = shared
        self._grace_s = grace_s
        self._drain = drain
        self._limits = limits or HttpLimits()
        self._admission = admission or Admission()
        self._config = _Config(public_url)
        self._connections: set[HttpConnection] = set()
        self._stop = trio.Event()
        self._draining = False
        self.port = 0
        self.listening = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen, report ready, serve; once stopped, end when what is in flight is answered, or the grace is over."""
        self._stop = trio.Event()
        self._draining = False
        self._context = WorkerContext(None)
        listeners = await open_listeners(self._address, self._shared)
        self.port = listeners[0].socket.getsockname()[1]
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as listening:
                listening.start_soon(self._admission.run)
                self.listening.set()
                task_status.started()
                await serve_until(self._stop, self._handle, listeners, connections)
                listening.cancel_scope.cancel()
            self._drain()
            await self._context.terminated.set()
            connections.cancel_scope.deadline = trio.current_time() + self._grace_s
            for connection in self._connections:
                connection.end_when_idle()

    def announce_drain(self) -> None:
        """Tell each client with its next answer that it is the last here; who comes is still served."""
        self._draining = True

    def stop(self) -> None:
        """Close the listeners, finish what is in flight."""
        self.announce_drain()
        self._stop.set()

    async def _handle(self, stream: trio.SocketStream) -> None:
        connection = HttpConnection(
            stream, self._app, self._config, self._context, self._limits, lambda: self._draining
        )
        if self._stop.is_set():
            connection.end_when_idle()
        await self._admission.serve(connection, stream, self._connections)
