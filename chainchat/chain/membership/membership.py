"""Membership: how one configuration follows another.

A node proposes the next configuration, the members that stay vote for it, and the proposer's write
is the decision. There are four changes:

- *shrink*: the chain goes on without members that are dead or silent (a splice);
- *join*: a learner that holds the whole log becomes the new tail (the chain is extended);
- *resume*: the members' present lives replace earlier ones, after a restart;
- *found*: a resume from nothing, by the founding positions.

The parts are ``state``, ``histories``, ``pinging``, ``deciding``, ``joining``, ``voting`` and
``proposing``; each uses only those before it. This module has every input, and keeps *source* (rule
2) and *newest* (rule 9).
"""

from collections.abc import Iterator

from chainchat.chain.configuration import Address, Configuration, Member
from chainchat.chain.effects import Send, Tell
from chainchat.chain.entries import EntryId
from chainchat.chain.membership.proposing import Proposing
from chainchat.chain.membership.state import Copy, Output, Seal
from chainchat.chain.messages import Abort, Decided, Declined, Newest, Ping, Pong, Propose, Voted
from chainchat.chain.record import Status

__all__ = ["Copy", "Membership", "Output", "Received", "Seal"]

Received = Ping | Pong | Propose | Voted | Decided | Abort | Declined


class Membership(Proposing):
    """The inputs of one life of one node."""

    # --- time and connections

    def tick(self, now: float) -> Iterator[Output]:
        self._notice_pause(now)
        if self._began is None:
            self._began = now
        yield from self._tell_of_clocks(now)
        for position in self._others():
            yield self._ping(position, now)
        sealing = self._sealing
        if sealing is not None and now - sealing.since > sealing.seconds:
            yield from self._unseal(sealing, now)
        vote = self.record.vote
        if vote is not None and vote.proposer.position != self.me.position:
            yield from self._send_vote(vote)
        yield from self._act(now)

    def linked(
        self, position: str, member: Member, now: float, its: Newest | None = None
    ) -> Iterator[Output]:
        """Begin a connection; what its other end says of itself proves nothing."""
        self._notice_pause(now)
        self._presence.linked(position, member)
        self._compared = {one for one in self._compared if one[0] != position}
        yield from self._compare_held(position, its or Newest())
        yield self._ping(position, now)
        yield from self._act(now)

    def reached(
        self, position: str, address: Address, member: Member, now: float
    ) -> Iterator[Output]:
        """*source*: note that this node dialled ``address``, and ``member`` answered.

        A later life or another disk at a member's own address proves it dead (rule 2).
        """
        self._notice_pause(now)
        before = self._whereabouts.reached(position, address, member.life)
        old = self.configuration.member(position)
        if old is not None and old.address == address and old.life == before:
            later = member.id != old.id or member.incarnation > old.incarnation
            if later:
                self.evidence.died(old.life, now)
        yield from self._release(position, address, member)
        yield from self._act(now)

    def _release(self, position: str, address: Address, member: Member) -> Iterator[Output]:
        """At the founding: drop a vote for a proposer whose disk is gone.

        If the proposer had decided, any node that heard of that tells this one; nothing was
        confirmed without this node.
        """
        vote = self.record.vote
        if vote is None or self.status is not Status.FOUNDING:
            return
        proposer = vote.proposer
        there = (proposer.position, proposer.address) == (position, address)
        if there and proposer.id != member.id:
            yield Tell(f"{position} has another disk now than the one this node voted for")
            yield self._save(vote=None)

    def unlinked(self, position: str) -> None:
        """Note the end of a connection, which proves nothing."""
        self._presence.unlinked(position)
        if position not in {*self.founding, *self._known, *self.configuration.positions}:
            self._presence.forget(position)
            self._whereabouts.forget(position)

    def refused(self, position: str, host: str, port: int, now: float) -> Iterator[Output]:
        """Note that a port that may be ``position``'s refused a connection.

        *source*: the member is dead if the port is its own, this node has reached exactly that life
        there, and their connection ended. Otherwise, a stranger or a firewall may be at work.
        """
        self._notice_pause(now)
        self._presence.refused(position)
        member, address = self.configuration.member(position), (host, port)
        if member is None or position == self.me.position or address != member.address:
            return
        if not self._whereabouts.is_at_home(member):
            return
        linked = self._presence.link(position)
        if linked is not None and linked.address == member.address:
            return
        if not self.evidence.is_dead(member.life):
            yield Tell(f"{position} is dead: its port refuses connections")
        self.evidence.died(member.life, now)
        yield from self._act(now)

    # --- messages

    def receive(self, sender: str, message: Received, now: float) -> Iterator[Output]:
        self._notice_pause(now)
        match message:
            case Ping():
                self._presence.pinged(sender, now)
                if self._is_of_interest(sender, message.member):
                    self._compare_clocks(sender, message, now, asked=None)
                    self.evidence.heard(message.member.life, now)
                yield Send(sender, self._pong(message, now))
            case Pong():
                yield from self._answered(sender, message, now)
            case Propose():
                yield from self._consider(sender, message, now)
            case Voted():
                yield from self._count(sender, message, now)
            case Decided():
                yield from self._learn(message.configuration, now)
            case Abort():
                if self.record.vote == message.vote and self._speaks_for(message.vote.proposer):
                    yield self._save(vote=None)
            case Declined():
                if self._proposal == message.vote:
                    yield from self._was_declined(message, now)

    def _answered(self, sender: str, pong: Pong, now: float) -> Iterator[Output]:
        self._presence.answered(sender, pong)
        to_me = pong.answers == self.me.life and self._is_of_interest(sender, pong.member)
        if to_me:
            asked = self.evidence.sent(pong.nonce)
            self._compare_clocks(sender, pong, now, asked=asked)
        if to_me and pong.confirms and self.status is Status.ACTIVE:
            self.evidence.confirmed(pong.member.life, pong.nonce, now)
        yield from self._compare_histories(sender, pong)
        yield from self._notice_older_disk(sender, pong)
        yield from self._learn(pong.configuration, now)
        yield from self._act(now)

    def _learn(self, configuration: Configuration, now: float) -> Iterator[Output]:
        """*newest*: go on to a configuration that was decided."""
        mine = self.configuration
        if configuration.epoch == mine.epoch and configuration != mine:
            yield from self.complain(
                f"ALARM: epoch {mine.epoch} has two configurations: {mine} and {configuration}"
            )
        if configuration.epoch > mine.epoch:
            if self._was_set_back(configuration):
                self._set_back = True
                yield from self.complain(
                    f"ALARM: {configuration} has a vote of this node that is not on its disk, "
                    f"which ends with {mine}: was a backup restored? It takes no part"
                )
                return
            yield from self._adopt(configuration)
            yield from self._greet(now)
            yield from self._act(now)

    def synced(self, learner: Member, last: EntryId, now: float) -> Iterator[Output]:
        """Let a learner in whose disk has the whole log (rule 10)."""
        self._notice_pause(now)
        sealing = self._sealing
        if sealing is None or learner != sealing.learner or last != self.own_log.last:
            return
        self._sealing = None
        if sealing.vote.proposer != self.me:
            yield from self._vote(sealing.vote)
        elif sealing.vote == self._proposal:
            yield from self._decide(now)
