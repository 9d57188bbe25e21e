"""How long a tail takes no entries, to let a learner in (rule 10).

Nobody can write meanwhile, so a seal is short. Each further one is twice as long, or a slow disk
would never get in.
"""

from msgspec import Struct

from chainchat.chain.configuration import Member
from chainchat.chain.messages import Vote
from chainchat.chain.timing import JOIN_PAUSE_PER_SEAL, Timing


class Sealing(Struct, frozen=True):
    """A tail takes no entries, because of ``vote``, for so many seconds."""

    vote: Vote
    since: float
    seconds: float = 0.0

    @property
    def learner(self) -> Member:
        return self.vote.configuration.members[-1]

    @property
    def reason(self) -> str:
        return f"it did not have the rest on its disk within {self.seconds:.2f} s"


class Patience:
    """How long a tail waits for each learner, in one configuration."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._seconds: dict[str, float] = {}

    def seconds(self, position: str) -> float:
        return self._seconds.get(position, self._timing.first_seal)

    def grows(self, position: str) -> None:
        twice = 2 * self.seconds(position)
        self._seconds[position] = min(twice, self._timing.longest_seal)

    def pause(self, sealed: float) -> float:
        waited = min(sealed, self._timing.longest_seal)
        return self._timing.join_pause + JOIN_PAUSE_PER_SEAL * waited
