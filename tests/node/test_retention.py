"""Retention: old messages go everywhere alike, and who lacks much copies a checkpoint."""

import pytest
from msgspec import msgpack
from msgspec.structs import replace
from node_house import THREE, House, lines_logged

from chainchat.chain.configuration import Configuration
from chainchat.chain.lending import Sponsor
from chainchat.chain.limits import ProtocolLimits
from chainchat.chain.log import DivergenceError
from chainchat.chain.record import Record
from chainchat.chat import commands
from chainchat.node.budget import CheckpointPace
from chainchat.node.limits import NodeLimits
from chainchat.node.retention import Keep, Unseen
from chainchat.node.times import DAY, shown_time
from chainchat.storage.memory import REMOVED_AT_ONCE, MemoryStorage

DAYS = DAY / 1_000
KEEP = Keep(days=2, unread=False, look_seconds=0.0, at_least=1)
LIMITS = NodeLimits(
    protocol=ProtocolLimits(checkpoint_worth=15, near_entries=5),
    pace=CheckpointPace(checkpoint_entries=20, records_at_once=1, checkpoint_seconds=0.0),
)


def house(*founding, keep=KEEP):
    """A chain of these, which has forgotten nothing yet."""
    made = House(*founding or THREE, limits=replace(LIMITS, keep=keep))
    made.start(*made.founding)
    made.run()
    made.later(0.3)
    return made


def say(house, count, at="head"):
    """Commands that change nothing, each in an entry of its own."""
    for _ in range(count):
        house.say(at)
        house.run(4)


def days_pass(house, days):
    house.clock.rightNow += days * DAYS  # nobody is silent meanwhile: all stand still
    for position in house.nodes:
        for other in house.nodes:
            if other != position:
                house.bounce(position, other)
    house.later(1.0)


def old_ones_gone(house):
    """Some entries, then days, then some more: the older ones are to go."""
    say(house, 30)
    days_pass(house, 3)
    say(house, 25)
    house.later(2.0)
    return house


def beginnings(house):
    return {position: house.disks[position].beginning.seq for position in house.nodes}


def states(house):
    return {node.state.image() for node in house.nodes.values()}


def test_without_a_setting_nothing_goes():
    held = old_ones_gone(house(keep=Keep()))
    assert set(beginnings(held).values()) == {0}
    assert held["head"].state.removed.before == 0


def test_what_is_older_is_hidden_at_all_nodes_alike_and_leaves_their_disks():
    held = old_ones_gone(house())
    before = held["head"].state.removed.before
    assert 25 < before < 45
    assert len(states(held)) == 1
    assert all(25 < beginning < before for beginning in beginnings(held).values())
    assert held["tail"].state.removed.days == 2


def test_what_takes_too_much_room_goes():
    held = house(keep=Keep(octets=4_000, unread=False, look_seconds=0.0, at_least=1))
    say(held, 80)
    held.later(2.0)
    assert len(states(held)) == 1
    assert held["head"].state.removed.days == 0
    for position in THREE:
        assert held.disks[position].octets() < 8_000


def test_what_an_account_has_not_seen_stays():
    keep = Keep(days=2, look_seconds=0.0, at_least=1)
    held = house(keep=keep)
    say(held, 5)
    login = commands.Login(f"{held['head'].me.origin}.1", "alice", "", b"")
    held["head"].submit(login)
    held.run()
    alice = held["head"].state.account_named("alice")
    with lines_logged() as lines:
        old_ones_gone(held)
    assert held["head"].state.removed.before <= alice.seen + 1 < 20
    [first] = held.disks["head"].entries([alice.seen + 1])
    since = shown_time(first.time)
    stays = f"head: old messages stay: alice has seen none after {alice.seen}, since {since}; "
    assert [line.startswith(stays) for _, line in lines if "messages stay" in line] == [True]
    assert held["head"].unseen == Unseen(alice.number, alice.seen, first.time)
    assert held["tail"].unseen is None
    held["head"].submit(commands.Seen(((alice.number, 30),)))
    held.run()
    days_pass(held, 0)
    held.clock.advance(700.0)
    held.later(2.0)
    assert held["head"].state.removed.before <= 31
    assert held["head"].unseen is None or held["head"].unseen.after == 30


