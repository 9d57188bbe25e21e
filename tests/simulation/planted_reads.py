"""Planted bugs in what a tail answers, and in what it lends; see ``planted``."""

from chainchat.chain.configuration import Member, Role
from chainchat.chain.engine import Engine
from chainchat.chain.reads import Barrier, Reads


class ReadsWithoutLease(Reads):
    """A tail answers, whether or not the chain went on without it."""

    @property
    def _holds_lease(self):
        return lambda: True

    @_holds_lease.setter
    def _holds_lease(self, _) -> None:
        pass


class LendsWithoutLease(Engine):
    """A tail lets learners copy, whether or not the chain went on without it."""

    def _may_lend(self, learner: Member) -> bool:
        tail = self.configuration.role(self.me.position) in (Role.TAIL, Role.ONLY)
        return super()._may_lend(learner) or (tail and self.active)


class LendsToAnybodyBeforeAResume(Engine):
    """Who has voted for a resume lets learners copy its log, which may lack its end."""

    def _may_lend(self, learner: Member) -> bool:
        return super()._may_lend(learner) or self.membership.lends_for_resume


class LendsBeforeItsEpochHasBegun(Engine):
    """Where no lease counts, a tail lends before it has applied an entry of its epoch."""

    def _may_lend(self, learner: Member) -> bool:
        opened = self.replica.opened
        self.replica.opened = opened or not self.membership.evidence.refusal_is_death
        may = super()._may_lend(learner)
        self.replica.opened = opened
        return may


class PassesBarriersAtOnce(Reads):
    """A tail without a lease answers, though no entry has come through the chain since."""

    def turn(self, go_on):
        for effect in super().turn(go_on):
            if isinstance(effect, Barrier):
                self.passed(effect.number)
            else:
                yield effect


class TakesAnyLogForWhole(Engine):
    """A tail answers, and lets learners copy, before it has applied an entry of its epoch."""

    def _holds_lease(self) -> bool:
        return self.membership.holds_lease(self._now())


class AnswersBeforeApplying(Reads):
    """A tail answers at once, though it has not applied yet what it has committed."""

    @property
    def _next_in_line(self):
        return next((asked for asked in self._queue if asked.sender not in self._full), None)
