"""The judgement between two processes that claim the same position."""

from enum import Enum

from chainchat.chain.configuration import Address, Member


class Verdict(Enum):
    """The judgement on a process that claims a position held by another one."""

    WELCOME = "welcome"
    """The claimant replaces the holder."""
    REFUSED = "refused"
    """The holder stays."""
    TRIAL = "trial"
    """The holder stays if it shows a sign of life from now on, else the claimant replaces it."""


def judge(claimant: Member, holder: Member, rightful: Address | None, *, heard: bool) -> Verdict:
    """Judge a claim.

    No two processes listen at one address: if two claim the same, one of them ended without a word,
    or lies. Only a sign of life from the holder, or none, tells which.

    Args:
        rightful: the member's address in the configuration, or else in ``chain.ini``, if known.
        heard: something came from the holder in the last ``suspect_after`` seconds.
    """
    if claimant.address == holder.address:
        return Verdict.TRIAL
    if claimant.address == rightful or not heard:
        return Verdict.WELCOME
    return Verdict.REFUSED
