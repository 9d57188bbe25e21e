"""What membership keeps on a node's disk."""

from collections.abc import Iterable
from enum import Enum

from msgspec import Struct, field
from msgspec.structs import replace

from chainchat.chain.configuration import Configuration, Life, Member
from chainchat.chain.messages import Vote


class Status(Enum):
    """The present life's standing in the newest configuration known here."""

    FOUNDING = "founding"
    """No configuration yet."""
    ACTIVE = "active"
    WEDGED = "wedged"
    """An earlier life is a member: the chain has to be resumed."""
    LEARNER = "learner"
    """No life of this node is a member."""


class Record(Struct, frozen=True):
    """The record, replaced as a whole.

    Attributes:
        id: of the data; chosen once for an empty disk.
        alone_in: the epoch in which this was the only member, if others have gone on all the same
            (there may be two histories), or 0.
    """

    id: str
    incarnation: int
    founding: tuple[str, ...] = ()
    configuration: Configuration = field(default_factory=Configuration)
    vote: Vote | None = None
    alone_in: int = 0

    def followed_by(self, configuration: Configuration) -> "Record":
        """Return the record with the next configuration and no vote."""
        held, alone_in = self.configuration, self.alone_in
        if configuration.has_node(self.id):
            alone_in = 0
        elif len(held.members) == 1 and held.has_node(self.id):  # who alone could have decided it
            alone_in = held.epoch
        return replace(self, configuration=configuration, vote=None, alone_in=alone_in)

    def status(self, life: Life) -> Status:
        if not self.configuration.members:
            return Status.FOUNDING
        if self.configuration.has(life):
            return Status.ACTIVE
        return Status.WEDGED if self.configuration.has_node(self.id) else Status.LEARNER


def was_set_back(node_id: str, held: Configuration, decided: Configuration, *, voted: bool) -> bool:
    """*not set back*: return whether a disk lacks what it must have written before a decision.

    A member of ``decided`` that was one before had its vote on disk before anybody heard of the
    decision (*all vote*). Two needed no vote: a learner that became the tail; and the proposer, if
    the other member may have completed the proposal. Before the founding, nothing can be missing.

    Args:
        held: the disk's newest configuration.
        voted: its vote is for ``decided``.
    """
    if not held.members or held.epoch >= decided.epoch or not decided.has_node(node_id) or voted:
        return False
    joined = decided.members[-1].id == node_id and not held.has_node(node_id)
    proposed = decided.members[0].id == node_id and len(decided.members) > 1
    return not (decided.epoch == held.epoch + 1 and (joined or proposed))


def forced_alone(
    record: Record, me: Member, epoch: int, fenced: Iterable[str], identity: int = 0
) -> Record:
    """Return the record of a node that an operator tells to go on alone (rule 15).

    Args:
        epoch: far above any that the others can have.
        fenced: positions that are off, by the operator's word.

    Raises:
        ValueError: another member is not fenced.
    """
    others = [m.position for m in record.configuration.members if m.id != me.id]
    missing = [position for position in others if position not in fenced]
    if missing:
        raise ValueError(f"{', '.join(missing)} may be alive: name every other member as fenced")
    why = f"forced to go on alone; an operator has fenced {', '.join(fenced) or 'nobody'}"
    return record.followed_by(Configuration(epoch, (me,), why, identity))
