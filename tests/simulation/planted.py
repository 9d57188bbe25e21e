"""Planted bugs: the simulator has to catch each of them, or it proves nothing.

Each is a subclass of a class of the product, or a function, put in its place for a run; none has a
constructor of its own, which would age. Each rule of ``docs/membership.md`` has one at least. They
are in ``planted_membership``, ``planted_log`` (the chat, too), ``planted_reads`` (what tails answer
and lend), ``planted_retention``, ``planted_storage`` and ``planted_links`` (the chain port).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from chainchat.chain.engine import Engine
from chainchat.chain.membership.clocks import Clocks
from chainchat.chain.membership.evidence import Evidence
from chainchat.chain.membership.membership import Membership
from chainchat.chain.own_requests import OwnRequests
from chainchat.chain.reads import Reads
from chainchat.chain.replica import Replica
from chainchat.chat.programs import Programs
from chainchat.chat.saying import Sayings
from chainchat.chat.state import ChatState
from chainchat.node.budget import Slice
from chainchat.node.state_machine import StateMachine
from chainchat.peers.admission import Admission
from chainchat.peers.dialling import Dialling
from chainchat.storage.sqlite import SQLiteStorage
from chainchat.storage.wal import WriteAheadLog
from tests.simulation import (
    planted_links,
    planted_log,
    planted_membership,
    planted_reads,
    planted_retention,
    planted_storage,
)

CROWD = "crowd"
"""In place of a story: it takes a run with a crowd."""

HISTORIES = "histories"
"""In place of a story: it takes a run in which two chains confirm different entries."""

STRANGERS = "strangers"
"""In place of a story: it takes a run with strangers at the chain ports."""

RETAINED = "retained"
"""In place of a story: it takes runs in which old messages go."""

FILES = "files"
"""In place of a story: it takes runs on the product's own disks."""

PLANTED: dict[str, tuple[Any, str | None]] = {
    bug.__name__: (bug, story)
    for bug, story in (
        (planted_log.TellsBeforeItWrites, None),
        (planted_log.TellsBeforeItSyncs, None),
        (planted_log.CommitsWithoutTheWord, None),
        (planted_log.PassesTheWordOn, None),
        (planted_log.RepliesBeforeTheTail, None),
        (planted_log.AppliesBeforeCommit, None),
        (planted_log.ResumesOneTooLate, None),
        (planted_log.ForgetsToSubmitAgain, None),
        (planted_log.NoDeduplicationOfOrigins, None),
        (planted_log.NoDeduplicationOfPrograms, None),
        (planted_log.ForgetsByTheClock, None),
        (planted_log.RemembersAllPrograms, None),
        (planted_log.KeepsSessionsOfTheDead, None),
        (planted_log.DropsEarlyMessages, None),
        (planted_log.CopiesOnTopOfWhatItTook, "taken-and-locked"),
        (planted_log.NeverTellsHolding, None),
        (planted_log.ActsOnAnyEpoch, None),
        (planted_log.LosesMarks, None),
        (planted_log.IgnoresDigests, HISTORIES),
        (planted_log.IgnoresIdentities, HISTORIES),
        (planted_membership.GivesNoIdentity, HISTORIES),
        (planted_log.NotesNothingAsCommitted, HISTORIES),
        (planted_storage.SyncsEntriesLater, FILES),
        (planted_storage.SyncsRecordsLater, FILES),
        (planted_storage.CopiesWithoutSync, FILES),
        (planted_storage.CutsBeforeItKeeps, FILES),
        (planted_storage.believes_what_was_read, FILES),
        (planted_storage.leaves_side_files_without_names, FILES),
        (planted_storage.copies_inside_commits, FILES),
        (planted_retention.RemovesWhatNoCheckpointCovers, RETAINED),
        (planted_retention.RemovesUnread, RETAINED),
        (planted_retention.TakesAnyCheckpoint, RETAINED),
        (planted_retention.installs_half, RETAINED),
        (planted_retention.replaces_what_it_confirmed_alone, HISTORIES),
        (planted_links.TakesTheNewestConnection, STRANGERS),
        (planted_links.NeverDialsAgain, STRANGERS),
        (planted_links.carries_everything, STRANGERS),
        (planted_membership.BelievesStaleProofs, None),
        (planted_membership.CountsFromTheAnswer, "second-thoughts"),
        (planted_membership.ForgetsWhomItTriedToExclude, "second-thoughts"),
        (planted_membership.ForgetsItsOwnTries, "second-thoughts"),
        (planted_membership.VotesOnHearsay, "hearsay"),
        (planted_membership.ForgetsVotes, "forgotten-vote"),
        (planted_membership.NeverWedges, "gone-on-alone"),
        (planted_membership.TakesAnyLifeForTheMember, "all-die"),
        (planted_membership.ResumesWithoutOne, "gone-on-alone"),
        (planted_membership.ResumesWithoutCopying, "all-die"),
        (planted_membership.CountsVotesOfThoseThatLack, "two-lost-ends"),
        (planted_membership.ResumesWithoutActiveVotes, None),
        (planted_membership.CopiesPastItsPredecessor, "resume-given-up"),
        (planted_membership.BlamesOthersForItsPauses, "all-stand-still"),
        (planted_membership.BelievesItsOwnClocks, "frozen"),
        (planted_membership.HearsNoClocks, "frozen-and-called"),
        (planted_membership.StampsItsOwnTime, None),
        (planted_membership.ProvesDeathsAllTheSame, "frozen-unawares"),
        (planted_membership.ReadsByTheLeaseAllTheSame, None),
        (planted_membership.BelievesRefusalsAnywhere, "wall"),
        (planted_membership.BelievesWhatIsSaid, "forged-hello"),
        (planted_membership.TakesCopiesForMembers, "copied-disk"),
        (planted_membership.BelievesCopiesOfProposers, "copied-proposer"),
        (planted_membership.TakesAnyDiskForTheNewest, "restored-backup"),
        (planted_membership.WorksWhileItVotes, None),
        (planted_membership.WorksWhileItLetsLearnersIn, None),
        (planted_membership.NeverWithdraws, "two-learners"),
        (planted_membership.LetsLearnersInTooEarly, None),
        (planted_membership.VotesTwice, "two-askers"),
        (planted_membership.DecidesWithoutVotes, None),
        (planted_membership.KeepsItsProposalWhenItVotes, "kept-proposal"),
        (planted_membership.DropsVotesOfDeadProposers, "two-askers"),
        (planted_membership.AdoptsWhenItVotes, None),
        (planted_membership.WorksWithoutLease, None),
        (planted_reads.ReadsWithoutLease, None),
        (planted_reads.LendsWithoutLease, "late-lender"),
        (planted_reads.LendsBeforeItsEpochHasBegun, "late-lender"),
        (planted_reads.PassesBarriersAtOnce, None),
        (planted_reads.LendsToAnybodyBeforeAResume, "learner-and-resume"),
        (planted_reads.TakesAnyLogForWhole, "last-word"),
        (planted_reads.AnswersBeforeApplying, CROWD),
        (planted_membership.DoesEverythingAtOnce, CROWD),
        (planted_membership.NeverAborts, None),
        (planted_membership.ProvesNothing, "last-of-three"),
        (planted_membership.WaitsForDeadProposers, "last-of-three"),
        (planted_membership.half_is_enough, None),
    )
}
"""Each bug by its name, and the story that brings it out, or the kind of run, if it takes one."""

