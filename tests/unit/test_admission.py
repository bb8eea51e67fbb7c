"""Whoever's network takes the most gives way."""

from __future__ import annotations

import pytest

from transport.admission import Admission, AdmissionLimits, Place, network_of

LIMITS = AdmissionLimits(connections_max=4, held_max_bytes=100)


class Fake:
    """A connection that has been at it, or idle, since then."""

    def __init__(self, active_at: float, *, is_idle: bool = False) -> None:
        self.active_at = active_at
        self.is_idle = is_idle
        self.ended = 0

    def end(self) -> None:
        self.ended += 1


def entered(admission: Admission, address: str, *fakes: Fake) -> list[Place]:
    places = [admission.enter(fake, address) for fake in fakes]
    assert None not in places
    return places


def test_a_network_that_takes_the_most_gives_way_to_another():
    admission, mine, theirs = Admission(LIMITS), [Fake(0), Fake(1)], [Fake(2), Fake(3)]
    entered(admission, "10.0.0.1", mine[0])
    entered(admission, "10.0.0.2", *theirs)
    entered(admission, "10.0.0.3", mine[1])
    entered(admission, "10.0.0.4", Fake(4))
    assert [each.ended for each in (*mine, *theirs)] == [0, 0, 1, 0]


def test_within_a_network_the_idlest_goes_first_and_then_who_has_been_at_it_for_longest():
    admission = Admission(LIMITS)
    old, idle, idlest, new = Fake(0), Fake(3, is_idle=True), Fake(2, is_idle=True), Fake(4)
    entered(admission, "10.0.0.1", old, idle, idlest, new)
    for expected in (idlest, idle, old):
        assert not expected.ended
        entered(admission, "10.0.0.1", Fake(5))
        assert expected.ended == 1
    assert not new.ended


def test_somebody_new_never_gives_way_to_who_was_there():
    admission, first = Admission(LIMITS), [Fake(number) for number in range(4)]
    entered(admission, "10.0.0.1", *first)
    new = Fake(-1, is_idle=True)
    entered(admission, "10.0.0.1", new)
    assert [each.ended for each in (*first, new)] == [1, 0, 0, 0, 0]


def test_while_too_many_are_on_their_way_out_nobody_is_let_in():
    admission = Admission(LIMITS)
    first = entered(admission, "10.0.0.1", *map(Fake, range(8)))
    assert admission.enter(Fake(9), "10.0.0.1") is None
    admission.leave(first[0])
    assert admission.enter(Fake(9), "10.0.0.1") is not None


def test_bytes_are_given_up_by_the_network_that_holds_the_most():
    admission, fakes = Admission(LIMITS), [Fake(0), Fake(1), Fake(2), Fake(3)]
    (alone,) = entered(admission, "10.0.0.1", fakes[0])
    two = entered(admission, "10.0.0.2", *fakes[1:3])
    (nothing,) = entered(admission, "10.0.0.2", fakes[3])
    admission.hold(alone, 40)
    admission.hold(two[0], 30)
    admission.hold(two[1], 30)
    assert not any(each.ended for each in fakes)
    admission.hold(two[1], 31)
    assert [each.ended for each in fakes] == [0, 1, 0, 0]
    admission.hold(nothing, 20)
    admission.hold(alone, 49)  # what has been given up is there again
    assert [each.ended for each in fakes] == [0, 1, 0, 0]


def test_who_holds_too_much_alone_gives_way_itself_and_once():
    admission, greedy = Admission(LIMITS), Fake(0)
    (place,) = entered(admission, "10.0.0.1", greedy)
    admission.hold(place, 101)
    admission.hold(place, 200)
    admission.leave(place)
    assert greedy.ended == 1
    (place,) = entered(admission, "10.0.0.1", fine := Fake(1))
    admission.hold(place, 100)
    assert not fine.ended


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_address_stands_for_its_network(address, network):
    assert network_of(address) == network
