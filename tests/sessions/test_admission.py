"""Admission to the client port, without sockets and with a clock in the test's hand."""

import random
from collections import Counter
from ipaddress import ip_network

import pytest
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from chainchat.chat.refusals import Code, RefusedError
from chainchat.logs.complaints import PERIOD
from chainchat.sessions.admission import (
    FORGIVING_SECONDS,
    TOLD,
    UNHEARD_SECONDS,
    Admission,
    reserve,
)
from chainchat.sessions.buckets import WIDER
from chainchat.sessions.limits import ClientLimits, Limits
from chainchat.sessions.newcomers import FEW, LEAST_SECONDS, MOST_ASKED, Newcomers
from chainchat.sessions.pace import Rate

EXEMPT = (ip_network("127.0.0.0/8"), ip_network("2001:db8:1::/48"))
HERE, THERE, ELSEWHERE = "10.0.0.1", "10.0.0.2", "10.0.0.3"


class Door:
    """An admission, the epoch that it sees, and its clock, which begins after the start."""

    def __init__(
        self, *, connections=100, per_address=3, files=100, since=FORGIVING_SECONDS, **more
    ):
        self.clock = Clock()
        self.epoch = 1
        self.limits = Limits(
            ClientLimits(connections, per_address, EXEMPT, files, **more), self.clock.seconds
        )
        self.admission = Admission("solo", self.limits, self.clock.seconds, lambda: self.epoch)
        self.inside = []
        self.clock.advance(since)

    def waits(self, host, *, logging_in=False):
        """Somebody who has connected, and not logged in."""
        newcomer = Newcomer(self, host, logging_in)
        assert self.knock(host) == [None]
        _, owners = self.inside[-1]
        self.admission.newcomers.came(newcomer, owners)
        return newcomer

    def knock(self, *hosts):
        """The answer to each: the code of a refusal, or None."""
        return [self._knock(host) for host in hosts]

    def _knock(self, host):
        try:
            self.inside.append((host, self.admission.admit(host)))
        except RefusedError as refusal:
            return refusal.code
        return None

    def leave(self, *hosts):
        """Let a connection of each end."""
        for host in hosts:
            connection = next(connection for connection in self.inside if connection[0] == host)
            self.inside.remove(connection)
            self.admission.leave(connection[1])


class Newcomer:
    def __init__(self, door, host, logging_in):
        self._door, self.owner, self.logging_in = door, host, logging_in
        self.is_there = True

    def give_way(self):
        if self.logging_in:
            return False
        self.is_there = False
        self._door.leave(self.owner)
        return True


@pytest.fixture
def logged():
    lines = []

    def observe(event):
        if event["log_namespace"] == "chainchat.sessions.admission":
            lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


def test_an_address_has_so_many_connections_and_others_have_theirs():
    door = Door()
    assert door.knock(*[HERE] * 5) == [None] * 3 + [Code.TOO_MANY_OF_ADDRESS] * 2
    assert door.knock(*[THERE] * 3) == [None] * 3


def there(waiting):
    return [one.is_there for one in waiting]


def test_when_all_places_are_taken_the_oldest_of_the_greediest_gives_way(logged):
    door = Door(connections=FEW + 4, per_address=10)
    hosts = [THERE, *[HERE] * (FEW + 2), ELSEWHERE]
    waiting = [door.waits(host) for host in hosts]
    door.admission.newcomers.settled(waiting[1])
    assert door.knock(THERE) == [None]
    assert there(waiting) == [True, True, False] + [True] * (len(hosts) - 3)
    assert door.admission.admitted == len(hosts)
    assert logged == [
        f"solo: refusing clients: {FEW + 4} connections are open: one that did not log in is ended"
    ]
    assert door.admission.refused[Code.TOO_MANY_CONNECTIONS] == 1
    assert door.knock(THERE, HERE) == [Code.TOO_MANY_CONNECTIONS] * 2  # it has few now
    assert door.admission.refused[Code.TOO_MANY_CONNECTIONS] == 3


def test_who_has_few_gives_way_once_there_was_time_to_log_in():
    door = Door(connections=3, per_address=10)
    office = [door.waits(HERE) for _ in range(2)]
    other = door.waits(THERE)
    assert door.knock(ELSEWHERE, HERE) == [Code.TOO_MANY_CONNECTIONS] * 2
    door.clock.advance(LEAST_SECONDS)
    assert door.knock(ELSEWHERE) == [None]
    assert there([*office, other]) == [False, True, True]


def test_nobody_gives_way_to_the_greediest_but_itself():
    door = Door(connections=4, per_address=10)
    honest = door.waits(THERE)
    greedy = [door.waits(HERE) for _ in range(3)]
    door.clock.advance(LEAST_SECONDS)
    greedy.append(door.waits(HERE))
    assert there([honest, *greedy]) == [True, False, True, True, True]


