"""Openings that set a world up on purpose: orders of events that chance would hardly find.

Each is an order in which a chain that lacks one of the rules of membership does harm, with a tie
left open here and there: the seed decides it. While the rule is kept, most of them do not come off,
and end early.

In each, A, B and C are the members, or are about to found the chain. Where the text says that one
suspects another, it has not heard it for ``suspect-after``, because the way between them is cut.
"""

from chainchat.chain.messages import Forward, Pong, Propose, Voted
from tests.simulation.stage import FOUNDED_BY, Adopts, GoOn, Plot, Sends, Stage, Story, Votes
from tests.simulation.world import SUSPECT_AFTER


def hearsay(stage: Stage) -> Plot:
    """B suspects A and asks C, who still hears A. If C votes, it dies before A learns of it.

    A takes C for clean then, and goes on alone; so does B.
    """
    a, b, c = stage.members
    stage.hold(a, b)
    yield stage.moment(0.0, 0.15)
    stage.hold(b, a)
    if (yield Sends(c, Voted, b)):
        yield stage.moment(0.0, 0.03)
        stage.kill(c)
        yield 1.5 * SUSPECT_AFTER
        stage.start(c)


def second_thoughts(stage: Stage) -> Plot:
    """A and C suspect B. A asks C, then hears B again and answers it. Then A dies.

    C completes what A proposed. If A confirmed that it had not tried to exclude B, B takes it for
    clean and goes on alone.
    """
    a, b = stage.random.sample((stage.head, stage.middle), 2)
    c = stage.tail
    stage.cut(b, c)
    stage.hold(a, b)
    yield stage.moment(0.0, 0.2)
    stage.hold(b, a)
    if not (yield Sends(a, Propose, c)):
        return
    stage.hold(c, a)
    if not (yield Votes(c, within=SUSPECT_AFTER / 2)):
        return
    stage.mend(b, a)
    yield Sends(a, Pong, b, within=0.3)
    yield stage.moment(0.0, 0.1)
    stage.kill(a)
    stage.let(c, a)
    yield 1.2 * SUSPECT_AFTER
    stage.start(a)


def two_askers(stage: Stage) -> Plot:
    """A and B suspect each other, and both ask C, who hears each only after the other.

    C votes for A, who decides. C does not hear of that, comes to suspect A or sees it die, and then
    B asks.
    """
    a, b = stage.random.sample((stage.head, stage.middle), 2)
    c = stage.tail
    stage.cut(a, b)
    stage.hold(b, c)
    if not (yield Votes(c)):
        return
    stage.hold(a, c)
    if stage.random.random() < 0.5:
        yield stage.moment(1.0, 1.2) * SUSPECT_AFTER
    else:
        yield stage.moment(0.0, 0.1)
        stage.kill(a)
        stage.let(a, c)
        yield stage.moment(0.0, 0.5)
    stage.let(b, c)
    yield SUSPECT_AFTER / 2
    stage.start(a)


def kept_proposal(stage: Stage) -> Plot:
    """B suspects A and asks C; then it hears A again, suspects C, and votes for what A proposes.

    A has suspected C all the time, and C A. Before B hears what A decided, the vote of C arrives.
    """
    a, b, c = stage.members
    stage.cut(a, c)
    stage.hold(a, b)
    if not (yield Sends(b, Propose, c)):
        return
    stage.hold(c, b)
    suspects_c = stage.now + stage.moment(1.05, 1.15) * SUSPECT_AFTER
    if not (yield Votes(c, within=0.3)):
        return
    # Of all that A says on a new connection, its proposal has to come before any Pong.
    stage.part(a, b)
    stage.let(a, b)
    if not (yield Sends(a, Propose, b, within=0.3)):
        return
    stage.hold(a, b)
    # What B sees first when it wakes is the proposal. Most of its pause it does not count.
    yield suspects_c - stage.now - 0.15
    stage.pause(b, 0.4)
    stage.let(a, b)
    yield Sends(b, Voted, a)
    stage.hold(a, b)
    yield stage.moment(0.0, 0.1)
    stage.let(c, b)
    yield SUSPECT_AFTER / 2


