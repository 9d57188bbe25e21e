"""Pings: who lives, who confirms this node, and what time it is (rules 1, 13, 14).

Whom a node has *tried* to exclude it never confirms again. When a clock is found to have stood
still, earlier proofs count for nothing (*no pause*).
"""

from collections.abc import Iterable, Iterator

from chainchat.chain.configuration import Life, Member
from chainchat.chain.effects import Send, Tell
from chainchat.chain.membership.histories import Histories
from chainchat.chain.membership.state import Output
from chainchat.chain.messages import ClockReading, Ping, Pong
from chainchat.chain.record import Status


class Pinging(Histories):
    """The pings and answers of one life."""

    def _others(self) -> Iterable[str]:
        callers = self._presence.callers
        positions = dict.fromkeys((*self.founding, *self.configuration.positions, *callers))
        return [position for position in positions if position != self.me.position]

    def _ping(self, position: str, now: float) -> Send:
        nonce, clocks = self.evidence.next_ping(now), ClockReading(now, self._wall())
        epoch, identity = self.configuration.epoch, self.configuration.identity
        return Send(position, Ping(self.me, nonce, epoch, clocks, identity))

    def _greet(self, now: float) -> Iterator[Output]:
        """Ping at once: before new members confirm, none can die *clean*."""
        for member in self.configuration.members:
            if member.life != self.me.life:
                yield self._ping(member.position, now)

    def _pong(self, ping: Ping, now: float) -> Pong:
        return Pong(
            self.me,
            ping.nonce,
            self.configuration,
            self._confirms(ping),
            self.own_log.last,
            self.own_log.caught_up,
            self.own_log.progress,
            self.own_log.low,
            ping.member.life,
            ClockReading(now, self._wall()),
            self.own_log.committed,
            self.record.vote.configuration.epoch if self.record.vote is not None else 0,
        )

    def _is_of_interest(self, sender: str, member: Member) -> bool:
        return self.configuration.has(member.life) or self._presence.link(sender) == member

    def _confirms(self, ping: Ping) -> bool:
        if self.status is not Status.ACTIVE:
            return False
        epoch = self.configuration.epoch
        if self.configuration.is_another(ping.epoch, ping.identity):
            return False  # of another chain
        if epoch > ping.epoch and not self.configuration.has(ping.member.life):
            return False
        return not (epoch + 1 > ping.epoch and ping.member.life in self._tried)  # *tried*

    def holds_lease(self, now: float) -> bool:
        """Return whether no chain can have begun without this member yet (rule 13).

        Every other member is clean or fresh. If no clock may be relied on, only a sole member can
        say this.
        """
        self._notice_pause(now)
        if not self.evidence.refusal_is_death and len(self.configuration.members) > 1:
            return False
        voting = self.record.vote is not None
        return (
            self.status is Status.ACTIVE
            and not voting
            and all(
                self.evidence.is_clean(life) or self.evidence.is_fresh(life, now)
                for life in self.configuration.lives
                if life != self.me.life
            )
        )

    # --- pauses and clocks

    def _notice_pause(self, now: float) -> None:
        if not self.clocks.look(now, self._wall()):
            self._doubt("this machine's clocks do not agree: it was paused, or one was set")
        self._excuse_silence(now)

    def _excuse_silence(self, now: float) -> None:
        before, self._busy = self._busy, now
        if before is not None:
            missed = now - before - self._timing.pause
            if missed > 0:
                self.evidence.stood_still(missed, now)

    def _compare_clocks(
        self, sender: str, message: Ping | Pong, now: float, *, asked: float | None
    ) -> None:
        if not self.clocks.heard(message.member.life, message.clocks, now, asked):
            self._doubt(f"this machine or that of {sender} was paused")

    def _doubt(self, why: str) -> None:
        """*no pause*: drop earlier proofs."""
        self.evidence.doubt()
        self._doubts = why

    def _tell_of_clocks(self, now: float) -> Iterator[Output]:
        if self._doubts:
            yield Tell(f"{self._doubts}; what was known of the others is asked for again")
            self._doubts = ""
        odd = self.odd_clock(now)
        if bool(odd) != self._clock_told:
            self._clock_told = bool(odd)
            text = odd or "this machine's clock agrees with those of the others again"
            yield Tell(text, alarm=self._clock_told)

    def odd_clock(self, now: float) -> str:
        if self.status is not Status.ACTIVE:
            return ""
        ahead = self.clocks.ahead(self._other_lives, now, self._wall()) / 1000
        if not ahead:
            return ""
        how = "ahead of" if ahead > 0 else "behind"
        return f"this machine's clock is {abs(ahead):.1f} s {how} those of the others"

    def time(self, now: float) -> int:
        return self.clocks.time(self._other_lives, now, self._wall())

    @property
    def _other_lives(self) -> list[Life]:
        """The other members' lives, cached since each batch needs them."""
        configuration = self.configuration
        if self._lives_of is not configuration:
            self._lives_of = configuration
            self._lives = [life for life in configuration.lives if life != self.me.life]
        return self._lives
