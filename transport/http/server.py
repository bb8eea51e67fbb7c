"""The HTTP server: Quart-Trio on Hypercorn, as one supervised child.

Hypercorn installs no signal handlers under Trio and closes its listeners at once on shutdown; when that is
is the caller's decision (`stop`). A client that has stopped reading blocks it inside a send that nothing can
cancel; when the grace is over we shut such sockets down under it, which ends the send with an error.
"""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart_trio import QuartTrio

from application.service import Service
from transport.http import problems, routes

BODY_MAX_BYTES = 64 * 1024
KEEP_ALIVE_S = 75.0
READ_TIMEOUT_S = 30
STUCK_AFTER_S = 0.5


def create_app(service: Service) -> QuartTrio:
    """The app with v1 on it."""
    app = QuartTrio("transactions")
    app.config["MAX_CONTENT_LENGTH"] = BODY_MAX_BYTES
    app.config["BODY_TIMEOUT"] = READ_TIMEOUT_S
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.register_blueprint(routes.endpoints(service).blueprint)
    problems.install(app)
    return app


class HttpServer:
    """Serves an app on one address until stopped."""

    def __init__(self, app: QuartTrio, address: str, *, grace_s: float) -> None:
        self._app = app
        self._stop = trio.Event()
        self._config = Config()
        self._config.bind = [address]
        self._config.graceful_timeout = grace_s
        self._config.keep_alive_timeout = KEEP_ALIVE_S
        self._config.include_server_header = False
        self._config.accesslog = None
        self._config.errorlog = logging.getLogger("hypercorn")
        self._config.h11_max_incomplete_size = 32 * 1024
        self.binds: list[str] = []
        self.listening = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen, report ready, serve until `stop`."""
        self._stop = trio.Event()
        async with trio.open_nursery() as nursery:
            self.binds = await nursery.start(self._serve, nursery.cancel_scope)
            nursery.start_soon(self._shut_down_stuck)
            self.listening.set()
            task_status.started()

    async def _shut_down_stuck(self) -> None:
        await self._stop.wait()
        await trio.sleep(self._config.graceful_timeout + STUCK_AFTER_S)
        shut_down_connections({int(bind.rpartition(":")[2]) for bind in self.binds})

    async def _serve(self, scope: trio.CancelScope, *, task_status: trio.TaskStatus[list[str]]) -> None:
        await serve(self._app, self._config, shutdown_trigger=self._stop.wait, task_status=task_status)
        scope.cancel()

    def stop(self) -> None:
        """Close the listeners, finish what is in flight."""
        self._stop.set()


def shut_down_connections(local_ports: set[int]) -> None:
    """Shut down every socket of this process that is connected to one of its ports (Linux)."""
    for entry in Path("/proc/self/fd").iterdir():
        try:
            with socket.socket(fileno=os.dup(int(entry.name))) as connection:
                if connection.getsockname()[1] in local_ports:
                    connection.shutdown(socket.SHUT_RDWR)
        except (OSError, IndexError, TypeError):
            continue  # no socket, not connected, or gone meanwhile