def forgotten_vote(stage: Stage) -> Plot:
    """B and C suspect A. C votes for what B proposes, and then most of them die.

    When all are back they resume; but C still owes B its vote.
    """
    a, b, c = stage.members
    stage.cut(a, b)
    stage.cut(a, c)
    if not (yield Sends(b, Propose, c)):
        return
    stage.hold(c, b)
    if not (yield Votes(c, within=SUSPECT_AFTER / 2)):
        return
    stage.kill(*stage.random.choice(((a, c), (c, a, b))))
    for one, other in ((a, b), (a, c), (b, c)):
        stage.mend(one, other)
    yield stage.moment(0.0, 0.2)
    stage.start(a, b, c)
    yield SUSPECT_AFTER


def gone_on_alone(stage: Stage) -> Plot:
    """A suspects C. B dies, and A, who saw that, goes on alone. B comes back, and finds only C."""
    a, b = stage.random.sample((stage.head, stage.middle), 2)
    c = stage.tail
    stage.cut(a, c)
    yield stage.moment(0.85, 1.15) * SUSPECT_AFTER
    stage.kill(b)
    yield stage.moment(0.1, 0.4) * SUSPECT_AFTER
    stage.cut(a, b)
    stage.start(b)
    yield 1.5 * SUSPECT_AFTER


def all_die(stage: Stage) -> Plot:
    """Everybody dies, once or twice, and one or two come back with less on their disks than before.

    What one of two has lost, the other may have or not.
    """
    for _ in range(stage.random.choice((1, 2, 2))):
        stage.kill(*stage.random.sample(stage.members, 3))
        stage.back_up(*stage.members)
        yield stage.moment(0.0, 0.1)
        for position in stage.random.sample(stage.members, stage.random.choice((1, 2))):
            mishap = stage.random.choice((stage.lie, stage.lie, stage.restore))
            mishap(position)
        stage.start(*stage.members)
        yield stage.moment(0.5, 1.5) * SUSPECT_AFTER


def two_lost_ends(stage: Stage) -> Plot:
    """All die, and the disks of A and B have lost their ends. B votes for a resume before C does.

    A copies what C has more, and B does not hear of that at once. The chain has to wait for it.
    """
    a, b, c = stage.members
    stage.kill(*stage.random.sample(stage.members, 3))
    stage.lie(a)
    stage.lie(b)
    stage.start(*stage.members)
    if not (yield Sends(a, Propose, c, within=SUSPECT_AFTER)):
        return
    stage.hold(c, a)
    yield stage.moment(0.2, 0.4) * SUSPECT_AFTER
    stage.hold(a, b)
    stage.let(c, a)
    yield stage.moment(0.2, 0.4) * SUSPECT_AFTER
    stage.let(a, b)
    yield SUSPECT_AFTER / 2


def last_of_three(stage: Stage) -> Plot:
    """Two processes die, at once or one after the other, and the last goes on, well at once."""
    a, b, c = stage.random.sample(stage.members, 3)
    stage.kill(a)
    match stage.random.choice(("votes", "is asked", "soon")):
        case "votes":
            yield Votes(stage.random.choice((b, c)), within=0.1)
        case "is asked":
            asker, asked = (p for p in stage.members if p != a)
            yield Sends(asker, Propose, asked, within=0.1)
        case _:
            yield stage.moment(0.0, 0.1)
    yield stage.random.choice((0.0, stage.moment(0.0, 0.02)))
    stage.kill(b)
    went_on = yield GoOn((c,), without=(a, b), within=SUSPECT_AFTER / 2)
    stage.require(went_on, f"{a} and {b} are dead, and {c} does not go on")
    stage.start(a, b)


def one_falls_silent(stage: Stage) -> Plot:
    """One hears nobody and is heard by nobody, and the other two go on."""
    a = stage.random.choice(stage.members)
    others = tuple(position for position in stage.members if position != a)
    for other in others:
        stage.cut(a, other)
    went_on = yield GoOn(others, without=(a,), within=1.5 * SUSPECT_AFTER)
    stage.require(went_on, f"{a} is silent, and {' and '.join(others)} do not go on")
    yield stage.moment(0.0, 0.5)


def last_word(stage: Stage) -> Plot:
    """C confirms something to its own clients, and dies before B hears of it.

    B is the tail now, and for a while hears nothing from A: it has what was confirmed, but does not
    know that it was.
    """
    a, b, c = stage.members
    stage.hold(c, b)
    yield stage.moment(0.05, 0.3)
    stage.kill(c)
    if not (yield Adopts(b)):
        return
    stage.hold(a, b)
    yield stage.moment(0.3, 0.6)
    stage.let(a, b)
    stage.start(c)