def test_who_has_an_empty_disk_copies_a_checkpoint_and_what_is_kept():
    held = old_ones_gone(house())
    held.kill("tail")
    held.later(1.0)
    held.disks["tail"] = MemoryStorage()
    with lines_logged() as lines:
        held.start("tail")
        held.later(3.0)
    assert any("goes on from the checkpoint as of" in line for _, line in lines)
    assert held.chains() == dict.fromkeys(THREE, THREE)
    assert len(states(held)) == 1
    assert held.disks["tail"].beginning == held.disks["middle"].beginning
    last = held.disks["tail"].last.seq
    for seq in range(held.disks["tail"].beginning.seq, last + 1):
        assert held.disks["tail"].id_of(seq) == held.disks["head"].id_of(seq)


def test_who_was_away_until_its_log_ends_before_the_others_begin_says_so_and_joins():
    held = house()
    say(held, 10)
    held.kill("tail")
    held.later(1.0)
    old_ones_gone(held)
    assert held.disks["tail"].last.seq < min(beginnings(held).values())
    with lines_logged() as lines:
        held.start("tail")
        held.later(3.0)
    assert any("nobody can tell any more whether the two were one" in line for _, line in lines)
    assert held.chains() == dict.fromkeys(THREE, THREE)
    assert len(states(held)) == 1


def test_a_copy_of_a_checkpoint_that_was_interrupted_goes_on():
    held = old_ones_gone(house())
    held.kill("tail")
    held.later(1.0)
    held.disks["tail"] = MemoryStorage()
    stop = [True]
    held.kept = lambda sender, to, message: stop[0] and type(message).__name__ == "Copied"
    held.start("tail")
    held.later(1.0)
    staged = held.disks["tail"].staged
    assert staged.complete
    held.kill("tail")
    held.later(1.0)
    stop[0] = False
    held.held_back.clear()
    asked = []
    held.kept = lambda sender, to, message: asked.append(type(message).__name__) or False
    held.start("tail")
    held.later(3.0)
    assert "FetchRows" not in asked
    assert len(states(held)) == 1
    assert held.chains() == dict.fromkeys(THREE, THREE)


def test_who_joins_without_the_checkpoint_that_it_began_to_copy_throws_it_away(monkeypatch):
    held = house(keep=Keep())
    say(held, 55)
    held.kill("tail")
    held.later(1.0)
    held.disks["tail"] = MemoryStorage()
    held.kept = lambda sender, to, message: type(message).__name__ == "Copied"
    held.start("tail")
    held.later(1.0)
    assert held.disks["tail"].staged.complete
    held.kill("tail")
    held.later(1.0)
    held.kept = lambda *_: False
    held.held_back.clear()
    monkeypatch.setattr(Sponsor, "_offer_for", lambda *_: None)  # as if it had no checkpoint yet
    held.start("tail")
    held.later(3.0)
    assert held.chains() == dict.fromkeys(THREE, THREE)
    assert held.disks["tail"].staged is None


def test_a_checkpoint_whose_digest_does_not_fit_is_thrown_away():
    held = old_ones_gone(house())
    held.kill("tail")
    held.later(1.0)
    disk = held.disks["tail"] = MemoryStorage()
    stage_rows = disk.stage_rows

    def changed(rows, *, complete):
        stage_rows([], complete=complete)

    held["head"].submit(commands.Login(f"{held['head'].me.origin}.1", "alice", "", b""))
    held.run()
    say(held, 25)
    disk.stage_rows = changed
    held.start("tail")
    held.later(0.5)
    assert disk.newest_checkpoint() is None
    [reason, *_] = {reason for _, _, reason in held.distrusted}
    assert "is not what its digest was made of" in reason
    disk.stage_rows = stage_rows
    held.bounce("middle", "tail")
    held.later(3.0)
    assert held.chains() == dict.fromkeys(THREE, THREE)


