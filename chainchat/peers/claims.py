"""Which of two processes is linked, if both say that they are at the same position."""

from enum import Enum

from chainchat.chain.configuration import Address, Member


class Verdict(Enum):
    """What becomes of a process that claims a position which another one holds."""

    WELCOME = "welcome"
    """It takes the place of the holder."""
    REFUSED = "refused"
    """The holder stays."""
    TRIAL = "trial"
    """The holder stays if it gives a sign of life from now on, else its place is taken."""


def judge(claimant: Member, holder: Member, rightful: Address | None, *, heard: bool) -> Verdict:
    """Judge a claim.

    Args:
        claimant: who has just connected.
        holder: who is linked.
        rightful: where the position should be: the member's address in the configuration, or what
            ``chain.ini`` has if there is no member; None if nobody knows.
        heard: whether something came from the holder in the last ``suspect_after`` seconds.

    No two processes listen at one address. So of two that say they do, one has ended without a
    word (its machine lost power and is up again, or its cable was pulled), or one says what is not
    true. Nothing that they say tells which: only that the holder still speaks, or does not.
    """
    if claimant.address == holder.address:
        return Verdict.TRIAL
    if claimant.address == rightful or not heard:
        return Verdict.WELCOME
    return Verdict.REFUSED
