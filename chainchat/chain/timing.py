"""Times of the protocol, as fractions of ``suspect_after``.

Safety rests on ``FRESH`` being less than 1: see ``membership.evidence``.
"""

PINGS_PER_SUSPICION = 10

FRESH = 0.75
"""How long a confirmation counts; leaves 14 % for clocks that drift apart."""

JOIN_PATIENCE = 1.0
"""How long the head lets one learner's join take."""

FIRST_SEAL, LONGEST_SEAL = 1 / PINGS_PER_SUSPICION, 1 / 2
"""How long a tail takes no entries, to let a learner in: at first, at most."""

JOIN_PAUSE = 1 / 4
"""The pause from a decline to the next proposal."""

JOIN_PAUSE_PER_SEAL = 4.0
"""Seconds of pause for each second that writes have waited."""

ASK_AGAIN, LONGEST_PATIENCE = 0.5, 4.0
"""How long a learner waits before it asks again: at first, at most.

The wait doubles while there is more to copy: on a narrow link, asking too soon gets the same again.
"""


class Timing:
    """The times in seconds; more than ``pause`` between two inputs is a pause of this node."""

    def __init__(self, suspect_after: float) -> None:
        self.suspect_after = suspect_after
        self.tick = suspect_after / PINGS_PER_SUSPICION
        self.fresh = FRESH * suspect_after
        self.pause = 2 * suspect_after / PINGS_PER_SUSPICION
        self.join_patience = JOIN_PATIENCE * suspect_after
        self.first_seal = FIRST_SEAL * suspect_after
        self.longest_seal = LONGEST_SEAL * suspect_after
        self.join_pause = JOIN_PAUSE * suspect_after
        self.ask_again = ASK_AGAIN * suspect_after
        self.longest_patience = LONGEST_PATIENCE * suspect_after