def late_lender(stage: Stage) -> Plot:
    """A dies with entries that only B has. B and C go on, C is cut off, and B goes on alone.

    Now these entries are confirmed. A comes back and finds only C, a tail that lacks them. If that
    lends its log, A cuts them off its own.
    """
    a, b, c = stage.members
    stage.hold(b, c)
    yield stage.moment(0.05, 0.3)
    stage.kill(a)
    stage.part(b, c)
    stage.let(b, c)
    if not (yield Adopts(c)):
        return
    stage.cut(b, c)
    if not (yield GoOn((b,), without=(a, c), within=1.5 * SUSPECT_AFTER)):
        return
    stage.cut(a, b)
    stage.start(a)
    yield SUSPECT_AFTER


def two_learners(stage: Stage) -> Plot:
    """A dies. It comes back and could join, but loses the tail. Another learner comes, and joins.

    It has to, though the head hears A and A believes that it has caught up.
    """
    a = stage.random.choice(stage.members)
    b, c = (position for position in stage.members if position != a)
    (spare,) = stage.spares
    stage.kill(spare)
    stage.kill(a)
    if not (yield GoOn((b, c), without=(a,), within=SUSPECT_AFTER)):
        return
    stage.start(a)
    if not (yield Sends(b, Propose, c)):
        return
    stage.cut(a, c)
    yield stage.moment(0.0, 0.5)
    stage.start(spare)
    joined = yield GoOn((b, c, spare), without=(a,), within=3 * SUSPECT_AFTER)
    stage.require(joined, f"{spare} does not join, though {a} cannot")


def learner_and_resume(stage: Stage) -> Plot:
    """All die, and the tail's disk had lied. A learner has more now than the tail.

    It comes back, too, and asks the tail before that has been given the end of its log again.
    """
    _, b, c = stage.members
    (spare,) = stage.spares
    stage.kill(*stage.members, spare)
    stage.lie(c)
    stage.start(*stage.members)
    if not (yield Votes(c)):
        return
    stage.hold(b, c)
    stage.start(spare)
    yield stage.moment(0.6, 0.9) * SUSPECT_AFTER
    stage.let(b, c)
    yield SUSPECT_AFTER / 2


def new_disk(stage: Stage) -> Plot:
    """Two stand still for a moment; the third dies meanwhile and starts on an empty disk.

    No port refuses them. Another disk at its address proves its death as well, and nobody has to
    wait for its silence.
    """
    a = stage.random.choice(stage.members)
    others = tuple(position for position in stage.members if position != a)
    asleep = SUSPECT_AFTER / 2
    for other in others:
        stage.pause(other, asleep)
    stage.kill(a)
    stage.replace_disk(a)
    stage.start(a)
    soon = asleep + SUSPECT_AFTER / 3
    went_on = yield Adopts(others[0], within=soon)
    stage.require(went_on, f"another disk is at the address of {a}, and the others do not go on")
    if stage.spares:
        return  # one of them may be back before it
    joined = yield GoOn((*others, a), without=(), within=SUSPECT_AFTER)
    stage.require(joined, f"{a} does not come back with an empty disk")


def resume_given_up(stage: Stage) -> Plot:
    """A dies with entries that B never got, and comes back. What it asks of B comes late.

    C votes for the resume, and copies what it may. Then A dies again, and its next life knows
    nothing of the vote. So C goes on as if nothing had been, with B.
    """
    a, b, c = stage.members
    stage.hold(a, b)
    if not (yield Sends(a, Forward, b)):
        return
    yield stage.moment(0.0, 0.05)
    stage.hold(b, c)
    stage.kill(a)
    stage.let(a, b)
    yield stage.moment(0.05, 0.1)
    stage.start(a)
    if not (yield Sends(a, Propose, c, within=0.6)):
        return
    stage.hold(a, b)
    if not (yield Votes(c, within=0.2)):
        return
    yield stage.moment(0.02, 0.06)
    stage.kill(a)
    stage.start(a)
    yield stage.moment(0.3, 0.6)
    stage.let(b, c)
    if stage.random.random() < 0.5:
        yield stage.moment(0.0, 0.2)
        stage.kill(c)
    yield SUSPECT_AFTER / 2
    stage.let(a, b)
    stage.start(c)


