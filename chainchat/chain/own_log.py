"""This node's log, and its learners, as membership sees them."""

from collections.abc import Callable

from chainchat.chain.configuration import Member
from chainchat.chain.copying import Learner
from chainchat.chain.entries import EntryId
from chainchat.chain.lending import Sponsor
from chainchat.chain.log import Log


class OwnLog:
    """The log as ``membership.state.LogView`` asks for it."""

    def __init__(
        self,
        log: Log,
        learner: Learner,
        sponsor: Sponsor,
        *,
        committed: Callable[[], int],
        clock: Callable[[], float],
        low: Callable[[], bool],
    ) -> None:
        self._log = log
        self._learner = learner
        self._sponsor = sponsor
        self._committed = committed
        self._clock = clock
        self._low = low

    @property
    def last(self) -> EntryId:
        return self._log.last

    @property
    def committed(self) -> EntryId:
        newest = self._log.id_of(self._committed())
        assert newest is not None
        return newest

    @property
    def beginning(self) -> EntryId:
        return self._log.beginning

    def id_of(self, seq: int) -> EntryId | None:
        return self._log.id_of(seq)

    @property
    def caught_up(self) -> bool:
        """False while the disk is nearly full, which would stop the whole chain."""
        return self._learner.caught_up and not self._low()

    @property
    def progress(self) -> str:
        text = self._learner.progress(self._clock())
        return f"{text}; it does not join: its disk is nearly full" if text and self.low else text

    @property
    def low(self) -> bool:
        return self._low()

    @property
    def nearby(self) -> frozenset[Member]:
        return self._sponsor.nearby()
