"""One node's evidence of the lives and deaths of others (rules 1 to 3).

A refused connection proves that a process is dead; silence is only a suspicion. Survivors leave a
dead node out of a majority only if it died *clean*: it had just confirmed that it was not trying to
exclude this one, and with ``timing.FRESH`` cannot have taken it for silent yet.
"""

from msgspec import Struct

from chainchat.chain.configuration import Life
from chainchat.chain.timing import Timing


class Known(Struct):
    """What is known of one life; times in monotonic seconds.

    Attributes:
        heard: when its last ping came.
        fresh: when the newest ping that it confirmed was sent.
        clean: its death was proved while a confirmation was fresh; stays True.
    """

    heard: float
    fresh: float | None = None
    dead: bool = False
    clean: bool = False


class Evidence:
    """The evidence of one life of one node."""

    def __init__(
        self, timing: Timing, *, first_nonce: int = 0, refusal_is_death: bool = True
    ) -> None:
        """Begin without evidence.

        Args:
            first_nonce: random: no answer to another life must pass for one to this.
            refusal_is_death: if False, no death is *clean*.
        """
        self.refusal_is_death = refusal_is_death
        self._timing = timing
        self._known: dict[Life, Known] = {}
        self._pings: dict[int, float] = {}
        self._nonce = first_nonce

    def meet(self, life: Life, now: float) -> Known:
        """Return what is known of a life; one not met yet counts as heard now."""
        known = self._known.get(life)
        if known is None:
            known = self._known[life] = Known(now)
        return known

    # --- rule 1: pings

    def next_ping(self, now: float) -> int:
        self._nonce += 1
        self._pings[self._nonce] = now
        kept = self._timing.suspect_after
        for nonce in [n for n, sent in self._pings.items() if now - sent > kept]:
            del self._pings[nonce]
        return self._nonce

    def sent(self, nonce: int) -> float | None:
        """Return when that ping was sent; None if long ago or never."""
        return self._pings.get(nonce)

    @property
    def newest_nonce(self) -> int:
        return self._nonce

    def heard(self, life: Life, now: float) -> None:
        self.meet(life, now).heard = now

    def confirmed(self, life: Life, nonce: int, now: float) -> None:
        sent = self._pings.get(nonce)
        if sent is not None:
            known = self.meet(life, now)
            known.fresh = max(sent, known.fresh or sent)

    # --- rule 2: deaths

    def died(self, life: Life, now: float) -> None:
        """Note a proved death; ``now`` must have been read after the proof."""
        known = self.meet(life, now)
        known.dead = True
        if self.refusal_is_death and self.is_fresh(life, now):
            known.clean = True

    def is_fresh(self, life: Life, now: float) -> bool:
        """Return whether the life confirmed too recently to have excluded this node since."""
        known = self._known.get(life)
        return (
            known is not None and known.fresh is not None and now - known.fresh < self._timing.fresh
        )

    def is_clean(self, life: Life) -> bool:
        known = self._known.get(life)
        return known is not None and known.clean

    def is_dead(self, life: Life) -> bool:
        known = self._known.get(life)
        return known is not None and known.dead

    # --- rule 3: exclusion

    def is_silent(self, life: Life, now: float) -> bool:
        return now - self.meet(life, now).heard >= self._timing.suspect_after

    def stood_still(self, seconds: float, now: float) -> None:
        """Excuse the silence of others while this node was paused."""
        for known in self._known.values():
            known.heard = min(now, known.heard + seconds)

    def may_exclude(self, life: Life, now: float) -> bool:
        return self.is_dead(life) or self.is_silent(life, now)

    def reason(self, life: Life, now: float) -> str:
        if self.is_dead(life):
            return "its process is dead"
        return f"silent for {now - self.meet(life, now).heard:.2f} s"

    # --- forgetting

    def forget_all_but(self, lives: set[Life]) -> None:
        self._known = {life: known for life, known in self._known.items() if life in lives}

    def lose_confirmations(self) -> None:
        """Drop all confirmations: none counts for a node that is no active member."""
        for known in self._known.values():
            known.fresh = None
            known.clean = False

    def doubt(self) -> None:
        """Drop what seems fresh and may be old: a clock stood still."""
        self.lose_confirmations()
        self._pings = {}
