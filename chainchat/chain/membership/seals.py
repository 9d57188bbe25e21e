"""For how long a tail takes no entries, to let a learner in (rule 10).

While it is sealed nobody can write, so it is for a moment only. But a learner whose disk needs
longer for a write than that would never get in: it is given twice as long each time.
"""

from msgspec import Struct

from chainchat.chain.configuration import Member
from chainchat.chain.messages import Vote
from chainchat.chain.timing import JOIN_PAUSE_PER_SEAL, Timing


class Sealing(Struct, frozen=True):
    """A tail takes no entries, because of a proposal to let a learner in.

    Attributes:
        vote: the proposal.
        since: monotonic seconds.
        seconds: for which it does so at most.
    """

    vote: Vote
    since: float
    seconds: float = 0.0

    @property
    def learner(self) -> Member:
        """The newcomer."""
        return self.vote.configuration.members[-1]

    @property
    def reason(self) -> str:
        """Why the learner is not let in, if the time is over."""
        return f"it did not have the rest on its disk within {self.seconds:.2f} s"


class Patience:
    """How long a tail waits for each learner; in one configuration."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._seconds: dict[str, float] = {}
        """By position."""

    def seconds(self, position: str) -> float:
        """For how long a learner is waited for, that has nearly all."""
        return self._seconds.get(position, self._timing.first_seal)

    def grows(self, position: str) -> None:
        """It took too long."""
        twice = 2 * self.seconds(position)
        self._seconds[position] = min(twice, self._timing.longest_seal)

    def pause(self, sealed: float) -> float:
        """Seconds until somebody is proposed again, after writes have waited for ``sealed``."""
        waited = min(sealed, self._timing.longest_seal)
        return self._timing.join_pause + JOIN_PAUSE_PER_SEAL * waited
