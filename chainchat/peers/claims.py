"""Judges between two processes that claim one position."""

from enum import Enum

from chainchat.chain.configuration import Address, Member


class Verdict(Enum):
    """The verdict on a claim to a position that is held."""

    WELCOME = "welcome"
    """The claimant replaces the holder."""
    REFUSED = "refused"
    TRIAL = "trial"
    """The holder stays if it shows a sign of life from now on, else the claimant replaces it."""


def judge(claimant: Member, holder: Member, rightful: Address | None, *, heard: bool) -> Verdict:
    """Judge a claim.

    No two processes listen at one address: if two claim it, one died without a word, or lies. Only
    signs of life from the holder tell which.

    Args:
        rightful: the configuration's address, or else that of ``chain.ini``.
        heard: something came from the holder within ``suspect_after`` seconds.
    """
    if claimant.address == holder.address:
        return Verdict.TRIAL
    if claimant.address == rightful or not heard:
        return Verdict.WELCOME
    return Verdict.REFUSED