def test_what_was_committed_here_and_is_not_in_the_other_log_is_not_replaced():
    held = old_ones_gone(house())
    held.kill("tail")
    held.later(1.0)
    disk = held.disks["tail"]
    other = disk._log[-1]
    disk._log[-1] = type(other)(*other.content, digest=b"another")
    disk._committed = other.seq
    disk._checkpoint = disk._checkpointed = None
    disk._begun = 0
    say(held, 60)
    held.start("tail")
    with pytest.raises(DivergenceError):
        held.later(1.0)


def test_who_was_the_only_member_keeps_its_log_though_nobody_can_tell_any_more():
    held = house()
    say(held, 10)
    held.kill("tail")
    held.later(1.0)
    disk = held.disks["tail"]
    record = msgpack.decode(disk.read_membership(), type=Record)
    alone = Configuration(1, record.configuration.members[2:], "without the others", identity=7)
    disk.write_membership(msgpack.encode(replace(record, configuration=alone)))
    old_ones_gone(held)
    last = disk.last
    held.start("tail")
    with pytest.raises(DivergenceError, match="was the only member in epoch 1"):
        held.later(3.0)
    assert (disk.last, disk.staged) == (last, None)


def test_what_ends_with_a_whole_slice_keeps_nothing_from_going_later():
    """The head names the end of a row, and a slice may end there, too."""
    held = house(keep=Keep(octets=4_000, unread=False, look_seconds=1_000.0, at_least=1))
    retention = held["head"]._retention
    say(held, REMOVED_AT_ONCE + 30)
    held["head"].submit(commands.Forget(REMOVED_AT_ONCE + 1, unread=True))
    say(held, 25)
    held.later(2.0)
    assert beginnings(held) == dict.fromkeys(THREE, REMOVED_AT_ONCE)
    assert not retention.busy


def test_a_checkpoint_that_had_to_wait_begins_though_nothing_more_is_said(monkeypatch):
    held = house(keep=Keep())
    say(held, 30)
    with monkeypatch.context() as patched:  # as if a learner copied the one before
        patched.setattr(Sponsor, "lends_checkpoint", lambda *_: True)
        held["head"].submit(commands.Forget(28, unread=True))
        held.run()
    held.later(2.0)
    assert set(beginnings(held).values()) == {27}


def test_a_learner_that_stands_still_keeps_the_log_for_a_while_only_and_goes_on_later():
    keep = Keep(octets=4_000, unread=False, look_seconds=0.0, at_least=1)
    patient = replace(LIMITS.protocol, loan_patience=5.0)
    held = House(*THREE, limits=replace(LIMITS, keep=keep, protocol=patient))
    held.start(*THREE)
    held.run()
    say(held, 10)
    held.kill("tail")
    held.later(1.0)
    asked = []

    def stands_still(sender, to, message):
        """Hold back what it asks after its first question."""
        if type(message).__name__ == "Fetch":
            asked.append(message)
        return type(message).__name__ == "Fetch" and len(asked) > 1

    held.kept = stands_still
    held.start("tail")
    held.later(0.5)
    lacks = asked[0].last.seq
    with lines_logged() as lines:
        say(held, 80)
        held.later(2.0)
        assert beginnings(held)["middle"] <= lacks
        assert beginnings(held)["head"] > lacks
        held.later(5.0)
    assert beginnings(held)["middle"] > lacks
    [line] = [line for _, line in lines if "copied nothing" in line]
    assert line == "middle: tail has copied nothing for 5 s: no log is kept for it any longer"
    held.let_go()
    held.later(5.0)
    assert held.chains() == dict.fromkeys(THREE, THREE)
    assert len(states(held)) == 1
