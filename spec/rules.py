"""What is explored: worlds where all rules hold, and for each rule one where it is missing."""

from spec.world import Bounds

SMALL = {
    "those that are up go on": Bounds(kills=2, helped=False),
    "two die": Bounds(kills=2, writes=1),
    "one dies and starts again": Bounds(kills=1, restarts=1, epochs=4),
    "time passes": Bounds(waits=1, epochs=2),
}
"""Worlds that are small enough for the tests."""

A, B, C = ("A cut off",), ("B cut off",), ("C cut off",)

BUGS: dict[str, Bounds] = {
    "BelievesStaleProofs": Bounds(waits=1, cuts=A, kills=1, victims="B"),
    "CountsFromTheAnswer": Bounds(waits=1, cuts=A, slow=1, kills=1, victims="B", epochs=2),
    "ForgetsWhomItTriedToExclude": Bounds(waits=1, cuts=B, kills=1, victims="A", epochs=2),
    "ForgetsItsOwnTries": Bounds(waits=1, cuts=B, kills=1, victims="A", epochs=2),
    "VotesOnHearsay": Bounds(waits=1, cuts=A, kills=1, epochs=2),
    "ForgetsVotes": Bounds(waits=1, cuts=A, kills=2, victims="BC", restarts=1, epochs=2),
    "NeverWedges": Bounds(kills=2, victims="AB", restarts=1),
    "TakesAnyLifeForTheMember": Bounds(kills=2, victims="A", restarts=2, epochs=4),
    "ResumesWithoutOne": Bounds(kills=2, victims="AB", restarts=1),
    "ResumesWithoutCopying": Bounds(kills=1, lost_ends=1, restarts=1, writes=1),
    "CountsVotesOfThoseThatLack": Bounds(kills=2, lost_ends=2, restarts=2, writes=1),
    "ResumesWithoutActiveVotes": Bounds(kills=1, restarts=1),
    "CopiesPastItsPredecessor": Bounds(kills=1, lost_ends=1, restarts=1, writes=1),
    "ProvesNothing": Bounds(kills=2, helped=False),
    "WaitsForDeadProposers": Bounds(kills=2, helped=False),
    "ProvesDeathsAllTheSame": Bounds(
        kills=1, victims="B", waits=1, frozen=1, epochs=2, refusal_is_death=False
    ),
    "ReadsByTheLeaseAllTheSame": Bounds(waits=1, frozen=1, writes=1, refusal_is_death=False),
    "BelievesRefusalsAnywhere": Bounds(walls=("AB", "AC"), drops=2, writes=1),
    "BelievesWhatIsSaid": Bounds(drops=2, strangers=2, writes=1, epochs=2),
    "TakesCopiesForMembers": Bounds(kills=1, copies=1),
    "BelievesCopiesOfProposers": Bounds(kills=1, copies=1, waits=1),
    "TakesAnyDiskForTheNewest": Bounds(kills=2, victims="AB", restores=1, writes=1),
    "WorksWhileItVotes": Bounds(waits=1, writes=1),
    "WorksWhileItLetsLearnersIn": Bounds(chain="AB", kills=1, restarts=1, writes=1),
    "LetsLearnersInTooEarly": Bounds(chain="AB", kills=1, restarts=1, writes=1),
    "VotesTwice": Bounds(waits=1, epochs=2),
    "DecidesWithoutVotes": Bounds(waits=1, writes=1, epochs=2),
    "KeepsItsProposalWhenItVotes": Bounds(waits=1, epochs=2),
    "DropsVotesOfDeadProposers": Bounds(kills=2, epochs=2),
    "AdoptsWhenItVotes": Bounds(kills=1, waits=1, epochs=2),
    "WorksWithoutLease": Bounds(waits=1, writes=1),
    "NeverAborts": Bounds(waits=1, epochs=2),
    "half_is_enough": Bounds(chain="AB", waits=1, writes=1),
    "IgnoresIdentities": Bounds(waits=1, epochs=2),
}
"""For each planted bug that breaks a rule, the bounds within which it is looked for."""
