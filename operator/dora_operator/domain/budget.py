"""How many requests an account may begin now, as far as its answers have told.

Learns from `X-RateLimit-Remaining` and `-Reset` of every answer, so that the limit is rarely run into, and from 429.
Counts what is in flight against what remains: eight requests at once must not use one remaining. Knows no clock.
Source: Datadog API reference, "Rate Limits": windows are aligned with the calendar, Reset is in whole seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dora_operator.domain.ratelimit import remaining_requests, seconds_until_reset

ENDS_DIFFER = timedelta(seconds=1.5)
SET_BACK = timedelta(seconds=5)
"""A clock that is so much behind what it has shown was set back: ends of windows mean nothing to it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer says about the account's window."""

    remaining: int
    ends_at: datetime


def read(headers: Mapping[str, str], now: datetime) -> Reading | None:
    """Return what the headers say, or None where they say nothing usable."""
    remaining = remaining_requests(headers.get("x-ratelimit-remaining"))
    seconds = seconds_until_reset(headers.get("x-ratelimit-reset"), now)
    if remaining is None or seconds is None:
        return None
    return Reading(remaining, now + timedelta(seconds=seconds))


@dataclass(frozen=True, slots=True)
class Budget:
    """One account's budget."""

    most_at_once: int
    in_flight: int = 0
    window: Reading | None = None
    """What remained after the answers so far, of the window that was seen last."""
    closed_until: datetime | None = None
    """After a 429: nothing before this."""
    learnt_at: datetime | None = None
    """When both were learnt."""

    def is_closed(self, now: datetime) -> bool:
        """Tell whether a 429 forbids every request."""
        return self.closed_until is not None and now < self.closed_until and not self._was_set_back(now)

    def admits(self, now: datetime, beyond: int = 0) -> int:
        """Return how many requests may begin now; with `beyond`, if so many more could be in flight."""
        if self._was_set_back(now):
            return self._forgetful().admits(now, beyond)
        if self.is_closed(now):
            return 0
        free = max(0, self.most_at_once + beyond - self.in_flight)
        if self.window is None:
            return free
        if now < self.window.ends_at:
            return max(0, min(free, self.window.remaining - self.in_flight))
        if self.window.remaining > self.most_at_once:
            return free
        return 0 if self.in_flight else 1  # the first of a new window goes alone, and tells what is left

    def opens_at(self, now: datetime) -> datetime | None:
        """Return when requests may begin again, or None where that depends on answers that are under way."""
        if self._was_set_back(now):
            return None
        if self.is_closed(now):
            return self.closed_until
        if self.window is not None and self.in_flight == 0 and self.window.remaining <= 0 and now < self.window.ends_at:
            return self.window.ends_at
        return None

    def begun(self) -> "Budget":
        """Count a request that begins."""
        return replace(self, in_flight=self.in_flight + 1)

    def ended(self, reading: Reading | None, now: datetime) -> "Budget":
        """Count a request that has ended, with what its answer says."""
        if self._was_set_back(now):
            return self._forgetful().ended(reading, now)
        window = self._window_after(reading, now)
        return replace(self, in_flight=max(0, self.in_flight - 1), window=window, learnt_at=now)

    def closed(self, until: datetime, now: datetime) -> "Budget":
        """Begin nothing before `until`."""
        known = self._forgetful() if self._was_set_back(now) else self
        return replace(known, closed_until=max(until, known.closed_until or until), learnt_at=now)

    def is_idle(self, now: datetime) -> bool:
        """Tell whether there is nothing to remember."""
        return not self.in_flight and not self.is_closed(now) and (self.window is None or self.window.ends_at <= now)

    def _was_set_back(self, now: datetime) -> bool:
        return self.learnt_at is not None and now < self.learnt_at - SET_BACK

    def _forgetful(self) -> "Budget":
        return Budget(self.most_at_once, self.in_flight)

    def _window_after(self, reading: Reading | None, now: datetime) -> Reading | None:
        """Answers of one window come in any order: the least that remains counts, and the latest end.

        Reset is in whole seconds, so ends of one window differ by up to one; where windows cannot be told apart, too
        little is sent rather than too much.
        """
        known = self.window
        if reading is None:  # a window that is over tells nothing any more
            return known if known is not None and now < known.ends_at else None
        if known is None or now >= known.ends_at:
            return reading
        is_later = reading.ends_at - known.ends_at > ENDS_DIFFER
        if is_later or reading.remaining > known.remaining + self.in_flight:
            return reading
        return Reading(min(known.remaining, reading.remaining), max(known.ends_at, reading.ends_at))
