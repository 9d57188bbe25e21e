"""How much a node does, sends or keeps at once."""

from msgspec import Struct


class ProtocolLimits(Struct, frozen=True):
    """One node's limits; others may have others.

    Attributes:
        apply_octets: of entries applied before the clock is read again: two dozen logins.
        unapplied: sequence numbers that a tail commits ahead of applying; then writes wait.
        recent_entries: in memory until applied; a slower node reads them from the log.
        copied_octets: likewise of copied entries, by ``log.size``.
        near_entries: a learner that lacks no more has caught up.
        answer_octets: of entries in an answer to a learner, by ``log.size``.
        checkpoint_worth: a learner that lacks more sequence numbers is offered one.
        checkpoint_patience: seconds for which it is kept for a learner that copies no more of it.
        loan_patience: likewise the log: to install a checkpoint of millions of accounts takes some.
    """

    apply_octets: int = 4_000
    unapplied: int = 50_000
    recent_entries: int = 50_000
    copied_octets: int = 8_000_000
    near_entries: int = 1_000
    answer_octets: int = 1_000_000
    checkpoint_worth: int = 40_000
    checkpoint_patience: float = 10.0
    loan_patience: float = 300.0


USUAL_PROTOCOL = ProtocolLimits()
