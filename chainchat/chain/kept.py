"""*kept*: a node never gives up what it knows to be committed.

If a cut or a checkpoint would take that away, two chains have confirmed different entries, and an
operator has to decide.
"""

from collections.abc import Iterator

from chainchat.chain.copying import Replace
from chainchat.chain.effects import Cut, Stage, Tell
from chainchat.chain.log import DivergenceError, Log


def check(log: Log, committed: int, cut: Cut, source: str | None) -> None:
    """Check a cut.

    Raises:
        DivergenceError: the cut would remove what is committed here.
    """
    after, last = cut.after, log.last
    if after < committed:
        raise DivergenceError(
            f"entries up to {committed} were committed here, but the chain's log differs "
            f"after {after}: was a node wrongly forced to go on alone, or an old copy of a "
            f"folder started? Here, {after + 1} to {last.seq} follow, the last being {last}; "
            f"at {source}, {after + 1} to {cut.end.seq}, the last being "
            f"{cut.end}. Nothing was changed"
        )


def replaced(
    log: Log, committed: int, replace: Replace, alone_in: int
) -> Iterator[Tell | Cut | Stage]:
    """Copy a checkpoint in place of this log.

    If this log ends before the other begins, nobody can tell if one was part of the other: what was
    not committed here goes to a side file. But the only member of the epoch ``alone_in`` may have
    confirmed what nobody else has.

    Raises:
        DivergenceError: the other log lacks what is committed here, or may lack it.
    """
    offered, last = replace.offered, log.last
    beginning = offered.beginning
    if not replace.common and beginning.seq <= committed:
        held = log.id_of(beginning.seq)
        if held != beginning:
            raise DivergenceError(
                f"entries up to {committed} were committed here, but the log of "
                f"{replace.source}, which begins after {beginning}, does not go on from them: "
                f"this one has {held} there, and ends with {last}. Nothing was changed"
            )
    elif not replace.common and alone_in:
        raise DivergenceError(
            f"this node was the only member in epoch {alone_in}, and others have gone on without "
            f"it: was a node wrongly forced to go on alone, or an old copy of a folder started? "
            f"This log ends with {last}, before that of {replace.source} begins, after "
            f"{beginning}. Nothing was changed"
        )
    elif not replace.common:
        yield Tell(
            f"this log ends with {last}, before that of {replace.source} begins, after "
            f"{beginning}: nobody can tell any more whether the two were one. A checkpoint "
            "takes its place",
            alarm=True,
        )
        after = log.end_before(committed)
        if after < last.seq:
            yield Cut(after, beginning)
    yield Stage(offered)
