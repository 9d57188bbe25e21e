"""Which of those who connect, and say who they are, may be linked.

Whoever connects can say that it is any node, so a claim alone never ends a link that works:

- *A position that this side dials* is linked only on connections that this side made. If somebody
  comes in and says that it is that position, this is a hint to dial at once, at the address known
  here. At any other address it is refused: a second process, or two different ``chain.ini`` files.
  A node that nobody dials *knocks* like that, ever more rarely, so that it learns why.
- *A position that dials this side*, if it is linked already (``claims``): who comes from the same
  address is on trial. The new connection counts if the old one is lost, or stays silent for the
  time in which it should have pinged more than once; else it is refused. That is fast whenever a
  node has restarted: its system ends the old connection, or answers the next ping on it with a
  reset. Who comes from another address is welcome if the position belongs there, by the
  configuration or else by ``chain.ini``, and the holder of the link is elsewhere; or if the holder
  was silent for ``suspect_after``. Else it is a second process of the position, and refused.
- *The membership lane* is opened by whoever has dialled the chain lane, and knows the key that it
  was answered with there.
- *The copy lane*: a newer connection takes the place of an older one of the same node. It is
  refused to a process at another address while the position is linked.
- *A copy of the data of a member* (its id, at another place than the configuration and
  ``chain.ini`` have it) is refused, with an alarm at both ends, whoever of the two is there first.

Strangers who have said nothing, and positions that nobody here knows, get a few connections between
them.
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
        """``has_space_for`` tells whether a position is known, or one of few that are not."""
        self._owner = owner
        self._directory = directory
        self._table = table
        self._dialling = dialling
        self._has_space_for = has_space_for
        self._strangers: dict[Link, None] = {}
        """Incoming connections that are not linked yet, in the order in which they came."""
        self._trials = Trials(owner.clock)

    def stop(self) -> None:
        """Decide nothing any more."""
        self._strangers = {}
        self._trials.stop()

    def opened(self, link: Link) -> None:
        """Somebody has connected."""
        self._strangers[link] = None
        if len(self._strangers) > self._owner.tunables.most_strangers:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.close()

    def introduced(self, link: Link) -> None:
        """Both ends of a connection know each other."""
        self._strangers.pop(link, None)

    def lost(self, link: Link) -> None:
        """A connection ended."""
        self._strangers.pop(link, None)
        self._trials.lost(link)

    def admit(self, link: Link) -> Deferred[None]:
        """See ``Owner``."""
        member = link.member
        position = member.position
        held_by = self._table.member(position)
        if link.lane == LOOK:
            return succeed(None)
        if link.lane == MEMBERSHIP:
            return succeed(None) if self._table.is_beside(link) else fail(NotLinkedError(position))
        if not self._has_space_for(position):
            most = self._owner.tunables.most_newcomers
            return _refused(f"is at a position unknown here, as {most} others are")
        if link.lane == COPY:
            if held_by is not None and held_by.address != member.address:
                return _refused(_second(held_by))
            return succeed(None)
        if self._dialling.dials(position):
            return self._dial_back(member, held_by)
        return self._claim(link)

    def _dial_back(self, member: Member, held_by: Member | None) -> Deferred[None]:
        """Somebody says that it is a node that this side dials: that is a hint, no more."""
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
        """Somebody says that it is a node that dials this side."""
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
        """The holder of a link has spoken or not while another one claimed its place."""
        if not taken:
            return _refused(f"{_second(holder.member)}, at the same address")
        current = self._table.chain(link.member.position)
        if current not in (None, holder):
            return self.admit(link)  # somebody else was quicker
        link.displaces = current
        return succeed(None)


def _refused(reason: str) -> Deferred[None]:
    return fail(RefusedHelloError(reason))


def _second(holder: Member) -> str:
    """What a process is that claims the position of another one."""
    position = holder.position
    return f"is a second {position}: {position} is linked from {shown(holder.address)}"
