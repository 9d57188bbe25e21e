"""Which account takes most of what all share, and has to give first."""

from heapq import heapify, heappop, heappush, heapreplace

FEW = 16
"""How many accounts may stay in the heap of a step that they have left."""


class Shares:
    """What each account takes, in steps; within one, the least recently used gives first.

    So every node finds the same.
    """

    def __init__(self, step: int) -> None:
        self._step = step
        self._steps: dict[int, int] = {}
        self._used: dict[int, int] = {}
        """By account: the entry that last used it."""
        self._counts: dict[int, int] = {}
        self._heaps: dict[int, list[tuple[int, int]]] = {}
        """By step: (last use, or an earlier one; account)."""
        self._listed: dict[int, set[int]] = {}
        """By step: accounts in its heap; some have moved."""

    def put(self, account: int, taken: int, used: int) -> None:
        self._used[account] = used
        step, before = taken // self._step, self._steps.get(account)
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
        listed = {account for account in self._listed[step] if self._steps.get(account) == step}
        heap = [(self._used[account], account) for account in listed]
        heapify(heap)
        self._heaps[step], self._listed[step] = heap, listed

    def greatest(self) -> int:
        """Return the account that takes most; there must be one."""
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
