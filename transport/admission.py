"""Who may connect, and how much of us a client may hold: whoever's network takes the most gives way.

One registry for all connections of the process. Places are few, and so are the bytes that wait for a client: of what
it has half sent, of what it has not read, of streams without an end. When there is too little of either, the network
(an IPv4 address, an IPv6 /64) that has the most of it loses a connection: one that is idle, or that has been at it for
longest. So nobody is refused for what another network does, and of its own network somebody new comes before
somebody slow.
"""

from __future__ import annotations

import ctypes
import gc
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Protocol, TypeVar

import trio

log = logging.getLogger(__name__)

AcceptedStream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Bounds of the process.

    When `crowd_min` connections have ended within `tidy_s`, their memory is given back, and for `tidy_rounds` that of
    those who come after them.
    """

    connections_max: int = 2_500
    held_max_bytes: int = 16 * 1024 * 1024
    crowd_min: int = 50
    tidy_s: float = 2.0
    tidy_rounds: int = 5


class Connection(Protocol):
    """What is asked of a connection; `active_at` is on Trio's clock: since when it is idle, or at it."""

    active_at: float

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in flight on it."""

    def end(self) -> None:
        """End it at once."""


class Served(Connection, Protocol):
    """One that is served by `run`, and says to `holds` how many bytes it holds."""

    peer: str
    holds: Callable[[int], None]

    async def run(self) -> None:
        """Until either side ends it."""


Kind = TypeVar("Kind", bound=Served)


class Place:
    """A connection's, with the bytes that it holds."""

    __slots__ = ("connection", "held", "network")

    def __init__(self, connection: Connection, network: str) -> None:
        self.connection = connection
        self.network = network
        self.held = 0


class Admission:
    """The registry."""

    def __init__(self, limits: AdmissionLimits | None = None) -> None:
        self._limits = limits or AdmissionLimits()
        self._places: set[Place] = set()
        self._leaving = 0
        self._held = 0
        self._ended = 0

    async def run(self) -> None:
        """Give memory back after a crowd, until cancelled."""
        rounds = 0
        while True:
            await trio.sleep(self._limits.tidy_s)
            if self._ended >= self._limits.crowd_min:
                rounds = self._limits.tidy_rounds
            if rounds and self._ended:
                rounds -= 1
                give_back_memory()
            self._ended = 0

    async def serve(self, connection: Kind, stream: AcceptedStream, among: set[Kind]) -> None:
        """Serve somebody new, one of `among` meanwhile; where there is no place for it, hang up."""
        place = self.enter(connection, connection.peer)
        if place is None:
            await trio.aclose_forcefully(stream)
            return
        connection.holds = partial(self.hold, place)
        among.add(connection)
        try:
            await connection.run()
        except Exception:  # a defect on one connection must not end the others
            log.exception("%s failed", type(connection).__name__)
        finally:
            among.discard(connection)
            self.leave(place)

    def enter(self, connection: Connection, address: str) -> Place | None:
        """A place for somebody new, if need be another's; None while too many of those are on their way out."""
        if self._leaving >= self._limits.connections_max:
            return None
        place = Place(connection, network_of(address))
        self._places.add(place)
        if len(self._places) > self._limits.connections_max:
            self._give_way(lambda each: each is not place, lambda each: 1)
        return place

    def hold(self, place: Place, held_bytes: int) -> None:
        """Say how much a connection holds now."""
        if place not in self._places:
            return
        self._held += held_bytes - place.held
        place.held = held_bytes
        while self._held > self._limits.held_max_bytes:
            self._give_way(lambda each: each.held > 0, lambda each: each.held)

    def leave(self, place: Place) -> None:
        """A connection has ended."""
        if place in self._places:
            self._forget(place)
        else:
            self._leaving -= 1
        self._ended += 1

    def _give_way(self, may: Callable[[Place], bool], takes: Callable[[Place], int]) -> None:
        taken: Counter[str] = Counter()
        for place in self._places:
            taken[place.network] += takes(place)
        network = max(filter(may, self._places), key=lambda place: taken[place.network]).network
        candidates = [place for place in self._places if place.network == network and may(place)]
        last = min(candidates, key=lambda each: (not each.connection.is_idle, each.connection.active_at))
        self._forget(last)
        self._leaving += 1
        last.connection.end()

    def _forget(self, place: Place) -> None:
        self._places.discard(place)
        self._held -= place.held
        place.held = 0


def peer_of(stream: AcceptedStream) -> str:
    """The address of who has connected; empty where it was gone before it was asked."""
    connected = stream.socket if isinstance(stream, trio.SocketStream) else stream.transport_stream.socket
    try:
        return str(connected.getpeername()[0])
    except (OSError, IndexError):
        return ""


def network_of(address: str) -> str:
    """Whom an address stands for: itself, or the /64 that one host is commonly given."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or ip_network((parsed, 64), strict=False))
    return str(parsed)


def give_back_memory() -> None:
    """Collect what a crowd has left, and return it to the system; tens of milliseconds.

    Measured: without it the process keeps most of what it had at the crowd's height, since the collector's oldest
    generation waits for a quarter more of everything there is, and glibc keeps what is free below what is not.
    """
    gc.collect()
    if trim is not None:
        trim(0)


trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
