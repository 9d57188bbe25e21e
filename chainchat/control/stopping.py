"""Whether the chain would go on without a node, for ``may-stop``."""

from chainchat.chain.membership.changes import may_shrink
from chainchat.node.status import NodeStatus

NO_MEMBERS = ("learner",)


def objection(status: NodeStatus, *, refusal_is_death: bool) -> str:
    """Say why the chain would not go on without this node, and what to do; empty if it would.

    ``may_shrink``, by which the others splice a member out, decides, as if this node's port refused
    connections (if ``refusal_is_death``).
    """
    me, members = status.node, status.configuration.members
    others = [member for member in members if member.position != me]
    if status.standing in NO_MEMBERS:
        return ""
    if not status.readiness.serving or (status.readiness.reason and not status.readiness.confirms):
        return f"{status.readiness.reason or 'the chain does not serve'}: mend this first"
    if not others:
        return f"{me} is the only member, and nobody else could go on: start another node first"
    away = [member.position for member in others if member.position in status.silent]
    if away:
        return f"{', '.join(away)} is away: wait until it is back, or the chain goes on without it"
    own = [member.life for member in members if member.position == me]
    if not may_shrink(
        status.configuration,
        [member.life for member in others],
        own if refusal_is_death else (),
    ):
        rest = ", ".join(member.position for member in others)
        return (
            f"with refusal-is-death = no, {rest} would wait for {me}: "
            "start another node first, or force one to go on alone afterwards"
        )
    return ""
