"""Trials: which of two connections that claim one address is alive."""

from msgspec import Struct
from twisted.internet.defer import Deferred

from chainchat.node.interfaces import Clock, Timer
from chainchat.peers.link import Link

LOOKS = 5
"""Looks in a trial: a pause of this node may let the first come too early."""


class Trial(Struct, eq=False):
    """A connection that claims another's place.

    Attributes:
        since: monotonic seconds.
        pause: seconds between two looks.
        decided: fires with True if the claimant wins.
    """

    claimant: Link
    holder: Link
    since: float
    pause: float
    decided: Deferred[bool]
    looks: int = LOOKS
    timer: Timer | None = None


class Trials:
    """The trials under way."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._trials: dict[Link, Trial] = {}

    def __len__(self) -> int:
        return len(self._trials)

    def begin(self, claimant: Link, holder: Link, seconds: float) -> Deferred[bool]:
        """Look for ``seconds`` whether the holder sends anything."""
        trial = Trial(claimant, holder, self._clock.seconds(), seconds / LOOKS, Deferred())
        self._trials[claimant] = trial
        self._look_later(trial)
        return trial.decided

    def lost(self, link: Link) -> None:
        """Drop the claim of a lost connection, and let claims against it win."""
        self._end(link)
        for trial in [trial for trial in self._trials.values() if trial.holder is link]:
            self._end(trial.claimant)
            trial.decided.callback(True)

    def stop(self) -> None:
        for claimant in list(self._trials):
            self._end(claimant)

    def _end(self, claimant: Link) -> None:
        trial = self._trials.pop(claimant, None)
        if trial is not None and trial.timer is not None and trial.timer.active():
            trial.timer.cancel()

    def _look_later(self, trial: Trial) -> None:
        trial.looks -= 1
        trial.timer = self._clock.callLater(trial.pause, self._look, trial)

    def _look(self, trial: Trial) -> None:
        heard = trial.holder.heard > trial.since
        if not heard and trial.looks:
            self._look_later(trial)
            return
        self._end(trial.claimant)
        trial.decided.callback(not heard)