def test_of_those_who_are_exempt_each_counts_for_itself():
    door = Door(connections=FEW + 2, per_address=10)
    waiting = [door.waits("127.0.0.1") for _ in range(FEW + 2)]
    assert door.knock(HERE, "127.0.0.1") == [Code.TOO_MANY_CONNECTIONS] * 2
    door.clock.advance(LEAST_SECONDS)
    assert door.knock(HERE, "127.0.0.1") == [None] * 2
    assert there(waiting) == [False, False, True, True, True, True]


def test_whose_login_the_chain_is_about_to_answer_does_not_give_way():
    door = Door(connections=2, per_address=10)
    first, second = door.waits(HERE, logging_in=True), door.waits(HERE)
    door.clock.advance(LEAST_SECONDS)
    assert door.knock(HERE) == [None]
    assert there([first, second]) == [True, False]
    first.logging_in = False  # it was refused: the time counts anew
    assert door.knock(HERE) == [Code.TOO_MANY_CONNECTIONS]
    door.clock.advance(LEAST_SECONDS)
    assert door.knock(HERE) == [None]
    assert not first.is_there


def test_nobody_gives_way_to_who_is_refused_for_something_else():
    door = Door(connections=2, per_address=1)
    waiting = [door.waits(HERE), door.waits(THERE)]
    door.clock.advance(LEAST_SECONDS)
    assert door.knock(HERE) == [Code.TOO_MANY_OF_ADDRESS]
    assert there(waiting) == [True, True]


def test_a_few_are_asked_to_give_way_and_no_more():
    door = Door(connections=MOST_ASKED + 1, per_address=100)
    waiting = [door.waits(HERE, logging_in=True) for _ in range(MOST_ASKED)]
    waiting.append(door.waits(HERE))
    assert door.knock(THERE) == [Code.TOO_MANY_CONNECTIONS]
    assert door.knock(THERE) == [None]
    assert there(waiting) == [True] * MOST_ASKED + [False]


def test_of_newcomers_nothing_is_kept_and_the_greediest_is_always_known():
    clock, dice = Clock(), random.Random(1)
    newcomers, waiting = Newcomers(clock.seconds), []
    door = Door()
    for _ in range(2_000):
        if dice.random() < 0.5 or not waiting:
            waiting.append(Newcomer(door, f"10.0.0.{dice.randrange(5)}", logging_in=False))
            newcomers.came(waiting[-1], (waiting[-1].owner,))
        else:
            newcomers.settled(waiting.pop(dice.randrange(len(waiting))))
        many = Counter(one.owner for one in waiting)
        most = max(many.values(), default=0)
        found = newcomers.who_gives_way(("10.0.1.1",))
        assert found is None if most <= FEW else many[found.owner] == most
    for one in waiting:
        newcomers.settled(one)
        newcomers.settled(one)
    clock.advance(LEAST_SECONDS)
    assert newcomers.who_gives_way((HERE,)) is None
    assert vars(newcomers) == vars(Newcomers(clock.seconds)) | {"_clock": newcomers._clock}


def test_an_address_that_was_refused_often_ends_unheard_for_a_second():
    door = Door(per_address=10, connecting=Rate(per_second=0.1, at_once=3))
    sheds = door.admission.sheds
    most = TOLD.at_once
    assert door.knock(*[HERE] * (3 + most)) == [None] * 3 + [Code.CONNECTS_TOO_OFTEN] * most
    assert not sheds(HERE)
    assert door.knock(HERE) == [Code.CONNECTS_TOO_OFTEN]
    assert sheds(HERE)
    assert not sheds(THERE)
    assert door.admission.refused == {Code.CONNECTS_TOO_OFTEN: most + 2}
    door.clock.advance(UNHEARD_SECONDS)
    assert not sheds(HERE)
    assert door.knock(HERE) == [Code.CONNECTS_TOO_OFTEN]
    assert not sheds(HERE)  # it could be told
    assert door.knock(HERE) == [Code.CONNECTS_TOO_OFTEN]
    assert sheds(HERE)


def test_a_new_epoch_forgives_nobody_who_is_refused_on_and_on():
    door = Door()
    door.knock(*[HERE] * (3 + int(TOLD.at_once)))
    door.epoch = 2
    assert door.knock(HERE, *[THERE] * 5) == [Code.TOO_MANY_OF_ADDRESS] + [None] * 5
    door.clock.advance(UNHEARD_SECONDS)
    assert door.knock(HERE) == [Code.TOO_MANY_OF_ADDRESS]
    door.clock.advance(TOLD.at_once / 2)
    door.epoch = 3
    assert door.knock(HERE) == [None]


