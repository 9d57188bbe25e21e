"""The next configurations to propose, or None; ``proposing`` says when."""

from collections.abc import Callable, Collection, Mapping

from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.membership.changes import may_shrink
from chainchat.chain.membership.evidence import Evidence
from chainchat.chain.messages import Pong


def shrunk(base: Configuration, me: Member, evidence: Evidence, now: float) -> Configuration | None:
    """Return the chain without those that may be excluded, if ``me`` is to propose it (rule 4)."""
    out = [m for m in base.members if m != me and evidence.may_exclude(m.life, now)]
    stay = tuple(member for member in base.members if member not in out)
    if not out or stay[0].life != me.life:
        return None
    clean = [member.life for member in out if evidence.is_clean(member.life)]
    if not may_shrink(base, [member.life for member in stay], clean):
        return None
    reasons = ", ".join(f"{m.position}: {evidence.reason(m.life, now)}" for m in out)
    return base.followed_by(stay, f"without {reasons}; seen by {me.position}")


Replaces = Callable[[Member, Member], bool]
"""Is the second a known later life of the first (rule 11)?"""


def resumed(
    base: Configuration,
    founding: tuple[str, ...],
    me: Member,
    pongs: Mapping[str, Pong],
    replaces: Replaces,
) -> Configuration | None:
    """Return the members' present lives, if all are there, some new, and ``me`` first (rule 11).

    On a base without members, they found the chain (rule 0).
    """
    positions = base.positions or founding
    if positions[0] != me.position:
        return None
    present = present_lives(base, me, pongs, replaces)
    members = tuple(present[position] for position in positions if position in present)
    if len(members) < len(positions) or [m.life for m in members] == list(base.lives):
        return None
    if not base.members:
        return base.followed_by(members, "founded")
    back = [member.position for member in members if not base.has(member.life)]
    return base.followed_by(members, f"resumed: {', '.join(back)} restarted, all are back")


def present_lives(
    base: Configuration, me: Member, pongs: Mapping[str, Pong], replaces: Replaces
) -> dict[str, Member]:
    lives = {}
    for position, pong in pongs.items():
        old, new = base.member(position), pong.member
        if pong.configuration == base and (old is None or old == new or replaces(old, new)):
            lives[position] = new
    return {**lives, me.position: me}


def extended(
    base: Configuration,
    pongs: Mapping[str, Pong],
    asked: Collection[Member],
    last_choice: Member | None,
) -> Configuration | None:
    """Return the chain with a learner that has caught up as the new tail (rule 10).

    Args:
        asked: learners proposed already.
        last_choice: taken if there is no other.
    """
    learners = [
        pong.member
        for pong in pongs.values()
        if pong.configuration == base
        and not base.has_node(pong.member.id)
        and (pong.caught_up or pong.member in asked)
    ]
    if not learners:
        return None
    learner = min(learners, key=lambda one: (one not in asked, one == last_choice))
    why = f"{learner.position} has caught up and joins"
    return base.followed_by((*base.members, learner), why)
