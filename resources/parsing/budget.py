"""How much may be under way at once, in bytes and in number, shared by several streams of documents."""

import threading


class Budget:
    """Bounds bytes and count. Every share may always hold one document, however large, so that none waits for another
    for ever.
    """

    def __init__(self, most_bytes: int, most: int) -> None:
        self._most_bytes, self._most = most_bytes, most
        self._bytes = self._count = 0
        self.peak_bytes = self.peak_count = 0
        self._changed = threading.Condition()

    def share(self) -> "Share":
        """Return one stream's part in the budget."""
        return Share(self)


class Share:
    """What one stream holds of a budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._bytes = self._count = 0
        self._closed = False

    def acquire(self, size: int) -> bool:
        """Wait until `size` bytes more fit, and hold them; False when the share is closed."""
        budget = self._budget
        with budget._changed:
            budget._changed.wait_for(lambda: self._closed or not self._count or self._fits(size))
            if self._closed:
                return False
            self._add(size, 1)
            budget.peak_bytes = max(budget.peak_bytes, budget._bytes)
            budget.peak_count = max(budget.peak_count, budget._count)
            return True

    def release(self, size: int) -> None:
        """Give back one document of `size` bytes."""
        with self._budget._changed:
            if not self._closed:
                self._add(-size, -1)

    def close(self) -> None:
        """Give back everything and hold nothing more."""
        with self._budget._changed:
            self._add(-self._bytes, -self._count)
            self._closed = True

    def _fits(self, size: int) -> bool:
        return self._budget._bytes + size <= self._budget._most_bytes and self._budget._count < self._budget._most

    def _add(self, size: int, count: int) -> None:
        self._bytes += size
        self._count += count
        self._budget._bytes += size
        self._budget._count += count
        self._budget._changed.notify_all()
