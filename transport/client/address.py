"""HOST:PORT, as text."""

from __future__ import annotations

PORT_MAX = 65_535


def parse_address(text: str) -> tuple[str, int]:
    """Host and port; an IPv6 address is in brackets. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > PORT_MAX:
        raise ValueError(f"must be HOST:PORT, not {text!r}")
    return host.strip("[]"), int(port)


def join_address(host: str, port: int) -> str:
    """The text of a host and a port."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
