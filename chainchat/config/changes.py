"""Changes of chain.ini while a node runs."""

from dataclasses import dataclass, replace

from chainchat.config.keys import ALIKE, RELOADABLE
from chainchat.config.sections import shown
from chainchat.config.settings import Settings

RELOADED, NEEDS_RESTART = "reloaded", "needs a restart"
NEEDS_STOP, NEVER = "needs a stop of all servers, then a start", "never changes, put it back"

FOUNDING = "chain", "founding"
"""A node refuses another order than its chain began with."""


@dataclass(frozen=True, slots=True)
class ChangedKey:
    """A key whose value has changed; None stands for a key that the file leaves out."""

    section: str
    key: str
    before: str | None
    after: str | None

    @property
    def verdict(self) -> str:
        """What is to be done: ``RELOADED`` (nothing), ``NEEDS_RESTART``, and so on."""
        place = self.section, self.key
        if place in RELOADABLE:
            return RELOADED
        if place in ALIKE:
            return NEEDS_STOP
        return NEVER if place == FOUNDING else NEEDS_RESTART

    def __str__(self) -> str:
        before, after = (
            "(default)" if value is None else shown(value) for value in (self.before, self.after)
        )
        return f"[{shown(self.section)}] {self.key}: {before} -> {after}"


def changes(old: Settings, new: Settings) -> list[ChangedKey]:
    keys = dict.fromkeys((*old.values, *new.values))
    pairs = [(key, old.values.get(key), new.values.get(key)) for key in keys]
    return [ChangedKey(*key, before, after) for key, before, after in pairs if before != after]


def reloaded(old: Settings, new: Settings) -> Settings:
    """The old settings, with those new values that a running node can take."""
    values = {key: value for key, value in old.values.items() if key not in RELOADABLE}
    values |= {key: value for key, value in new.values.items() if key in RELOADABLE}
    taken = {attribute: getattr(new, attribute) for attribute in RELOADABLE.values()}
    return replace(old, values=values, **taken)
