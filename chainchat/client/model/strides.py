"""How far back some of the newest messages are: SINCE lists the oldest first.

Who looks back strides further until enough ids are messages, and less far if too many are: others'
mail and logins have ids, too, and whoever makes many of those must not let all others read a
hundred thousand messages for the sake of twenty.
"""

MOST_LISTED = 1_000
"""Messages listed at once; servers let an account read 2,000 lines a second."""

FURTHER = 4


class Stride:
    """One look back; ``ids``: how many to look through now."""

    def __init__(self, ids: int, wanted: int) -> None:
        """``ids``: at first; ``wanted``: messages, fewer than MOST_LISTED."""
        self.ids = ids
        self._wanted = wanted
        self._too_few = self._too_many = 0

    def suits(self, listed: int, *, all_there_are: bool) -> bool:
        """Take how many messages were listed; False: ask again, for other ``ids``.

        ``all_there_are``: the ids are.
        """
        if listed >= MOST_LISTED and self.ids > self._too_few + 1:
            self._too_many = self.ids
        elif listed < self._wanted and not all_there_are:
            self._too_few = self.ids
        else:
            return True
        between = (self._too_few + self._too_many) // 2
        self.ids = between if self._too_many else FURTHER * self.ids
        return False
