"""What nodes put on their wires: identities, and nothing that waits or is forgotten."""

from itertools import count

from node_house import SUSPECT_AFTER, THREE, House, founded

from chainchat.chain.messages import Copied, Forward
from chainchat.chat import queries
from chainchat.node.budget import CheckpointPace
from chainchat.node.limits import NodeLimits
from chainchat.node.questions import BARRIERS_AT_ONCE


def test_all_that_is_said_in_an_epoch_carries_the_identity_of_its_configuration():
    """Otherwise the receiver would take it for another chain's, and ignore it."""
    said, identities = {}, {}

    def hear(sender, to, message):
        if hasattr(message, "identity"):
            said.setdefault(type(message).__name__, set()).add((message.epoch, message.identity))
        configuration = getattr(message, "configuration", None)
        if configuration is not None:
            identities[configuration.epoch] = configuration.identity
        return False

    house = House(*THREE, limits=NodeLimits(pace=CheckpointPace(checkpoint_entries=3)))
    house.new_identity, house.kept = count(77).__next__, hear
    house.start(*THREE)
    house.later(0.5)
    answers = []
    for position in THREE:
        house.say(position)
        house[position].ask(queries.Present(), answers.append)
    house.later(0.5)
    house.kill("tail")
    house.later(0.2)
    for _ in range(3):
        house.say("head")
    house.run()
    del house.disks["tail"]
    house.start("tail")
    house.later(2.0)
    assert house.chains()["tail"] == THREE
    assert len(answers) == len(THREE)
    assert identities.pop(0) == 0
    assert len(set(identities.values())) == len(identities) > 2
    for kind, carried in said.items():
        assert all(identities.get(epoch, 0) == identity for epoch, identity in carried), kind
    assert said.keys() >= {
        "Ping", "Submit", "Forward", "Ack", "Holding", "Read", "Answer", "StateDigest",
        "Fetch", "Copied", "Synced",
    }  # fmt: skip


def test_a_learner_to_which_too_much_stands_unsent_is_sent_no_more(house):
    house.kill("tail")
    house.run()
    for _ in range(20):
        house.say("head")
    house.run()
    house["middle"].copy_full("tail", full=True)
    copied = []
    house.kept = lambda sender, to, message: (
        isinstance(message, Copied) and bool(copied.append(message))
    )
    del house.disks["tail"]
    house.start("tail")
    house.later(0.5)
    assert copied == []
    house["middle"].copy_full("tail", full=False)
    house.later(2.0)
    assert copied
    assert house.chains()["tail"] == ("head", "middle", "tail")


def test_what_was_answered_long_ago_keeps_nobody_from_serving(house):
    for _ in range(3):
        assert house.say("middle") == []
        house.later(2 * SUSPECT_AFTER)
        assert house["middle"].readiness.serving
        assert house["middle"].readiness.confirms
    assert house["middle"]._pending.idle


def test_a_read_without_a_lease_waits_until_an_entry_has_come_through(house):
    house.slow = {("head", "tail"), ("middle", "tail")}  # nobody confirms the tail any more
    house.later(0.9 * SUSPECT_AFTER)
    answers = []
    house["tail"].ask(queries.Present(), answers.append)
    house.run()
    assert answers == []
    house.slow = set()
    house.later(0.3)
    assert len(answers) == 1


def test_what_came_early_on_a_connection_that_ended_is_forgotten(house):
    node = house["tail"]
    last = house.disks["tail"].last
    node.receive("middle", Forward(2, last, (), 0))
    assert node._engine._early._kept
    house.bounce("middle", "tail")
    assert not node._engine._early._kept


def test_a_question_behind_a_barrier_asks_for_one_more_turn_and_not_for_turns_until_it_passed():
    house = founded(refusal_is_death=False)  # so no lease: the tail's clock proves nothing
    house.later(0.2)
    tail, turns, answers = house["tail"], [], []
    begin = tail.turn_clock.begin
    tail.turn_clock.begin = lambda: turns.append(begin())
    house.slow = {("tail", "head")}  # with the barrier's request
    tail.ask(queries.Present(), answers.append)
    house.run()
    assert (len(turns), answers) == (2, [])
    house.slow = set()
    house.run()
    assert len(answers) == 1


def test_readers_fill_no_disk_with_barriers():
    house = founded(refusal_is_death=False)
    house.later(0.2)
    tail, answers = house["tail"], []

    def asks(times):
        for _ in range(times):
            tail.ask(queries.Present(), answers.append)
            house.run(5)

    before = house.disks["tail"].last.seq
    asks(BARRIERS_AT_ONCE + 30)
    at_once = house.disks["tail"].last.seq - before
    assert at_once in (BARRIERS_AT_ONCE - 1, BARRIERS_AT_ONCE)  # as numbers are rounded
    house.later(0.2)
    assert len(answers) == BARRIERS_AT_ONCE + 30
    assert house.disks["tail"].last.seq - before <= BARRIERS_AT_ONCE + 1
