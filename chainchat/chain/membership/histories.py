"""Two histories: a chain has one, and a node that finds another says so.

Nodes compare entries and configurations on each new connection, with the first Pong in each
configuration, and before a resume (*one history*, rule 11). Members that committed different
entries part. A disk that lacks what it has written takes no part (*not set back*, rule 9).
"""

from collections.abc import Iterator

from chainchat.chain.configuration import Configuration
from chainchat.chain.effects import Distrust, Tell
from chainchat.chain.entries import EntryId
from chainchat.chain.membership.state import Output, State
from chainchat.chain.messages import Newest, Pong
from chainchat.chain.record import was_set_back


class Histories(State):
    """The comparison of what this node and others hold."""

    @property
    def held(self) -> Newest:
        configuration = self.configuration
        return Newest(configuration.epoch, configuration.identity, self.own_log.committed)

    def _compare_held(self, sender: str, its: Newest) -> Iterator[Output]:
        """*one history*: find out if a newly linked node is of another chain."""
        if self.configuration.is_another(its.epoch, its.identity):
            yield from self.complain(
                f"ALARM: epoch {its.epoch} has two configurations: {sender} has another"
            )
        held = self._held_in_place_of(its.committed)
        if held != its.committed:
            yield from self.complain(
                f"ALARM: {sender} and this node have two histories: there, in epoch {its.epoch}, "
                f"{its.committed} was committed, and here, in {self.configuration}, {held}"
            )

    def _held_in_place_of(self, theirs: EntryId) -> EntryId | None:
        """Return what is committed here instead of ``theirs``; ``theirs`` if nobody can tell."""
        log = self.own_log
        known = log.beginning.seq <= theirs.seq <= log.committed.seq or not theirs.seq
        return log.id_of(theirs.seq) if known else theirs

    def _compare_histories(self, sender: str, pong: Pong) -> Iterator[Output]:
        """*one history*: compare commits; the node that knows more can tell."""
        if (sender, pong.member.life) in self._compared:
            return
        self._compared.add((sender, pong.member.life))
        theirs, mine = pong.committed, self.own_log.committed
        held = self._held_in_place_of(theirs)
        if held == theirs:
            return
        text = (
            f"{sender} and this node have two histories: there, in {pong.configuration}, "
            f"{theirs} was committed, and here, in {self.configuration}, {held}, "
            f"and what follows up to {mine}"
        )
        both = self.configuration.has(self.me.life) and self.configuration.has(pong.member.life)
        if both and pong.configuration == self.configuration:
            # What a node says of itself stops no other node.
            yield Distrust(sender, f"ALARM: {text}")
        else:
            yield from self.complain(f"ALARM: {text}")

    # --- logs, before a resume

    def _is_apart(self, last: EntryId) -> bool:
        """*one history*: return whether a log that ends with ``last`` is no part of this one."""
        if last.is_beyond(self.own_log.last):
            return False
        return last.seq < self.own_log.beginning.seq or self.own_log.id_of(last.seq) != last

    def _alarm_about(self, position: str, last: EntryId) -> str:
        held = self.own_log.id_of(last.seq)
        has = f" and has {held}" if held is not None else ""
        if last.seq < self.own_log.beginning.seq:
            return (
                f"ALARM: the log of {position} ends with {last}, before this one begins, after "
                f"{self.own_log.beginning}: nobody can tell any more whether the two were one. "
                f"Give {position} an empty folder of data, and it copies a checkpoint"
            )
        return (
            f"ALARM: {position} has another history than this node: its log has {last}, "
            f"this one ends with {self.own_log.last}{has}. They cannot be in one chain"
        )

    def apart(self, position: str, theirs: EntryId) -> Iterator[Tell]:
        yield from self.complain(self._alarm_about(position, theirs))

    # --- disks that were set back

    def _was_set_back(self, configuration: Configuration) -> bool:
        vote = self.record.vote
        voted = vote is not None and vote.configuration == configuration
        return was_set_back(self.me.id, self.configuration, configuration, voted=voted)

    def _notice_older_disk(self, sender: str, pong: Pong) -> Iterator[Output]:
        """*not set back*: a member that answers after a decision has voted for it."""
        mine, its = self.configuration, pong.configuration
        voted = pong.voted == mine.epoch
        late = pong.answers == self.me.life and pong.nonce >= self._first_ping
        if late and was_set_back(pong.member.id, its, mine, voted=voted):
            yield from self.complain(
                f"ALARM: {sender} was set back to an older disk: it is a member of {mine}, and has "
                f"neither that nor its vote for it, but {its}"
            )
