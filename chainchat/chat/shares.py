"""Who takes most of something that all share: the one to take from when there is too much."""

from heapq import heapify, heappop, heappush, heapreplace

STEP = 1_200
"""Shares are compared in steps: of two in the same, the one that was used less recently gives."""

FEW = 16
"""So many that have left a step may stay in its heap, however few are in it."""


class Shares:
    """What each account takes, in steps, and when it was used last.

    It depends on nothing but what was taken and when, so every node finds the same account. To use
    one costs nothing but a look, unless it comes to another step.
    """

    def __init__(self) -> None:
        self._steps: dict[int, int] = {}
        """By account."""
        self._used: dict[int, int] = {}
        """Likewise: the entry by which it was used last."""
        self._counts: dict[int, int] = {}
        """How many accounts there are in each step."""
        self._heaps: dict[int, list[tuple[int, int]]] = {}
        """By step: (when it was used last, or some time before; account)."""
        self._listed: dict[int, set[int]] = {}
        """By step: the accounts in its heap; some of them are in another by now."""

    def put(self, account: int, taken: int, used: int) -> None:
        """It takes so much now; ``used``: by which entry it was used last."""
        self._used[account] = used
        step, before = taken // STEP, self._steps.get(account)
        if step == before:
            return
        self._steps[account] = step
        self._leave(before)
        self._counts[step] = self._counts.get(step, 0) + 1
        listed = self._listed.setdefault(step, set())
        if account not in listed:
            listed.add(account)
            heappush(self._heaps.setdefault(step, []), (used, account))

    def remove(self, account: int) -> None:
        """It takes nothing any more."""
        self._leave(self._steps.pop(account))
        del self._used[account]

    def _leave(self, step: int | None) -> None:
        if step is None:
            return
        self._counts[step] -= 1
        if not self._counts[step]:
            del self._counts[step], self._heaps[step], self._listed[step]
        elif len(self._heaps[step]) > 2 * self._counts[step] + FEW:
            self._clear_out(step)

    def _clear_out(self, step: int) -> None:
        """Forget those that have left a step; else all there ever were would stay in its heap."""
        listed = {account for account in self._listed[step] if self._steps.get(account) == step}
        heap = [(self._used[account], account) for account in listed]
        heapify(heap)
        self._heaps[step], self._listed[step] = heap, listed

    def greatest(self) -> int:
        """The account that takes most. There has to be one."""
        step = max(self._counts)
        heap = self._heaps[step]
        while True:
            used, account = heap[0]
            if self._steps.get(account) != step:
                heappop(heap)
                self._listed[step].discard(account)
            elif used != self._used[account]:
                heapreplace(heap, (self._used[account], account))
            else:
                return account
