"""How a learner joins: the head proposes it, and the tail sends it the rest (rule 10).

*sealed*: the tail takes no entries until the learner has all; then the tail votes. It declines if
that takes too long.
"""

from collections.abc import Iterator

from chainchat.chain.configuration import Configuration
from chainchat.chain.effects import Send
from chainchat.chain.membership.changes import Change, change
from chainchat.chain.membership.deciding import Deciding
from chainchat.chain.membership.proposals import extended
from chainchat.chain.membership.seals import Sealing
from chainchat.chain.membership.state import Output, Seal
from chainchat.chain.messages import Declined, Vote
from chainchat.chain.record import Status


class Joining(Deciding):
    """Both sides of a join."""

    # --- the head

    def _extended(self, now: float) -> Configuration | None:
        base, held = self.configuration, self._proposal
        if self.status is not Status.ACTIVE or base.head != self.me.position:
            return None
        if len(base.members) >= len(self.founding):
            return None
        if now < self._may_join_at:
            return None
        asked = () if held is None else held.configuration.members
        pongs = self._presence.pongs(now)
        free = {p: pong for p, pong in pongs.items() if not self._departures.wait(p, now)}
        return extended(base, free, asked, self._turned_down)

    def _withdraw(self, now: float) -> None:
        if (
            self._proposal is not None
            and change(self.configuration, self._proposal.configuration) is Change.JOIN
            and now - self._proposed_at > self._timing.join_patience
        ):
            self._give_up(self._proposal, now)

    def _was_declined(self, declined: Declined, now: float) -> Iterator[Output]:
        learner = declined.vote.configuration.members[-1].position
        self._give_up(declined.vote, now, declined.sealed)
        if declined.reason:
            self._declines[learner] = f"not let in yet: {declined.reason}"
        if declined.sealed:
            yield from self.complain(
                f"{self.configuration.tail} does not let {learner} in yet: {declined.reason}"
            )

    def _give_up(self, join: Vote, now: float, sealed: float = 0.0) -> None:
        """Give up for now, and prefer another learner; ``sealed``: seconds that writes waited."""
        self._proposal = None
        self._may_join_at = now + self._patience.pause(sealed)
        self._turned_down = join.configuration.members[-1]

    # --- the tail

    def _seal(self, vote: Vote, now: float) -> Iterator[Output]:
        since = now if self._sealing is None else self._sealing.since
        seconds = self._patience.seconds(vote.configuration.tail)
        self._sealing = Sealing(vote, since, seconds)
        yield Seal(self._sealing.learner)

    def _unseal(self, sealing: Sealing, now: float) -> Iterator[Output]:
        self._patience.grows(sealing.learner.position)
        self._sealing = None
        self._declined = sealing.vote
        declined = Declined(sealing.vote, sealing.reason, sealing.seconds)
        if sealing.vote.proposer == self.me:
            yield from self._was_declined(declined, now)
        else:
            yield Send(sealing.vote.proposer.position, declined)