def taken_and_locked(stage: Stage) -> Plot:
    """C dies. What A forwards then and what it proposes arrive at B in one go, and B is locked.

    So B has taken entries that it has not persisted. A dies in a way that proves nothing, and when
    all are back they resume: B copies these entries.
    """
    a, b, c = stage.members
    stage.hold(a, b)
    if not (yield Sends(a, Forward, b)):
        return
    stage.kill(c)
    if not (yield Sends(a, Propose, b, within=0.1)):
        return
    stage.hold(b, a)
    yield stage.moment(0.02, 0.04)
    stage.let(a, b)
    if not (yield Votes(b, within=0.1)):
        return
    stage.hold(a, b)
    yield stage.moment(0.75, 0.85) * SUSPECT_AFTER
    stage.kill(a)
    stage.mend(a, b)
    stage.start(a, c)
    yield SUSPECT_AFTER


def all_stand_still(stage: Stage) -> Plot:
    """All are paused for longer than it takes to suspect somebody, and one wakes after the other.

    They go on as they were.
    """
    epoch, seconds = stage.epoch, stage.moment(1.1, 2.5) * SUSPECT_AFTER
    for position in stage.members:
        stage.pause(position, seconds + stage.moment(0.0, 0.3) * SUSPECT_AFTER)
    yield seconds + SUSPECT_AFTER
    stage.require(stage.epoch == epoch, "who was paused himself has blamed somebody for it")


def frozen(stage: Stage) -> Plot:
    """A machine is stopped with its clocks. The others go on without it, and die before it wakes.

    By the clock of its timeouts it heard them a moment ago. Its wall clock was set meanwhile.
    """
    yield from _frozen(stage, wall=False)


def frozen_unawares(stage: Stage) -> Plot:
    """The same, and no clock tells: refusals have to prove nothing."""
    yield from _frozen(stage, wall=True)


def _frozen(stage: Stage, *, wall: bool) -> Plot:
    a = stage.random.choice(stage.members)
    b, c = (position for position in stage.members if position != a)
    seconds = 4 * SUSPECT_AFTER
    stage.freeze(a, seconds, wall=wall)
    wakes = stage.now + seconds
    if not (yield GoOn((b, c), without=(a,), within=2.5 * SUSPECT_AFTER)):
        return
    yield stage.moment(0.1, 0.4)
    stage.kill(b, c)
    yield wakes - stage.now + stage.moment(0.2, 0.5)
    stage.start(b, c)
    yield SUSPECT_AFTER


def frozen_and_called(stage: Stage) -> Plot:
    """The same, but A hears them once more when it wakes: by their clocks, it was stopped.

    What they have decided, it has not heard. (If it were the tail, it could answer before that.)
    """
    a = stage.random.choice((stage.head, stage.middle))
    b, c = (position for position in stage.members if position != a)
    seconds = 4 * SUSPECT_AFTER
    stage.freeze(a, seconds, wall=True)
    wakes = stage.now + seconds
    if not (yield GoOn((b, c), without=(a,), within=2.5 * SUSPECT_AFTER)):
        return
    for other in (b, c):
        stage.part(a, other)
    yield wakes - stage.now - 0.01
    if not (yield Sends(a, Pong, b, within=0.1)):
        return
    stage.kill(b, c)
    yield stage.moment(0.2, 0.5)
    stage.start(b, c)
    yield SUSPECT_AFTER


def wall(stage: Stage) -> Plot:
    """Something in between refuses what B dials at A; but A dials B, and all is well. They part.

    B never reached A: that it is refused proves nothing. A, which is the first of the two, goes on.
    """
    b, c = stage.random.sample((stage.middle, stage.tail), 2)
    a = stage.head
    stage.wall(b, a)
    stage.kill(b)
    stage.start(b)
    if not (yield GoOn((a, b, c), without=(), within=2 * SUSPECT_AFTER)):
        return
    stage.kill(c)
    if not (yield GoOn((a, b), without=(c,), within=1.5 * SUSPECT_AFTER)):
        return
    yield stage.moment(0.2, 0.4)
    stage.part(a, b)
    stage.cut(a, b)
    yield 2.0 * SUSPECT_AFTER
    stage.start(c)


def forged_hello(stage: Stage) -> Plot:
    """A stranger says at B that it is the next life of A, and of C, and goes; B is cut off then.

    If B takes them for dead, it goes on alone; so do A and C, which do not hear it.
    """
    b = stage.random.choice(stage.members)
    others = [position for position in stage.members if position != b]
    for other in others:
        stage.forge(b, other)
    for other in others:
        stage.cut(b, other)
    yield 2.0 * SUSPECT_AFTER


