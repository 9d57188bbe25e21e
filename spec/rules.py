"""What is explored: worlds in which all rules hold, and for each rule left out, where it shows."""

from spec.world import Bounds

ALONE = (
    "time passes: A and C are cut off from each other",
    "B dies",
    "A finds that B refuses",
    "A dies",
)
"""The head goes on alone, without its successor, which is dead, and its tail, which it misses."""

ALONE_AFTER_JOIN = (
    *("C copies from B", "A pings C", "B receives Propose from A", "C copies from B"),
    *("A receives Voted from B", "time passes: A is cut off", "A pings B"),
    *("B dies", "A finds that B refuses", "C receives Decided from A", "A dies"),
)
"""C joins A and B. A goes on alone as above; B dies before it hears that C has joined."""

LOST = (
    *("A writes", "A forwards to B", "B forwards to C"),
    *("A dies and loses an entry", "B dies and loses an entry", "C dies"),
    *("A starts", "B starts", "C starts"),
)
"""All die, and only the tail's disk has kept the last entry."""

WORLDS: dict[str, Bounds] = {
    "two die": Bounds(("? dies", "? dies", "? writes")),
    "two die for good": Bounds(("? dies", "? dies"), helped=False),
    "one comes back": Bounds(("? dies, ? starts",), epochs=4),
    "the head comes back": Bounds(("A dies, A starts", "B dies")),
    "the head is cut off": Bounds(("time passes: A is cut off",), epochs=2),
    "the head is cut off, then the tail dies": Bounds(
        ("time passes: A is cut off, C dies",), epochs=2
    ),
    "the head is cut off, and a voter dies": Bounds(
        ("B dies",),
        first=(
            *("time passes: A is cut off", "B ticks", "C receives Propose from B"),
            *("B receives Voted from C", "C dies"),
        ),
        epochs=2,
    ),
    "the head hears a late answer": Bounds(
        ("C answers A late, time passes: A is cut off, C dies",), epochs=2
    ),
    "the middle is cut off, then the head dies": Bounds(
        ("time passes: B is cut off, A dies",), epochs=2
    ),
    "the tail is cut off": Bounds(("time passes: C is cut off",), epochs=2),
    "head and middle are cut off, one after the other": Bounds(
        first=(
            *("time passes: A is cut off", "B ticks", "C receives Propose from B"),
            *("B receives Voted from C", "time passes: B is cut off"),
        ),
        epochs=2,
    ),
    "the first two are cut off from each other": Bounds(
        ("time passes: A and B are cut off from each other",), epochs=2
    ),
    "two are cut off from each other": Bounds(("time passes: *", "? writes"), chain="AB"),
    "two miss each other, then one dies": Bounds(
        ("time passes: nobody hears anybody", "? dies"), chain="AB"
    ),
    "three miss each other, one after the other": Bounds(
        first=(
            *("time passes: A is cut off", "B ticks", "C receives Propose from B", "C pings B"),
            *("time passes: nobody hears anybody", "A answers B late", "C dies"),
        ),
        epochs=2,
    ),
    "one has gone on alone": Bounds(
        ("B starts, time passes: all hear each other",), first=ALONE, epochs=2
    ),
    "one has gone on alone, after a join": Bounds(
        ("B starts, time passes: all hear each other",), first=ALONE_AFTER_JOIN, members="AB"
    ),
    "a learner joins": Bounds(("? writes",), members="AB"),
    "the head loses an entry": Bounds(("A writes", "A dies and loses an entry, A starts")),
    "two lose an entry": Bounds(first=LOST),
    "the power fails": Bounds(
        ("A writes", "? loses power", "? loses power"), epochs=1, heals=False, powerless=True
    ),
    "the power fails and comes back": Bounds(
        ("A writes", "? loses power, ? starts"), chain="AB", powerless=True
    ),
    "a resume is given up": Bounds(
        ("A dies, A starts",), first=("A writes", "A dies", "A starts"), epochs=1
    ),
    "a disk is set back": Bounds(
        ("A dies, B dies, C dies, C starts on its disk of the first day, B starts",), heals=False
    ),
    "a disk is copied": Bounds(("a starts", "B dies, B starts"), chain="AB", copies="A"),
    "a proposer's disk is copied": Bounds(
        first=(
            *("time passes: nobody hears anybody", "a starts", "B pings A", "A ticks"),
            *("B receives Propose from A", "A receives Voted from B"),
            *("A and B lose their connection", "A dies"),
        ),
        copies="A",
        epochs=2,
    ),
    "a machine stands still": Bounds(
        ("time passes for all but ?, ? dies",), chain="AB", refusal_is_death=False
    ),
    "the tail's machine stands still": Bounds(
        ("time passes for all but C",), refusal_is_death=False, epochs=2
    ),
    "a wall refuses": Bounds(
        ("? and ? lose their connection", "? and ? lose their connection", "? writes"),
        walls=("AB", "AC"),
    ),
    "a stranger lies": Bounds(
        (
            *("? and ? lose their connection", "? and ? lose their connection"),
            *("a stranger tells ? that it is the next ?",) * 2,
        ),
        epochs=2,
    ),
    "there are two chains": Bounds(
        ("time passes for all but B, A dies, A starts",), chain="AB", epochs=2, torn=True
    ),
}
"""Small enough to be explored wholly, most of them in seconds."""