def test_no_network_takes_more_than_half_of_all_places():
    door = Door(connections=100, per_address=10)
    sites = [f"2001:db8:2:{number:x}::1" for number in range(60)]
    assert door.knock(*sites) == [None] * 50 + [Code.TOO_MANY_OF_ADDRESS] * 10


def test_nor_does_an_address_while_nobody_has_other_limits():
    door = Door(connections=100, since=0)
    assert door.knock(*[HERE] * 60) == [None] * 50 + [Code.TOO_MANY_OF_ADDRESS] * 10


def test_so_does_one_with_too_many_connections():
    door = Door()
    door.knock(*[HERE] * (3 + int(TOLD.at_once) + 1))
    assert door.admission.sheds(HERE)


def test_of_a_network_that_is_refused_no_address_is_heard_but_others_are():
    door = Door(per_address=2)
    sites = [f"2001:db8:2:{number:x}::1" for number in range(2 * WIDER + int(TOLD.at_once) * WIDER)]
    door.knock(*sites, "2001:db8:2:ffff::1")
    assert door.admission.sheds("2001:db8:2:fffe::1")
    assert not door.admission.sheds("2001:db8:3::1")


def test_a_connection_that_ends_makes_room_for_another_of_its_address():
    door = Door()
    door.knock(*[HERE] * 4)
    door.leave(HERE)
    assert door.knock(HERE, HERE) == [None, Code.TOO_MANY_OF_ADDRESS]


def test_what_all_leave_is_as_it_was():
    door = Door()
    hosts = [HERE, THERE, "2001:db8::1", "127.0.0.1"]
    door.knock(*hosts)
    door.leave(*hosts)
    assert door.admission.admitted == 0
    assert door.admission._of == {}


def test_the_addresses_of_one_ipv6_site_are_one():
    door = Door()
    site = [f"2001:db8::{n}" for n in range(1, 5)]
    assert door.knock(*site) == [None] * 3 + [Code.TOO_MANY_OF_ADDRESS]
    assert door.knock("2001:db8:0:1::1") == [None]


def test_whoever_has_many_ipv6_sites_has_no_more_than_some():
    """A /48 has 65,536 of them, and a household mostly 256."""
    door = Door(connections=1_000)
    sites = [f"2001:db8:0:{n:x}::1" for n in range(WIDER + 1) for _ in range(3)]
    assert door.knock(*sites) == [None] * 3 * WIDER + [Code.TOO_MANY_OF_ADDRESS] * 3
    with pytest.raises(RefusedError, match=r"^424 the network of your address has 48 "):
        door.admission.admit("2001:db8:0:fe::1")
    assert door.knock("2001:db8:2::1") == [None]
    door.leave(sites[0])
    assert door.knock("2001:db8:0:ff::1") == [None]
    door.leave(*[host for host, _ in door.inside])
    assert door.admission._of == {}


def test_whoever_has_many_ipv6_sites_does_not_connect_more_often_than_some():
    door = often()
    sites = [f"2001:db8:0:{n:x}::1" for n in range(4 * WIDER + 1)]
    for site in sites[:-1]:
        assert door.knock(site) == [None]
        door.leave(site)
    assert door.knock(sites[-1]) == [Code.CONNECTS_TOO_OFTEN]


def test_an_ipv4_address_in_ipv6_is_that_address():
    door = Door()
    door.knock(*[HERE] * 3)
    assert door.knock(f"::ffff:{HERE}") == [Code.TOO_MANY_OF_ADDRESS]
    assert door.knock(*["::ffff:127.0.0.1"] * 9) == [None] * 9


def test_who_is_exempt_has_as_many_as_there_are():
    door = Door(connections=8)
    assert door.knock(*["127.1.2.3"] * 4, *["2001:db8:1:2::3"] * 4) == [None] * 8
    assert door.knock("127.0.0.1") == [Code.TOO_MANY_CONNECTIONS]


def test_the_text_says_what_can_be_done():
    door = Door(connections=4)
    door.knock(*[HERE] * 3)
    with pytest.raises(RefusedError, match=r"^424 your address has 3 connections here already; "):
        door.admission.admit(HERE)
    door.knock(THERE)
    with pytest.raises(RefusedError, match=r"^422 this node has 4 connections already; try "):
        door.admission.admit(THERE)


def test_an_address_has_no_limit_for_a_while_after_the_start_but_what_came_stays_and_counts():
    early = Door(since=0)
    assert early.knock(*[HERE] * 5) == [None] * 5
    early.clock.advance(FORGIVING_SECONDS)
    assert early.knock(HERE) == [Code.TOO_MANY_OF_ADDRESS]
    early.leave(HERE, HERE, HERE)
    assert early.knock(HERE, HERE) == [None, Code.TOO_MANY_OF_ADDRESS]


