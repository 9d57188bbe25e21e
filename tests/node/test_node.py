"""Nodes: chain, membership and chat together, over wires and a clock that the tests hold."""

from collections import deque
from itertools import count

import pytest
from msgspec import msgpack
from msgspec.structs import replace
from node_house import SUSPECT_AFTER, THREE, House, founded, lines_logged
from taking_part import takes_part

from chainchat.chain.configuration import Member
from chainchat.chain.entries import Entry, EntryId, Submission
from chainchat.chain.messages import (
    Ack,
    Answer,
    Copied,
    Decided,
    Fetch,
    Forward,
    Pong,
    Read,
    StateDigest,
    Submit,
    Synced,
)
from chainchat.chain.record import Record
from chainchat.chat import commands, queries
from chainchat.chat.state import ChatState
from chainchat.node.budget import READ_SECONDS, CheckpointPace
from chainchat.node.limits import NodeLimits
from chainchat.node.lives import begin_life
from chainchat.node.pending import USUAL_PENDING
from chainchat.storage.interface import StorageError
from chainchat.storage.memory import MemoryStorage
from tests.chat.applied import present

NESTED = b"\x81\xa1x" + b"\x91" * 30_000
BAD_TEXT = b"\x81\xa2id\xa2\xff\xfe"


@pytest.fixture
def brisk():
    """Three nodes that make a checkpoint of every third entry."""
    house = founded(limits=NodeLimits(pace=CheckpointPace(checkpoint_entries=3)))
    house.later(0.2)
    return house


# --- lives and disks ---------------------------------------------------------------------


def test_each_life_on_a_disk_has_a_higher_incarnation_and_the_same_id():
    storage = MemoryStorage()
    assert begin_life(storage, lambda: "id-a") == Record("id-a", 1)
    assert msgpack.decode(storage.read_membership(), type=Record) == Record("id-a", 1)
    assert begin_life(storage, lambda: "id-b") == Record("id-a", 2)
    assert begin_life(storage, lambda: "id-b", step=40) == Record("id-a", 42)
    assert msgpack.decode(storage.read_membership(), type=Record).incarnation == 42


def test_a_life_keeps_the_configuration_and_the_vote(house):
    house.kill(*THREE)
    record = begin_life(house.disks["head"], lambda: "id-b")
    assert (record.configuration.positions, record.founding) == (THREE, THREE)


@pytest.mark.parametrize("record", [b"", b"\xc1", b"\x80", b"half of a record", NESTED, BAD_TEXT])
def test_a_corrupt_record_is_one_line_for_the_operator(record):
    storage = MemoryStorage()
    storage.write_membership(record)
    with pytest.raises(StorageError, match=r"the record of membership is corrupt: .+"):
        begin_life(storage, lambda: "id-a")
    assert storage.read_membership() == record


def test_a_corrupt_checkpoint_is_one_line_for_the_operator():
    house = House("head")
    house.disks["head"] = MemoryStorage()
    disk = house.disks["head"]
    disk.begin_checkpoint(1)
    disk.write_records([])
    disk.finish_checkpoint(b"\xc1")
    with pytest.raises(StorageError, match=r"the checkpoint is corrupt: .+"):
        house.start("head")


# --- founding and serving ----------------------------------------------------------------


@pytest.mark.parametrize("positions", [THREE[:1], THREE[:2], THREE])
def test_a_chain_serves_as_soon_as_it_is_founded(positions):
    house = founded(*positions)
    assert all(node.readiness.serving for node in house.nodes.values())
    results = [house.say(position) for position in positions]
    house.run()
    assert [len(result) for result in results] == [1] * len(positions)
    assert house.log(positions[0]) == house.log(positions[-1])


def test_before_it_is_founded_a_node_says_whom_it_waits_for():
    house = House(*THREE)
    house.start("head", "middle")
    house.later(1.0)
    standing = house["head"].readiness
    assert (standing.serving, standing.waiting_for) == (False, ("tail",))
    assert standing.reason == "the chain is not founded yet: waiting for tail"


def test_a_question_is_answered_by_the_tail(house):
    answers = []
    house["head"].ask(queries.Present(), answers.append)
    house.run()
    assert answers == [queries.Page(names=tuple(present(house["tail"].state)))]


