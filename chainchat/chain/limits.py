"""Limits of the protocol: how much is done at once, sent at once, or kept in memory."""

from msgspec import Struct


class Limits(Struct, frozen=True):
    """What one node allows itself; nothing breaks if others have set other limits.

    Octets of entries are by ``log.size``.

    Attributes:
        apply_octets: of entries that are applied before the clock is looked at.
        unapplied: sequence numbers that a tail commits ahead of what it has applied. Writes wait
            for a slow one.
        recent_entries: that wait in memory to be applied at a slow node; more are read again from
            the log.
        copied_octets: of copied entries that wait in memory to be applied; more are read again.
        near_entries: a learner that lacks no more has caught up, and can be given the rest while
            writes wait.
        answer_octets: of entries in one answer to a learner.
    """

    apply_octets: int = 16_000
    unapplied: int = 50_000
    recent_entries: int = 50_000
    copied_octets: int = 8_000_000
    near_entries: int = 1_000
    answer_octets: int = 1_000_000


USUAL = Limits()
