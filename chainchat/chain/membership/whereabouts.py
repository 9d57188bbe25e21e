"""Who answers at the addresses that this node dials.

*source*: anybody can claim to be any life, and a disk can be copied. So only a life that *answered*
when this one dialled counts, and a member's later life only where the member is.
"""

from collections.abc import Mapping

from chainchat.chain.configuration import Address, Life, Member

MOST_ADDRESSES = 8
"""Addresses of a position, which is dialled at two or three."""

UNREACHED = "was not reached by this node yet"
"""The end of an objection that may soon be gone."""


class Whereabouts:
    """Who answered at which address."""

    def __init__(self, places: Mapping[str, Address]) -> None:
        self._places = places
        self._reached: dict[str, dict[Address, Life]] = {}

    def reached(self, position: str, address: Address, life: Life) -> Life | None:
        """Note that ``life`` answered at ``address``; return who did before."""
        known = self._reached.setdefault(position, {})
        before = known.pop(address, None)
        known[address] = life
        if len(known) > MOST_ADDRESSES:
            del known[next(iter(known))]
        return before

    def forget(self, position: str) -> None:
        self._reached.pop(position, None)

    def is_at_home(self, member: Member) -> bool:
        """Return whether exactly this life answered last at its address."""
        return self._reached.get(member.position, {}).get(member.address) == member.life

    def objection(self, old: Member, new: Member) -> str:
        """Say why ``new`` cannot be a later life of ``old`` (rule 11); empty if it can.

        At another address, ``new`` may be a copy of the disk.
        """
        position = old.position
        if new.id != old.id:
            return f"{position} has another disk"
        if new.incarnation < old.incarnation:
            return f"{position} is older than it was; was a backup restored?"
        if not self._is_its_place(old, new.address):
            return (
                f"{position} is a member at {_shown(old.address)}, and this is at "
                f"{_shown(new.address)}: a copy of its data, or it has moved; then correct "
                "chain.ini everywhere and restart"
            )
        return ""

    def unreached(self, new: Member) -> str:
        if self.is_at_home(new):
            return ""
        return f"{new.position} at {_shown(new.address)} {UNREACHED}"

    def is_later_life(self, old: Member, new: Member) -> bool:
        return new == old or (self._is_its_place(old, new.address) and self.is_at_home(new))

    def _is_its_place(self, old: Member, address: Address) -> bool:
        return address in (old.address, self._places.get(old.position, old.address))


def _shown(address: Address) -> str:
    return f"{address[0]}:{address[1]}"
