"""Whose address is believed: the nearest to us that is no proxy of ours, whatever the client says."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from transport.clients import USER_AGENT_MAX, client_address, client_of

NOBODY = ()
PROXIES = tuple(map(ip_network, ("10.0.0.0/8", "127.0.0.1/32", "fd00::/8")))


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "address"),
    [
        # Nobody is trusted, or not this one: what it says counts for nothing.
        ("127.0.0.1", ["192.0.2.1"], NOBODY, "127.0.0.1"),
        ("192.0.2.9", ["192.0.2.1"], PROXIES, "192.0.2.9"),
        ("192.0.2.9", ["10.0.0.1"], PROXIES, "192.0.2.9"),
        ("192.0.2.9", ["127.0.0.1, 10.0.0.1"], PROXIES, "192.0.2.9"),
        # What a trusted proxy has written counts, and nothing before it.
        ("127.0.0.1", [], PROXIES, "127.0.0.1"),
        ("127.0.0.1", ["192.0.2.1"], PROXIES, "192.0.2.1"),
        ("127.0.0.1", ["198.51.100.7, 192.0.2.1"], PROXIES, "192.0.2.1"),
        ("127.0.0.1", ["10.0.0.2, 192.0.2.1"], PROXIES, "192.0.2.1"),
        ("127.0.0.1", ["198.51.100.7", "192.0.2.1"], PROXIES, "192.0.2.1"),
        ("127.0.0.1", ["192.0.2.1,198.51.100.7"], PROXIES, "198.51.100.7"),
        # A chain of our proxies is followed to where it ends.
        ("127.0.0.1", ["192.0.2.1, 10.0.0.1, 10.0.0.2"], PROXIES, "192.0.2.1"),
        ("127.0.0.1", ["198.51.100.7, 192.0.2.1, 10.0.0.2"], PROXIES, "192.0.2.1"),
        ("127.0.0.1", ["10.0.0.1"], PROXIES, "10.0.0.1"),
        ("fd00::1", ["192.0.2.1, fd00::2"], PROXIES, "192.0.2.1"),
        # One address has one name, with a port or without, mapped into IPv6 or not, with the header or without.
        ("127.0.0.1", ["192.0.2.1:1234"], PROXIES, "192.0.2.1"),
        ("127.0.0.1", ["[2001:DB8:0::1]:1234"], PROXIES, "2001:db8::1"),
        ("127.0.0.1", ["[2001:db8::1]"], PROXIES, "2001:db8::1"),
        ("127.0.0.1", ["2001:db8:0:0::1"], PROXIES, "2001:db8::1"),
        ("127.0.0.1", ["::ffff:192.0.2.1"], PROXIES, "192.0.2.1"),
        ("::ffff:127.0.0.1", ["192.0.2.1"], PROXIES, "192.0.2.1"),
        ("::ffff:192.0.2.1", [], NOBODY, "192.0.2.1"),
        ("::ffff:192.0.2.1", ["198.51.100.7"], PROXIES, "192.0.2.1"),
        # What is no address ends the reading there.
        *(
            ("127.0.0.1", [f"192.0.2.1, {garbage}"], PROXIES, "127.0.0.1")
            for garbage in (
                "",
                "unknown",
                "_hidden",
                "192.0.2.1:",
                "192.0.2.1:123456",
                "192.0.2.256",
                "192.0.2.1 10.0.0.1",
                "2001:db8::1]:80",
                "[]:80",
                "١.2.3.4",
                "0x7f.1",
                "3221225985",
                "\x00",
                "é" * 1_000,
            )
        ),
        ("127.0.0.1", ["192.0.2.1, unknown, 10.0.0.2"], PROXIES, "10.0.0.2"),
        ("127.0.0.1", [",".join(["10.0.0.1"] * 10_000)], PROXIES, "10.0.0.1"),
        # A peer without an address, as on a socket of the file system, is called what it is.
        ("", ["192.0.2.1"], PROXIES, ""),
    ],
)
def test_address_of_a_client(peer, forwarded, trusted, address):
    assert client_address(peer, forwarded, trusted) == address


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("", ""),
        ("Mozilla/5.0 (X11)", "Mozilla/5.0 (X11)"),
        ("a\x00b\r\nc\x85\x1b[31m", "a?b??c??[31m"),
        ("x" * 5_000, "x" * USER_AGENT_MAX),
        ("\ud800", "?"),
    ],
)
def test_what_a_client_says_of_itself_is_short_and_printable(sent, kept):
    assert client_of("192.0.2.1", [], sent, NOBODY) == ("192.0.2.1", kept)
