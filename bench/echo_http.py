"""A bare echo on Quart-Trio and Hypercorn: what any service on this stack spends before it does anything."""

from __future__ import annotations

import argparse

import trio
from quart import Response, request
from quart_trio import QuartTrio

from transport.http.server import HttpServer

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
    trio.run(HttpServer(app, f"127.0.0.1:{port}", grace_s=1).run)


if __name__ == "__main__":
    main()
