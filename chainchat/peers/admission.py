"""Admission to the chain port: which connections become links.

A claim alone never ends a link that works: anybody can claim to be any node.

- *A position that this side dials* is linked only on connections that this side made. Its claim on
  another one is a hint to dial, and from another address refused. A node that nobody dials
  *knocks* so, ever more rarely, to learn why.
- *A position that dials this side*, and is linked (``claims``): a claim from the same address
  starts a trial, which the new connection wins if the old one ends or stays silent. A claim from
  another address wins if the position belongs there, by the configuration or else ``chain.ini``, or
  if the holder was silent for ``suspect_after``.
- *The membership lane* is opened by the node that dialled the chain lane, with the key from there.
- *The copy lane*: a newer connection replaces the older.
- *A copy of a member's data* (its id, at a wrong address) is refused, with an alarm at both ends.

Silent strangers share a few connections, and so do unknown positions.
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed

from chainchat.chain.configuration import Member
from chainchat.peers.claims import Verdict, judge
from chainchat.peers.dialling import Dialling
from chainchat.peers.directory import Directory, shown
from chainchat.peers.hello import DialsItselfError, NotLinkedError, RefusedHelloError
from chainchat.peers.lanes import COPY, LOOK, MEMBERSHIP
from chainchat.peers.link import Link, Owner
from chainchat.peers.table import Table
from chainchat.peers.trials import Trials


class Admission:
    """Admits incoming connections."""

    def __init__(
        self,
        owner: Owner,
        directory: Directory,
        table: Table,
        dialling: Dialling,
        has_space_for: Callable[[str], bool],
    ) -> None:
        self._owner = owner
        self._directory = directory
        self._table = table
        self._dialling = dialling
        self._has_space_for = has_space_for
        self._strangers: dict[Link, None] = {}
        """Connections not linked yet, oldest first."""
        self._trials = Trials(owner.clock)

    def stop(self) -> None:
        self._strangers = {}
        self._trials.stop()

    def opened(self, link: Link) -> None:
        """Note a stranger; of too many, close the oldest, the untrusted first."""
        self._strangers[link] = None
        if len(self._strangers) > self._owner.tunables.most_strangers:
            oldest = next(iter(self._strangers))
            oldest = next((each for each in self._strangers if not each.trusted), oldest)
            del self._strangers[oldest]
            oldest.close()

    def introduced(self, link: Link) -> None:
        self._strangers.pop(link, None)

    def lost(self, link: Link) -> None:
        self._strangers.pop(link, None)
        self._trials.lost(link)

    def admit(self, link: Link) -> Deferred[None]:
        member = link.member
        position = member.position
        held_by = self._table.member(position)
        if link.lane == LOOK:
            return succeed(None)
        if link.lane == MEMBERSHIP:
            return succeed(None) if self._table.is_beside(link) else fail(NotLinkedError(position))
        if not self._has_space_for(position):
            most = self._owner.tunables.most_unknown
            return _refused(f"is at a position unknown here, as {most} others are")
        if link.lane == COPY:
            if held_by is not None and held_by.address != member.address:
                return _refused(_second(held_by))
            return succeed(None)
        if self._dialling.dials(position):
            return self._dial_back(member, held_by)
        return self._claim(link)

    def _dial_back(self, member: Member, held_by: Member | None) -> Deferred[None]:
        position = member.position
        if held_by is not None and held_by.address != member.address:
            return _refused(_second(held_by))
        if held_by is None:
            if position not in self._directory.dialled:
                self._directory.meet(member)
            known = self._directory.dialled[position]
            if known != member.address:
                return _refused(
                    f"is not at {shown(known)}, where chain.ini has {position}, but at "
                    f"{shown(member.address)!r}"
                )
            self._dialling.dial_now(position)
        me = self._owner.introduction.member.position
        return fail(DialsItselfError(f"{me} dials {position}"))

    def _claim(self, link: Link) -> Deferred[None]:
        member = link.member
        holder = self._table.chain(member.position)
        if holder is None:
            return succeed(None)
        suspect_after = self._owner.introduction.suspect_after
        heard = self._owner.clock.seconds() - holder.heard < suspect_after
        rightful = self._directory.rightful(member.position)
        match judge(member, holder.member, rightful, heard=heard):
            case Verdict.REFUSED:
                return _refused(_second(holder.member))
            case Verdict.TRIAL:
                seconds = self._owner.tunables.trial * suspect_after
                trial = self._trials.begin(link, holder, seconds)
                return trial.addCallback(self._after_trial, link, holder)
            case Verdict.WELCOME:
                link.displaces = holder
        return succeed(None)

    def _after_trial(self, taken: bool, link: Link, holder: Link) -> Deferred[None]:
        if not taken:
            return _refused(f"{_second(holder.member)}, at the same address")
        current = self._table.chain(link.member.position)
        if current not in (None, holder):
            return self.admit(link)  # another claim won during the trial
        link.displaces = current
        return succeed(None)


def _refused(reason: str) -> Deferred[None]:
    return fail(RefusedHelloError(reason))


def _second(holder: Member) -> str:
    position = holder.position
    return f"is a second {position}: {position} is linked from {shown(holder.address)}"