def test_an_address_has_no_limit_for_a_while_after_a_change_of_epoch():
    door = Door()
    door.knock(*[HERE] * 3)
    door.epoch = 2
    assert door.knock(HERE, HERE) == [None, None]
    door.clock.advance(FORGIVING_SECONDS)
    assert door.knock(HERE) == [Code.TOO_MANY_OF_ADDRESS]


def test_the_while_begins_when_the_change_is_noticed():
    door = Door()
    door.knock(*[HERE] * 3)
    door.epoch = 2
    door.admission.notice_epoch()
    door.clock.advance(FORGIVING_SECONDS)
    assert door.knock(HERE) == [Code.TOO_MANY_OF_ADDRESS]


def test_clients_never_get_the_files_that_a_node_needs(logged):
    door = Door(files=2)
    assert door.knock("127.0.0.1", HERE, THERE) == [None, None, Code.TOO_MANY_CONNECTIONS]
    assert logged == [
        "solo: refusing clients: 2 connections are open; for more the limit of open files is too "
        "low"
    ]


def test_a_node_keeps_more_files_the_more_positions_there_are():
    assert [reserve(1), reserve(3), reserve(10)] == [100, 118, 181]


def test_the_log_says_why_once_a_minute_and_how_often(logged):
    door = Door()
    door.knock(*[HERE] * 3)
    door.knock(*[HERE] * 1_000)
    door.clock.advance(PERIOD - 1)
    door.knock(HERE)
    assert logged == ["solo: refusing clients: 10.0.0.1 has 3 connections already (per-address)"]
    door.clock.advance(1)
    door.knock(HERE)
    assert logged[1:] == [
        "solo: refusing clients: 10.0.0.1 has 3 connections already (per-address) (1001 refused "
        "since the last line)"
    ]
    assert door.admission.refused == {Code.TOO_MANY_OF_ADDRESS: 1_002}


def test_what_is_no_address_counts_in_all():
    door = Door(connections=1)
    assert door.knock("", "") == [None, Code.TOO_MANY_CONNECTIONS]


# --- how often an address connects


def often(**more):
    return Door(per_address=100, connecting=Rate(2.0, 4), **more)


def test_an_address_that_connects_too_often_is_refused_until_it_has_waited():
    door = often()
    for _ in range(4):
        assert door.knock(HERE) == [None]
        door.leave(HERE)
    assert door.knock(HERE, HERE, THERE) == [Code.CONNECTS_TOO_OFTEN] * 2 + [None]
    door.clock.advance(0.5)
    assert door.knock(HERE, HERE) == [None, Code.CONNECTS_TOO_OFTEN]


def test_to_be_refused_costs_nothing_so_who_goes_on_trying_gets_in():
    door = often()
    door.knock(*[HERE] * 4)
    came_in = 0
    for _ in range(40):
        door.clock.advance(0.05)
        came_in += door.knock(HERE) == [None]
    assert came_in == 4


def test_who_is_exempt_and_who_shares_a_site_is_known_here_too():
    door = often()
    assert door.knock(*["127.0.0.1"] * 9) == [None] * 9
    site = [f"2001:db8::{n}" for n in range(1, 6)]
    assert door.knock(*site) == [None] * 4 + [Code.CONNECTS_TOO_OFTEN]


def test_connections_do_not_count_for_a_while_after_a_start_and_a_change_of_epoch():
    door = often(since=0)
    assert door.knock(*[HERE] * 9) == [None] * 9
    door.clock.advance(FORGIVING_SECONDS)
    assert door.knock(*[HERE] * 5) == [None] * 4 + [Code.CONNECTS_TOO_OFTEN]
    door.epoch = 2
    assert door.knock(*[HERE] * 9) == [None] * 9


def test_the_text_says_how_long_to_wait_and_the_log_who_it_was(logged):
    door = often()
    door.knock(*[HERE] * 4)
    text = "^425 your address has connected here 4 times within a minute; try again in 1 s$"
    with pytest.raises(RefusedError, match=text):
        door.admission.admit(HERE)
    assert logged == ["solo: refusing clients: 10.0.0.1 has connected 4 times within a minute"]


def test_new_limits_hold_at_once_and_who_came_before_leaves_as_they_came():
    door = Door()
    door.knock(*[HERE] * 3, "127.0.0.1")
    door.limits.current = ClientLimits(100, 4, (ip_network("10.0.0.0/8"),), 100)
    assert door.knock(*[HERE] * 9) == [None] * 9
    door.limits.current = ClientLimits(100, 4, (), 100)
    assert door.knock(HERE, HERE) == [None, Code.TOO_MANY_OF_ADDRESS]
    door.leave(*[host for host, _ in door.inside])
    assert door.admission._of == {}
