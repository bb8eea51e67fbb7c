"""A bare echo on Quart-Trio and Hypercorn's own server: what a service on this stack spends before it does anything."""

from __future__ import annotations

import argparse

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart import Response, request
from quart_trio import QuartTrio

app = QuartTrio("echo")


@app.post("/v1/transfers")
async def echo() -> Response:
    """The body itself."""
    return Response(await request.get_data(), 201, content_type="application/json")


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.loglevel = "WARNING"
    config.keep_alive_timeout = 75
    config.keep_alive_max_requests = 10**9
    trio.run(serve, app, config)


if __name__ == "__main__":
    main()
