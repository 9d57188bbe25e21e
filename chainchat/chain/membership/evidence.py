"""What one node knows of whether others live: rules 1 to 3 of membership.

A refused connection proves that a process is dead; silence is only a suspicion. A proof lets the
survivors count the dead node out of the majority that they need, but only while it is *fresh*: the
dead node had just confirmed that it was not trying to exclude this one.

``timing.FRESH`` makes the two fit: whoever holds a fresh confirmation of another was heard by it
so recently that the other cannot have taken it for silent yet.
"""

from msgspec import Struct

from chainchat.chain.configuration import Life
from chainchat.chain.timing import Timing


class Known(Struct):
    """What is known of one life.

    Attributes:
        heard: when its last ping was processed here, monotonic seconds.
        fresh: when the newest of this node's pings was sent that it confirmed; None if none was.
        dead: whether its death was proved.
        clean: whether it was proved while a confirmation was fresh; stays true for ever.
    """

    heard: float
    fresh: float | None = None
    dead: bool = False
    clean: bool = False


class Evidence:
    """Evidence about the lives of others, gathered by one life of one node."""

    def __init__(
        self, timing: Timing, *, first_nonce: int = 0, refusal_is_death: bool = True
    ) -> None:
        """Evidence of nothing.

        Args:
            timing: for how long others may be silent, and confirmations count.
            first_nonce: one less than that of the first ping; at random, so that no answer to an
                earlier life's passes for one to this life's.
            refusal_is_death: whether a death can be *clean*. If not, nothing rests on a clock that
                may have stood still: neither who is left out of the count, nor the lease of reads.
        """
        self.refusal_is_death = refusal_is_death
        self._timing = timing
        self._known: dict[Life, Known] = {}
        self._pings: dict[int, float] = {}
        self._nonce = first_nonce

    def meet(self, life: Life, now: float) -> Known:
        """What is known of ``life``; one that was never heard is given its time from now on."""
        known = self._known.get(life)
        if known is None:
            known = self._known[life] = Known(now)
        return known

    # --- rule 1: pings

    def next_ping(self, now: float) -> int:
        """The nonce of a ping sent now."""
        self._nonce += 1
        self._pings[self._nonce] = now
        kept = self._timing.suspect_after
        for nonce in [n for n, sent in self._pings.items() if now - sent > kept]:
            del self._pings[nonce]
        return self._nonce

    def sent(self, nonce: int) -> float | None:
        """When the ping with this nonce was sent; None if it is too old, or of no ping."""
        return self._pings.get(nonce)

    @property
    def newest_nonce(self) -> int:
        """Of the newest ping; they grow."""
        return self._nonce

    def heard(self, life: Life, now: float) -> None:
        """A ping of ``life`` is processed."""
        self.meet(life, now).heard = now

    def confirmed(self, life: Life, nonce: int, now: float) -> None:
        """``life`` confirmed the ping that was sent with this nonce."""
        sent = self._pings.get(nonce)
        if sent is not None:
            known = self.meet(life, now)
            known.fresh = max(sent, known.fresh or sent)

    # --- rule 2: deaths

    def died(self, life: Life, now: float) -> None:
        """Its death is proved. ``now`` must have been read after the proof."""
        known = self.meet(life, now)
        known.dead = True
        if self.refusal_is_death and self.is_fresh(life, now):
            known.clean = True

    def is_fresh(self, life: Life, now: float) -> bool:
        """Whether it confirmed a ping so recently that it cannot have excluded this node since."""
        known = self._known.get(life)
        return (
            known is not None and known.fresh is not None and now - known.fresh < self._timing.fresh
        )

    def is_clean(self, life: Life) -> bool:
        """Whether it is dead, and died without having excluded this node."""
        known = self._known.get(life)
        return known is not None and known.clean

    def is_dead(self, life: Life) -> bool:
        """Whether its death is proved."""
        known = self._known.get(life)
        return known is not None and known.dead

    # --- rule 3: exclusion

    def is_silent(self, life: Life, now: float) -> bool:
        """Whether it was not heard for ``suspect_after`` seconds."""
        return now - self.meet(life, now).heard >= self._timing.suspect_after

    def stood_still(self, seconds: float, now: float) -> None:
        """This node was paused for so long: nobody else can be blamed for what it did not hear."""
        for known in self._known.values():
            known.heard = min(now, known.heard + seconds)

    def may_exclude(self, life: Life, now: float) -> bool:
        """Whether this node may help to exclude it."""
        return self.is_dead(life) or self.is_silent(life, now)

    def reason(self, life: Life, now: float) -> str:
        """Why it may be excluded, for the log."""
        if self.is_dead(life):
            return "its process is dead"
        return f"silent for {now - self.meet(life, now).heard:.2f} s"

    # --- forgetting

    def forget_all_but(self, lives: set[Life]) -> None:
        """Drop what is known of lives that matter no more."""
        self._known = {life: known for life, known in self._known.items() if life in lives}

    def lose_confirmations(self) -> None:
        """This node is no active member: what it was confirmed counts for nothing."""
        for known in self._known.values():
            known.fresh = None
            known.clean = False

    def doubt(self) -> None:
        """A clock stood still: what was asked before may be much older than it seems."""
        self.lose_confirmations()
        self._pings = {}