BUGS: dict[str, tuple[int, str]] = {
    "CountsFromTheAnswer": (1, "the head hears a late answer"),
    "ForgetsWhomItTriedToExclude": (1, "the middle is cut off, then the head dies"),
    "ForgetsItsOwnTries": (1, "the middle is cut off, then the head dies"),
    "BelievesStaleProofs": (2, "the head is cut off, then the tail dies"),
    "ProvesNothing": (2, "two die for good"),
    "BelievesRefusalsAnywhere": (2, "a wall refuses"),
    "BelievesWhatIsSaid": (2, "a stranger lies"),
    "half_is_enough": (4, "two are cut off from each other"),
    "VotesOnHearsay": (5, "the head is cut off, then the tail dies"),
    "ForgetsVotes": (5, "the head is cut off, and a voter dies"),
    "WorksWhileItVotes": (5, "a learner joins"),
    "WorksWhileItLetsLearnersIn": (5, "a learner joins"),
    "VotesTwice": (5, "head and middle are cut off, one after the other"),
    "KeepsItsProposalWhenItVotes": (5, "three miss each other, one after the other"),
    "BelievesCopiesOfProposers": (6, "a proposer's disk is copied"),
    "NeverAborts": (6, "the head is cut off"),
    "DecidesWithoutVotes": (7, "the first two are cut off from each other"),
    "AdoptsWhenItVotes": (7, "the head is cut off, then the tail dies"),
    "IgnoresIdentities": (7, "there are two chains"),
    "GivesNoIdentity": (7, "there are two chains"),
    "WaitsForDeadProposers": (8, "two die for good"),
    "DropsVotesOfDeadProposers": (8, "two die"),
    "TakesAnyDiskForTheNewest": (9, "a disk is set back"),
    "LetsLearnersInTooEarly": (10, "a learner joins"),
    "NeverWedges": (11, "one has gone on alone"),
    "TakesAnyLifeForTheMember": (11, "one has gone on alone, after a join"),
    "ResumesWithoutOne": (11, "one has gone on alone"),
    "ResumesWithoutCopying": (11, "the head loses an entry"),
    "CountsVotesOfThoseThatLack": (11, "two lose an entry"),
    "ResumesWithoutActiveVotes": (11, "two miss each other, then one dies"),
    "CopiesPastItsPredecessor": (11, "a resume is given up"),
    "TakesCopiesForMembers": (11, "a disk is copied"),
    "CommitsWithoutTheWord": (12, "the power fails"),
    "PassesTheWordOn": (12, "the power fails"),
    "WorksWithoutLease": (13, "the tail is cut off"),
    "ProvesDeathsAllTheSame": (14, "a machine stands still"),
    "ReadsByTheLeaseAllTheSame": (14, "the tail's machine stands still"),
}
"""For each planted bug, the rule that it leaves out, and the world in which it shows."""

UNSEEN: dict[str, tuple[int, str]] = {
    "BlamesOthersForItsPauses": (3, "a pause is a figure: how long a node was busy"),
    "NeverWithdraws": (10, "how long a join may take is a figure"),
    "BelievesItsOwnClocks": (14, "a process has no second clock here"),
    "HearsNoClocks": (14, "pings carry no clocks here"),
    "StampsItsOwnTime": (14, "entries have no time here"),
}
"""Planted bugs in membership that the explorer cannot see: the rule, and why."""