def copied_disk(stage: Stage) -> Plot:
    """The disk of A is copied. B and C die, and A goes on alone. The copy meets B and C.

    They miss A, which they do not reach just now. Then they do.
    """
    a, b, c = stage.random.sample(stage.members, 3)
    copy = stage.copy(a)
    stage.kill(b, c)
    if not (yield GoOn((a,), without=(b, c), within=SUSPECT_AFTER)):
        return
    stage.cut(a, b)
    stage.cut(a, c)
    if stage.random.random() < 0.5:  # its port refuses, but the copy is no better for that
        stage.kill(a)
    stage.start(b, c)
    yield 0.2
    stage.start_copy(copy, b, c)
    yield 1.5 * SUSPECT_AFTER
    stage.kill_copy(copy)
    stage.start(a)


def copied_proposer(stage: Stage) -> Plot:
    """A and B leave C behind; B holds its vote, and A goes on alone. A copy of A comes to B.

    The copy knows of no proposal. If B believes that there is none, it goes on with C.
    """
    a, b, c = stage.members
    copy = stage.copy(a)
    stage.cut(a, c)
    stage.cut(b, c)
    if not (yield Sends(b, Voted, a)):
        return
    stage.hold(a, b)
    if not (yield Adopts(a, within=0.3)):
        return
    stage.hold(b, a)
    if not (yield GoOn((a,), without=(b, c), within=1.5 * SUSPECT_AFTER)):
        return
    stage.start_copy(copy, b)
    yield 0.5
    stage.kill_copy(copy)
    stage.mend(b, c)
    yield 2.0 * SUSPECT_AFTER


def older_disk(stage: Stage) -> Plot:
    """C is the last, and confirms something alone. Then all stop, and C gets an old backup.

    Nobody has what it confirmed but its newest disk, which its operator puts back when C says so.
    """
    a, b, c = stage.random.sample(stage.members, 3)
    stage.kill(c)
    stage.back_up(c)
    yield stage.moment(0.05, 0.2)
    stage.start(c)
    if not (yield GoOn((a, b, c), without=(), within=2 * SUSPECT_AFTER)):
        return
    stage.kill(a)
    if not (yield GoOn((b, c), without=(a,), within=SUSPECT_AFTER)):
        return
    yield stage.moment(0.2, 0.4)
    stage.kill(b)
    if not (yield GoOn((c,), without=(a, b), within=SUSPECT_AFTER)):
        return
    yield stage.moment(0.1, 0.4)
    stage.kill(c)
    stage.set_back(c)
    stage.start(a, b, c)
    yield 3.0 * SUSPECT_AFTER


def lost_founder(stage: Stage) -> Plot:
    """B or C votes for what A proposes to found, and before A decides, it dies with its disk.

    With an empty disk it knows nothing of that, and has another id: nobody else can give up the
    vote.
    """
    a, b, c = stage.members
    if not (yield Votes(stage.random.choice((b, c)), within=FOUNDED_BY)) or stage.epoch:
        return
    stage.kill(a)
    stage.replace_disk(a)
    yield stage.moment(0.0, 0.5)
    stage.start(a)
    founded = yield GoOn((a, b, c), without=(), within=2 * SUSPECT_AFTER)
    stage.require(founded, f"{a} has lost its disk during the founding, and nothing is founded")


STORIES: tuple[Story, ...] = (
    hearsay,
    second_thoughts,
    two_askers,
    kept_proposal,
    forgotten_vote,
    gone_on_alone,
    all_die,
    two_lost_ends,
    last_of_three,
    one_falls_silent,
    last_word,
    late_lender,
    two_learners,
    learner_and_resume,
    new_disk,
    resume_given_up,
    taken_and_locked,
    all_stand_still,
    frozen,
    frozen_unawares,
    frozen_and_called,
    wall,
    forged_hello,
    copied_disk,
    copied_proposer,
    older_disk,
    lost_founder,
)

AT_THE_FOUNDING: tuple[Story, ...] = (lost_founder,)
"""Those that begin before there is a chain."""

WITH_A_SPARE: tuple[Story, ...] = (two_learners, learner_and_resume)
"""Those that take a fourth node."""

WITHOUT_PROOFS: tuple[Story, ...] = (frozen_unawares,)
"""Those that only a chain survives in which a refusal proves nothing."""

PERHAPS_WITHOUT_PROOFS: tuple[Story, ...] = (late_lender, gone_on_alone, hearsay)
"""Those that come off in such a chain, too."""
