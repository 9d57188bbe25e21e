"""The decision: the proposer's write of the next configuration, once *all vote* (rule 7)."""

from collections.abc import Iterable, Iterator

from chainchat.chain.configuration import Configuration
from chainchat.chain.effects import Excluded, Send, Tell
from chainchat.chain.membership.pinging import Pinging
from chainchat.chain.membership.seals import Patience
from chainchat.chain.membership.state import Output
from chainchat.chain.messages import Decided, Vote
from chainchat.chain.record import Status


class Deciding(Pinging):
    """The decision, and what follows from it."""

    def _electors(self, vote: Vote) -> set[str]:
        """*all vote*: return whose votes are needed besides the proposer's."""
        base = self.configuration.positions or self.founding
        return {
            member.position
            for member in vote.configuration.members
            if member.position in base and member.position != vote.proposer.position
        }

    def _decide(self, now: float) -> Iterator[Output]:
        """Write the record, which is the decision; only then tell anybody."""
        assert self._proposal is not None
        configuration = self._proposal.configuration
        others = {*self.configuration.positions, *configuration.positions} - {self.me.position}
        yield from self._adopt(configuration)
        for position in sorted(others):
            yield Send(position, Decided(configuration))
        yield from self._greet(now)

    def _adopt(self, configuration: Configuration) -> Iterator[Output]:
        was_member = self.status in (Status.ACTIVE, Status.WEDGED)
        left_out = set(self.configuration.positions) - set(configuration.positions)
        self._proposal = self._sealing = self._declined = None
        self._voters = set()
        self._tried = set()
        self._complaints = set()
        self._compared = set()
        self._patience, self._declines = Patience(self._timing), {}
        self._not_yet = None
        self._set_back = False
        yield self._save(configuration=configuration)
        self._first_ping = self.evidence.newest_nonce + 1
        self.evidence.forget_all_but({*configuration.lives})
        self.clocks.forget_all_but({*configuration.lives})
        if self.status is not Status.ACTIVE:
            self.evidence.lose_confirmations()
        yield Tell(f"{configuration}: {configuration.why}")
        yield from self._note_departures(left_out)
        if was_member and self.status is Status.LEARNER:
            yield Excluded()

    def _note_departures(self, left_out: Iterable[str]) -> Iterator[Output]:
        now = self._busy or 0.0
        for position in sorted(left_out):
            self._departures.left(position, now)
            reason = self._departures.reason(position, now)
            if reason and self.status is Status.ACTIVE:
                yield Tell(f"{position} {reason}")
