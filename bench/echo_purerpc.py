"""The same bare echo on purerpc's own server and loop: what our gRPC handler is held against."""

from __future__ import annotations

import argparse

import trio

from bench.echo_grpc import echo_service

from purerpc.server import Server  # isort: skip


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    server = Server(parser.parse_args().port)
    server.add_service(echo_service())
    trio.run(server.serve_async)


if __name__ == "__main__":
    main()
