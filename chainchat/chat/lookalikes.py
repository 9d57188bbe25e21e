"""Names that look like another, or like the server's own word: their *skeletons* are the same.

``alice``, ``AL1CE`` and ``a-l-i-c-e`` have ``aiice``.
"""

from collections.abc import Iterable, Iterator

from chainchat.chat.names import SortedNames

_SKELETON = str.maketrans("l10", "iio", "-_.")


def skeleton_of(name: str) -> str:
    """Return a name without case, ``-``, ``_`` or ``.``, and with one letter for similar ones.

    The rule must never change, or nodes differ about an old log; another rule would be another
    field of ``commands.Login``.
    """
    return name.lower().translate(_SKELETON)


SERVERS_WORDS = frozenset(
    map(skeleton_of, ("you", "everybody", "server", "system", "help", "quit", "exit"))
)
"""What the server calls itself, whom it speaks to, and what people type who look for a way."""


def is_servers_word(name: str, positions: Iterable[str]) -> bool:
    skeleton = skeleton_of(name)
    return skeleton in SERVERS_WORDS or skeleton in map(skeleton_of, positions)


class LookAlikes(SortedNames):
    """Names in lower case, by how they look."""

    def __init__(self, names: Iterable[str] = (), part: int = 1_000) -> None:
        super().__init__(names, part, key=skeleton_of)

    def of(self, name: str) -> Iterator[str]:
        return self.like(name)