def test_what_is_submitted_before_there_is_a_chain_is_not_lost():
    house = House(*THREE)
    house.start("head", "middle")
    results = house.say("middle")
    house.later(1.0)
    assert results == []
    house.start("tail")
    house.later(0.5)
    assert len(results) == 1


def test_a_node_is_congested_while_too_many_requests_are_on_their_way(house):
    house.slow = {("middle", "head")}
    for _ in range(USUAL_PENDING.requests):
        house.say("middle")
    house.run(2)
    assert not house["middle"].congested
    house.say("middle")
    assert house["middle"].congested
    house.slow.clear()
    house.run()
    assert (house["middle"].congested, house["middle"].pending) == (False, 0)


def test_so_it_is_while_they_are_too_long(house):
    middle = house["middle"]
    house.slow = {("middle", "head")}
    long = commands.Say("", 0, "x", "", (commands.Saying("x" * 1_000, 0, "*", 1, 1),) * 20)
    for _ in range(USUAL_PENDING.octets // len(commands.encode(long))):
        middle.submit(long)
    assert not middle.congested
    middle.submit(long)
    assert middle.congested
    assert middle.pending < USUAL_PENDING.requests
    assert (middle.room_for(0), middle.room_for(USUAL_PENDING.share)) == (USUAL_PENDING.share, 0)
    house.slow.clear()
    house.run()
    assert (middle.congested, middle.pending) == (False, 0)


def test_a_node_that_was_stopped_does_nothing_more():
    house = founded("head")
    node = house["head"]
    node.stop()
    results = house.say("head")
    node.linked("tail", Member("tail", "id-tail", 1))
    house.later(1.0)
    assert not node.running
    assert results == []
    assert house.clock.getDelayedCalls() == []


# --- connections -------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [("head", "middle"), ("middle", "tail"), ("head", "tail")])
def test_a_new_connection_is_enough_to_go_on(house, pair):
    results = [house.say(position) for position in THREE]
    house.clock.advance(0)
    house.bounce(*pair)
    house.run()
    assert [len(result) for result in results] == [1, 1, 1]
    assert house.committed() == dict.fromkeys(THREE, house["head"].view().committed)


def test_a_question_lost_with_the_connection_is_asked_again_on_the_next(house):
    answers = []
    house["middle"].ask(queries.Present(), answers.append)
    house.clock.advance(0)
    house.bounce("middle", "tail")
    house.run()
    assert len(answers) == 1


def test_entries_wait_while_too_much_stands_unsent(house):
    house["head"].full("middle", full=True)
    results = house.say("head")
    house.run()
    assert results == []
    house["head"].full("middle", full=False)
    house.run()
    assert len(results) == 1


# --- messages that come early or late ----------------------------------------------------


def late_decision(to):
    """A founded chain whose ``to`` has not heard of the founding yet."""
    house = House(*THREE)
    house.kept = lambda sender, receiver, message: (
        receiver == to and (isinstance(message, Decided) or type(message).__name__ == "Pong")
    )
    house.start(*THREE)
    return house


def test_the_tail_may_learn_of_an_epoch_before_the_middle():
    house = late_decision("middle")
    house.run()
    assert sorted(house.chains()) == ["head", "tail"]
    house.let_go()
    results = house.say("head")
    house.run()
    assert len(results) == 1


def test_the_middle_may_ask_the_tail_before_that_learns_of_the_epoch():
    house = late_decision("tail")
    answers = []
    house["middle"].ask(queries.Present(), answers.append)
    house.run()
    assert answers == []
    house.let_go()
    house.run()
    assert len(answers) == 1


# --- the price of a question --------------------------------------------------------------


def test_all_are_answered_though_a_turn_has_time_for_one_question_only(house):
    work = count(step=READ_SECONDS)  # whenever the clock is looked at, a slice has passed
    house["tail"]._work = lambda: next(work)
    answers = []
    for n in range(5):
        for position in THREE:
            house[position].ask(
                queries.Present(), lambda _, who=position, n=n: answers.append((who, n))
            )
    house.later(3.0)
    for position in THREE:
        assert [n for who, n in answers if who == position] == list(range(5))


def asked_of_a_tail_that_dies(house, query):
    answers = []
    house.slow = {("tail", "middle")}
    house["middle"].ask(query, answers.append)
    house.run()
    assert answers == []
    house.kill("tail")
    house.later(1.0)
    return answers


def test_a_pattern_that_the_tail_did_not_survive_is_not_asked_of_the_next_one(house):
    asked = asked_of_a_tail_that_dies(house, queries.Accounts(".*"))
    assert house.chains()["middle"] == ("head", "middle")
    assert asked == [queries.GIVEN_UP]


@pytest.mark.parametrize(
    "query", [queries.Accounts(), queries.Present(), queries.Recent(1, 20), queries.Later(1, 0, 20)]
)
def test_any_other_question_is(house, query):
    assert asked_of_a_tail_that_dies(house, query) == [queries.Page()]


@pytest.mark.parametrize("late", THREE[1:])
def test_what_came_before_the_decision_is_taken_in_after_it(late):
    house = late_decision(late)
    results = [house.say(position) for position in ("head", late)]
    house.run()
    assert not takes_part(house[late])
    house.let_go()
    house.run()
    assert [len(result) for result in results] == [1, 1]
    assert house.log("head") == house.log("tail")


def test_what_belongs_to_an_earlier_epoch_is_refused(house):
    house.kill("tail")
    house.run()
    assert house["head"].configuration.epoch == 2
    last = house.disks["middle"].last
    late = Forward(1, last, (Entry(last.seq + 1, 1, "x.1", 1, 1, b"x"),), last.seq + 1)
    house["middle"].receive("head", late)
    house.run()
    assert house.disks["middle"].last == last


# --- letting learners copy ---------------------------------------------------------------


NEWCOMER, EMPTY = Member("newcomer", "id-newcomer", 1), EntryId()


def lent(house, position, epoch, last=EMPTY):
    """True if the node at ``position`` lets a learner copy."""
    house.wires[position, "newcomer"] = wire = deque()
    house[position].receive("newcomer", Fetch(epoch, NEWCOMER, last))
    house.clock.advance(0)
    return any(isinstance(message, Copied) for message in wire)


def test_only_the_tail_lets_a_learner_copy(house):
    assert [lent(house, position, 1) for position in THREE] == [False, False, True]


def test_who_asks_in_another_epoch_is_not_answered(house):
    assert [lent(house, "tail", epoch) for epoch in (0, 1, 2)] == [False, True, False]


def test_who_has_another_configuration_of_the_same_epoch_is_not_answered(house):
    own = house["tail"].configuration
    for theirs, answered in ((own, True), (replace(own, why="forced to go on alone"), False)):
        pong = Pong(NEWCOMER, 1, theirs, False, EMPTY, False)
        house["tail"].receive("newcomer", pong)
        assert lent(house, "tail", own.epoch, house.disks["tail"].last) is answered
        house["tail"].unlinked("newcomer")


def test_a_tail_that_may_have_been_left_out_lets_nobody_copy(house):
    for position in ("head", "middle"):
        house.nodes.pop(position).stop()
    house.later(0.74 * SUSPECT_AFTER)
    assert lent(house, "tail", 1)
    house.later(0.1)
    assert not lent(house, "tail", 1)


def test_a_question_of_an_earlier_epoch_is_not_answered_in_the_next(house):
    assert lent(house, "tail", 1, house.disks["tail"].last)
    assert not lent(house, "tail", 1, house.disks["tail"].last)  # it waits for more
    house.kill("head")
    house.run()
    assert house["tail"].configuration.epoch == 2
    assert not [m for m in house.wires["tail", "newcomer"] if isinstance(m, Copied)]


@pytest.fixture
def unlinked_learner(house):
    """The tail is back, and knows that it is a learner; the middle is not linked with it."""
    house.kill("tail")
    house.run()
    house.slow = {("middle", "tail"), ("tail", "middle")}
    house.start("tail")
    house.run()
    house["middle"].unlinked("tail")
    house.slow = set()
    return house


def test_a_learner_joins_only_when_the_tail_is_linked_with_it(unlinked_learner):
    """It copies on another connection; as a member it would make writes wait for the link."""
    house = unlinked_learner
    house.later(SUSPECT_AFTER)
    assert house["middle"].configuration.positions == ("head", "middle")
    assert house["tail"].state.applied == house["head"].state.applied
    house["middle"].linked("tail", house["tail"].me)
    house.later(SUSPECT_AFTER / 2)
    assert house["middle"].configuration.positions == THREE


def test_a_link_that_is_made_while_a_learner_copies_does_not_make_it_ask_again(unlinked_learner):
    house = unlinked_learner
    house.run()  # the learner has everything, and waits for more
    house["middle"].linked("tail", house["tail"].me)
    house.later(0.3)
    assert house["middle"].configuration.positions == THREE


# --- what it says of itself --------------------------------------------------------------


def test_a_learner_says_how_far_it_is(house):
    house.kill("tail")
    for _ in range(10):
        house.say("head")
    house.run()
    house.slow = {("middle", "tail")}
    house.start("tail")
    house.later(0.3)
    view = house["tail"].view()
    assert (view.role, view.members) == ("learner", ("head", "middle"))
    reason, progress = view.notes[-2:]
    assert reason == "this node is catching up with the chain (head, middle)"
    assert progress.startswith("copied 0 entries (0.0 MB, 0.0 MB/s) from middle, ")
    assert house["tail"].readiness.serving is False


def test_a_member_names_those_who_keep_the_chain_from_confirming():
    house = founded("head", "tail")
    head = house.nodes.pop("head")
    house.later(2 * SUSPECT_AFTER)
    standing = house["tail"].readiness
    assert (standing.serving, standing.waiting_for) == (True, ("head",))
    assert standing.reason == "the chain cannot confirm: waiting for head"
    assert house["tail"].view().away == ("head",)
    head.stop()


def test_who_is_not_needed_to_confirm_keeps_only_reads_waiting():
    house = founded()
    house.later(0.2)
    house.slow = {("head", "tail"), ("tail", "head")}
    house.later(2 * SUSPECT_AFTER)
    results = house.say("head")
    house.run()
    standing = house["head"].readiness
    assert len(results) == 1
    assert (standing.confirms, standing.waiting_for) == (True, ("tail",))
    assert standing.reason == "lists and old messages have to wait for tail"
    assert not house["tail"].readiness.confirms  # it gives what is said there to the head


def test_what_is_in_flight_is_in_the_view(house):
    house.slow = {("head", "middle")}
    house.say("head")
    house.clock.advance(0)
    assert house["head"].view().notes == ("in flight here: 1 entries",)
    assert [house[position].view().role for position in THREE] == list(THREE)


# --- another configuration of the same epoch ---------------------------------------------


def of_another(message):
    return replace(message, identity=9)


@pytest.mark.parametrize(
    ("position", "sender", "message"),
    [
        ("tail", "head", Read(1, 1, queries.encode(queries.Present()))),
        ("head", "tail", Submit(1, "x.1", (Submission(1, b"x"),))),
        ("head", "middle", Ack(1, 2)),
        ("tail", "middle", StateDigest(1, 1, b"another")),
    ],
)
def test_nothing_is_done_for_one_whose_configuration_is_another(house, position, sender, message):
    house.slow = {("middle", "tail"), ("tail", "middle"), ("head", "middle")}
    house.say("head")
    house.clock.advance(0)
    before = house.committed(), house.disks[position].last
    with lines_logged() as lines:
        for _ in range(2):
            house[position].receive(sender, of_another(message))
            house.clock.advance(0)
    assert (house.committed(), house.disks[position].last) == before
    assert not any(isinstance(sent, Answer) for sent in house.wires[position, sender])
    text = f"{position}: ALARM: epoch 1 has two configurations: {sender} has another"
    assert [line for _, line in lines] == [text]


def test_nobody_of_another_configuration_copies_or_joins(house):
    last = house.disks["tail"].last
    house.wires["tail", "newcomer"] = wire = deque()
    for message in (Fetch(1, NEWCOMER, last), Synced(1, NEWCOMER, last)):
        house["tail"].receive("newcomer", of_another(message))
    house.clock.advance(0)
    assert not any(isinstance(sent, Copied) for sent in wire)


def test_a_node_gives_what_it_proposes_an_identity():
    house = House("head")
    house.new_identity = lambda: 77
    house.start("head")
    house.run()
    assert house["head"].configuration.identity == 77


# --- states that differ ------------------------------------------------------------------


def test_each_node_tells_the_next_what_it_has_come_to(brisk):
    told = []
    brisk.kept = lambda sender, to, message: (
        isinstance(message, StateDigest) and (told.append((sender, to, message)) or False)
    )
    for _ in range(2):
        brisk.say("head")
    brisk.run()
    assert sorted((sender, to, message.seq) for sender, to, message in told) == [
        ("head", "middle", 3),
        ("middle", "tail", 3),
    ]
    assert len({message.digest for *_, message in told}) == 1
    assert brisk.disks["head"].id_of(3).digest in told[0][2].digest


def test_nodes_that_come_to_different_states_part(brisk):
    for _ in range(2):
        brisk.say("head")
    brisk.run()
    assert brisk.disks["tail"].newest_checkpoint().seq == 3
    brisk["tail"].receive("middle", StateDigest(1, 3, b"another"))
    brisk.run()
    alarm = "ALARM: the state as of entry 3 differs from that of middle: this is a bug"
    assert brisk.distrusted == [("tail", "middle", alarm)]
    assert brisk["tail"].running


def test_digests_that_agree_or_of_which_nothing_is_known_are_fine(brisk):
    for _ in range(8):
        brisk.say("head")
        brisk.run()
    brisk["tail"].receive("middle", StateDigest(1, 3, b"long ago"))
    assert all(node.running for node in brisk.nodes.values())
    assert brisk.disks["head"].newest_checkpoint() == brisk.disks["tail"].newest_checkpoint()


def test_a_checkpoint_is_written_over_several_turns_as_of_where_it_was_begun():
    house = founded(
        "head",
        limits=NodeLimits(pace=CheckpointPace(40, records_at_once=1, checkpoint_seconds=0.0)),
    )
    storage, state = house.disks["head"], house["head"].state
    for number in range(70):
        session = f"{house['head'].me.origin}.{number}"
        house["head"].submit(commands.Login(session, f"user{number}", "", b""), list)
    house.run()
    assert storage.newest_checkpoint().seq == 40
    fresh = ChatState.restored(storage.newest_checkpoint().header, storage.records())
    assert (fresh.applied, len(fresh.accounts)) == (40, 39)
    assert len(state.accounts) == 70


def test_a_digest_that_comes_before_the_own_is_compared_when_that_is_there(brisk):
    brisk["tail"].receive("middle", StateDigest(1, 3, b"another"))
    brisk.run()
    for _ in range(2):
        brisk.say("head")
    with lines_logged() as lines:
        brisk.run()
    assert [text for _, text in lines if "ALARM: the state as of entry 3 differs" in text]


def test_a_node_starts_from_its_checkpoint():
    house = founded("head", limits=NodeLimits(pace=CheckpointPace(checkpoint_entries=3)))
    for _ in range(6):
        house.say("head")
        house.run()
    assert house.disks["head"].newest_checkpoint().seq == 6
    image = house["head"].state.image()
    house.kill("head")
    house.start("head")
    assert house["head"].state.applied == 6
    house.run()
    assert house["head"].state.applied == 8  # the seventh, and the opening of the second epoch
    assert house["head"].state.image() != image


# --- one guard ---------------------------------------------------------------------------


class Broken(House):
    """Nodes that note why they failed."""

    def __init__(self, *founding):
        super().__init__(*founding)
        self.failures = []

    def fail(self, error):
        self.failures.append(error)


@pytest.mark.parametrize(
    ("broken", "input_"),
    [
        ("submit", lambda node: node.submit(commands.Nothing())),
        ("ask", lambda node: node.ask(queries.Present(), print)),
        ("unlinked", lambda node: node.unlinked("middle")),
        ("full", lambda node: node.full("middle", full=True)),
        ("copy_full", lambda node: node.copy_full("middle", full=True)),
    ],
)
def test_a_bug_in_what_any_input_does_stops_the_node(monkeypatch, broken, input_):
    house = Broken(*THREE)
    house.start("head")

    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(house["head"]._engine, broken, fail)
    input_(house["head"])
    assert [type(error) for error in house.failures] == [ZeroDivisionError]
    assert not house["head"].running
    input_(house["head"])  # a node that has stopped takes nothing in
    assert len(house.failures) == 1
