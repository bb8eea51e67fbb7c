"""Where a request came from, as far as it can be believed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from domain.users import Client

USER_AGENT_MAX = 200
"""Characters kept of a client's own description of itself."""
# Some proxies write the port too, and then brackets around IPv6.
_WITH_PORT = re.compile(r"\[([^\]]+)\](?::\d{1,5})?|([\d.]+):\d{1,5}", re.ASCII)
Networks = Sequence[IPv4Network | IPv6Network]


def client_of(peer: str, forwarded: Sequence[str], user_agent: str, trusted: Networks) -> Client:
    """The client of a request from `peer` with these X-Forwarded-For headers and this description of itself."""
    kept = user_agent[:USER_AGENT_MAX]
    text = kept if kept.isprintable() else "".join(c if c.isprintable() else "?" for c in kept)
    return Client(client_address(peer, forwarded, trusted), text)


def client_address(peer: str, forwarded: Sequence[str], trusted: Networks) -> str:
    """The address nearest to us that is no proxy of ours.

    Each proxy appends whom it was asked by, so the list is read from its end, and only for as long as the one
    who wrote an entry is trusted: whatever a client has put there itself stands before that.
    """
    address = _parsed(peer)
    hops = [hop.strip() for hop in ",".join(forwarded).split(",")]
    while hops and address is not None and any(address in network for network in trusted):
        before = _parsed(hops.pop())
        if before is None:
            break
        address = before
    return peer if address is None else str(address)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    with_port = _WITH_PORT.fullmatch(text)
    try:
        address = ip_address((with_port[1] or with_port[2]) if with_port else text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
