"""Changes of chain.ini while a node runs."""

from dataclasses import dataclass, replace

from chainchat.config.keys import RELOADABLE
from chainchat.config.sections import shown
from chainchat.config.settings import Settings


@dataclass(frozen=True, slots=True)
class ChangedKey:
    """A key whose value has changed; None stands for a key that the file leaves out."""

    section: str
    key: str
    before: str | None
    after: str | None

    @property
    def is_reloaded(self) -> bool:
        return (self.section, self.key) in RELOADABLE

    @property
    def needs_restart(self) -> bool:
        return not self.is_reloaded and not self.must_not_be

    @property
    def must_not_be(self) -> bool:
        """True of the founding order: a node refuses another than its chain began with."""
        return (self.section, self.key) == ("chain", "founding")

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
