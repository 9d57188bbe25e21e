"""Planted bugs in what a tail answers, and in what it lends; see ``planted``."""

from chainchat.chain.configuration import Member, Role
from chainchat.chain.reads import Reads
from tests.simulation.world import TracedNode


class ReadsWithoutLease(Reads):
    """A tail answers, whether or not the chain went on without it."""

    @property
    def _holds_lease(self):
        return lambda: True

    @_holds_lease.setter
    def _holds_lease(self, _) -> None:
        pass


class LendsWithoutLease(TracedNode):
    """A tail lets learners copy, whether or not the chain went on without it."""

    def _may_lend(self, learner: Member) -> bool:
        tail = self.configuration.role(self.me.position) in (Role.TAIL, Role.ONLY)
        return super()._may_lend(learner) or (tail and self.taking_part)


class LendsToAnybodyBeforeAResume(TracedNode):
    """Who has voted for a resume lets learners copy its log, which may lack its end."""

    def _may_lend(self, learner: Member) -> bool:
        return super()._may_lend(learner) or self._membership.lends_for_resume


class LendsBeforeItsEpochHasBegun(TracedNode):
    """Where no lease counts, a tail lends before it has applied an entry of its epoch."""

    def _may_lend(self, learner: Member) -> bool:
        opened = self._replica.opened
        self._replica.opened = opened or not self._refusal_is_death
        may = super()._may_lend(learner)
        self._replica.opened = opened
        return may


class PassesBarriersAtOnce(TracedNode):
    """A tail without a lease answers, though no entry has come through the chain since."""

    def _wait_for(self, barrier: int) -> None:
        self._reads.passed(barrier)
        self.wake()


class TakesAnyLogForWhole(TracedNode):
    """A tail answers, and lets learners copy, before it has applied an entry of its epoch."""

    def _holds_lease(self) -> bool:
        return self._membership.holds_lease(self._read_clocks())


class AnswersBeforeApplying(Reads):
    """A tail answers at once, though it has not applied yet what it has committed."""

    @property
    def _next_in_line(self):
        return next((asked for asked in self._queue if asked.sender not in self._paused), None)
