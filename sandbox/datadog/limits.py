"""Datadog's rate limit: calendar-aligned windows per key, and the five headers that report them.

Pure: `now` is an argument.
"""

import math
from dataclasses import dataclass

from sandbox.datadog.settings import RateLimit


@dataclass(frozen=True, slots=True)
class Usage:
    """What a key has left of the present window."""

    rule: RateLimit
    remaining: int
    reset: int
    exceeded: bool

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return the headers that every answer carries."""
        return (
            ("X-RateLimit-Limit", str(self.rule.limit)),
            ("X-RateLimit-Period", str(self.rule.period)),
            ("X-RateLimit-Remaining", str(self.remaining)),
            ("X-RateLimit-Reset", str(self.reset)),
            ("X-RateLimit-Name", self.rule.name),
        )


class RateLimits:
    """Counts requests; only the present window is kept."""

    def __init__(self, rule: RateLimit) -> None:
        self._rule = rule
        self._window = 0
        self._used: dict[str, int] = {}

    def count(self, key: str, now: float) -> Usage:
        """Count one request of a key; a refused one counts no further."""
        self._enter(now)
        used = self._used.get(key, 0)
        exceeded = used >= self._rule.limit
        self._used[key] = used if exceeded else used + 1
        return self._usage(self._used[key], now, exceeded=exceeded)

    def peek(self, key: str, now: float) -> Usage:
        """Return the usage of a key without counting."""
        self._enter(now)
        return self._usage(self._used.get(key, 0), now, exceeded=False)

    def _enter(self, now: float) -> None:
        window = int(now // self._rule.period)
        if window != self._window:
            self._window = window
            self._used.clear()

    def _usage(self, used: int, now: float, *, exceeded: bool) -> Usage:
        reset = max(1, math.ceil((self._window + 1) * self._rule.period - now))
        return Usage(self._rule, self._rule.limit - used, reset, exceeded)
