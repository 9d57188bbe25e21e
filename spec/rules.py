"""What is explored: one world in which all rules hold, and for each rule one that shows it missing.

Each planted bug of the simulator that breaks a rule of membership is explored in the smallest world
in which breaking that rule does harm.
"""

from spec.world import Bounds

SMALL = {
    "two die": Bounds(kills=2, writes=1),
    "one dies and starts again": Bounds(kills=1, restarts=1, epochs=4),
    "time passes": Bounds(waits=1, epochs=2),
}
"""Worlds that are small enough for the tests."""

BUGS: dict[str, Bounds] = {
    "BelievesStaleProofs": Bounds(waits=1, kills=1, writes=1),
    "CountsFromTheAnswer": Bounds(waits=1, slow=1, kills=1, epochs=2),
    "ForgetsWhomItTriedToExclude": Bounds(waits=1, kills=1),
    "ForgetsItsOwnTries": Bounds(waits=1, kills=1),
    "VotesOnHearsay": Bounds(waits=2, deaf=True, kills=1),
    "ForgetsVotes": Bounds(waits=1, kills=2, restarts=2),
    "NeverWedges": Bounds(kills=2, restarts=1, writes=1),
    "TakesAnyLifeForTheMember": Bounds(kills=2, restarts=2, epochs=4, writes=1),
    "ResumesWithoutOne": Bounds(kills=2, restarts=1),
    "ResumesWithoutCopying": Bounds(kills=1, lost_ends=1, restarts=1, writes=1),
    "CountsVotesOfThoseThatLack": Bounds(kills=2, lost_ends=2, restarts=2, writes=1),
    "ResumesWithoutActiveVotes": Bounds(kills=1, restarts=1),
    "CopiesPastItsPredecessor": Bounds(kills=2, lost_ends=1, restarts=2, writes=1),
    "ProvesNothing": Bounds(kills=2),
    "WaitsForDeadProposers": Bounds(kills=2),
    "ProvesDeathsAllTheSame": Bounds(kills=1, waits=1, frozen=1, refusal_is_death=False),
    "ReadsByTheLeaseAllTheSame": Bounds(waits=1, frozen=1, writes=1, refusal_is_death=False),
    "BelievesRefusalsAnywhere": Bounds(walls=("AB", "AC"), kills=0),
    "BelievesWhatIsSaid": Bounds(drops=2, strangers=2),
    "TakesCopiesForMembers": Bounds(kills=1, copies=1),
    "BelievesCopiesOfProposers": Bounds(kills=1, copies=1, waits=1),
    "TakesAnyDiskForTheNewest": Bounds(kills=2, restores=1, restarts=1, writes=1),
    "WorksWhileItVotes": Bounds(waits=1, writes=1),
    "WorksWhileItLetsLearnersIn": Bounds(chain="AB", spares="", kills=1, restarts=1, writes=1),
    "LetsLearnersInTooEarly": Bounds(chain="AB", kills=1, restarts=1, writes=1),
    "VotesTwice": Bounds(waits=1),
    "DecidesWithoutVotes": Bounds(waits=1),
    "KeepsItsProposalWhenItVotes": Bounds(waits=1),
    "DropsVotesOfDeadProposers": Bounds(kills=2),
    "AdoptsWhenItVotes": Bounds(waits=1),
    "WorksWithoutLease": Bounds(waits=1, writes=1),
    "NeverAborts": Bounds(waits=1),
    "half_is_enough": Bounds(chain="AB", waits=1),
    "IgnoresIdentities": Bounds(waits=1),
}
"""For each planted bug the bounds within which it is found."""
