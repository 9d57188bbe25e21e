"""Python reads this first where it is on the path: the process stands still now and then.

So a test that counts on the order of what two processes do fails: ``pytest --stalls SECONDS``.
"""

import os
import random
import select
from contextlib import suppress
from typing import Any

LONGEST = float(os.environ.get("CHAINCHAT_TEST_STALLS", "0"))
"""Seconds."""

OFTEN, RARELY = 0.4, 0.1
"""Which part of the times when something comes: for up to a twentieth of that, and up to that."""

the_epoll = select.epoll


class Epoll:
    """An ``epoll`` whose process may stand still before it looks at what has come."""

    def __init__(self, *arguments: Any) -> None:
        self._epoll = the_epoll(*arguments)
        self._dice = random.Random()
        self._slow = self._dice.choice((0.2, 1.0, 3.0))
        """Some processes are slow all the time."""

    def poll(self, *arguments: Any) -> list[tuple[int, int]]:
        found = self._epoll.poll(*arguments)
        drawn = self._dice.random()
        if found and drawn < OFTEN:
            stall = LONGEST if drawn < RARELY else LONGEST * self._slow / 20
            with suppress(OSError):  # with the clocks of a test, there may be no time to wait for
                select.select([], [], [], self._dice.uniform(0, stall))
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._epoll, name)


if LONGEST:
    select.epoll = Epoll  # type: ignore[assignment,misc]