PLACES = {
    Admission: "chainchat.peers.links.Admission",
    Dialling: "chainchat.peers.links.Dialling",
    Engine: "chainchat.node.node.Engine",
    Clocks: "chainchat.chain.membership.state.Clocks",
    Evidence: "chainchat.chain.membership.state.Evidence",
    Membership: "chainchat.chain.engine.Membership",
    Reads: "chainchat.chain.engine.Reads",
    Replica: "chainchat.chain.engine.Replica",
    OwnRequests: "chainchat.chain.replica.OwnRequests",
    Slice: "chainchat.node.node.Slice",
    ChatState: "chainchat.node.state_machine.ChatState",
    Programs: "chainchat.chat.state.Programs",
    Sayings: "chainchat.chat.state.Sayings",
    StateMachine: "chainchat.node.node.StateMachine",
    planted_retention.replaces_what_it_confirmed_alone: "chainchat.chain.kept.replaced",
    planted_retention.installs_half: "chainchat.storage.memory.MemoryStorage.install",
    SQLiteStorage: "tests.simulation.sqlite_disk.SQLiteStorage",
    WriteAheadLog: "chainchat.storage.wal.WriteAheadLog",
    planted_links.carries_everything: "chainchat.peers.link.carries",
    planted_membership.half_is_enough: "chainchat.chain.membership.proposals.may_shrink",
    planted_storage.believes_what_was_read: "chainchat.storage.sqlite.write_again",
    planted_storage.copies_inside_commits: "chainchat.storage.wal.leave_copying",
    planted_storage.leaves_side_files_without_names: "chainchat.storage.cuts.sync_folder",
}
"""Where what a bug is a bad copy of is used: the class that it inherits from, or itself."""


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Put a bug in the place of what it is a bad copy of."""
    bug, _ = PLANTED[name]
    kinds = bug.__mro__ if isinstance(bug, type) else (bug,)
    place = next(PLACES[kind] for kind in kinds if kind in PLACES)
    with ExitStack() as patches:
        for where, what in {place: bug, **getattr(bug, "also", {})}.items():
            patches.enter_context(patch(where, what))
        yield
