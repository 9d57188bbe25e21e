"""The stories with which runs begin: orders of events that chance would hardly find.

In each, a chain that lacks one of the rules of membership does harm, or something has to come off
within a time. While the rule is kept, most end early.
"""

from tests.simulation.script import Script

STORIES = {
    name: Script.load(name)
    for name in (
        "hearsay",
        "second-thoughts",
        "two-askers",
        "kept-proposal",
        "forgotten-vote",
        "gone-on-alone",
        "all-die",
        "two-lost-ends",
        "last-of-three",
        "one-falls-silent",
        "last-word",
        "late-lender",
        "two-learners",
        "learner-and-resume",
        "new-disk",
        "resume-given-up",
        "taken-and-locked",
        "all-stand-still",
        "frozen",
        "frozen-unawares",
        "frozen-and-called",
        "wall",
        "forged-hello",
        "copied-disk",
        "copied-proposer",
        "restored-backup",
        "lost-founder",
    )
}
"""By name."""
