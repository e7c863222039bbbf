"""How many requests an account may send now: a few at once, none while Datadog's rate limit forbids it.

Datadog limits API keys, not Secrets: accounts whose Secrets hold the same API key share one limit. It limits by name,
too (`X-RateLimit-Name`): reads may have another window than marks. Which name a kind of request has, its first answer
shows; until then it shares the window without a name.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf
from typing import NamedTuple

from dora_operator.clients.datadog import Keys
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.outcome import LONGEST_RESET, rate_limit_of
from dora_operator.domain.resource import Target
from dora_operator.workqueue import Result, WorkQueue

MAX_AT_ONCE = {"mark": 8, "event": 8, "list": 2, "read": 2}
"""Requests in flight for one account. More would let one slow account use every worker; reads take no mark's place."""
RESERVED_FOR_MARKS = 16
"""Requests of a window that reads for which no mark waits leave to marks."""
SAME_WINDOW = timedelta(seconds=1.5)
"""X-RateLimit-Reset has whole seconds: the ends of one window, as two answers report them, differ by up to one."""
MAX_WAIT = timedelta(seconds=LONGEST_RESET + 60)
"""A longer wait comes from a clock that has been set back since."""


class Account(NamedTuple):
    """A site and the Secret that holds the keys; no Secret: the operator's own."""

    site: str
    secret: ObjectKey | None


class RateLimitKey(NamedTuple):
    """What Datadog limits: an API key on a site. Python's hash distinguishes keys in this process alone."""

    site: str
    api_key: int


def account_of(namespace: str, target: Target) -> Account:
    """Return the account of a target. Its Secret is always in the resource's own namespace."""
    name = target.credentials_secret
    return Account(target.site, ObjectKey(namespace, name) if name else None)


@dataclass(slots=True)
class _Window:
    """What the newest answer says about one name of a limit."""

    remaining: float = inf
    ends_at: datetime | None = None
    blocked_until: datetime | None = None


@dataclass(slots=True)
class _Limit:
    in_flight: Counter[str] = field(default_factory=Counter)
    """By kind of request."""
    names: dict[str, str] = field(default_factory=dict)
    """The name of the limit for each kind of request, as far as answers have shown it."""
    windows: dict[str, _Window] = field(default_factory=dict)


class Wait(NamedTuple):
    """What a key waits for: the end of a request that is in flight."""

    limit: RateLimitKey
    call: str
    reserve: int = 0


@dataclass(slots=True)
class RateLimits:
    """The limits of all accounts. `call` is a kind of request: mark, event, list or read."""

    _limits: dict[RateLimitKey, _Limit] = field(default_factory=dict)
    _blocked: dict[Account, datetime] = field(default_factory=dict)
    """Accounts whose keys were not read yet: until when they are blocked, as a status says."""

    def key_of(self, account: Account, keys: Keys) -> RateLimitKey:
        key = RateLimitKey(account.site, hash(keys.api_key))
        blocked_until = self._blocked.pop(account, None)
        if blocked_until is not None:
            self.block(key, "", blocked_until)
        return key

    def free(self, key: RateLimitKey, call: str, now: datetime, reserve: int = 0) -> int:
        """Return how many requests may begin now, if `reserve` requests of the window are left to others."""
        if self.opens_at(key, call, now) is not None:
            return 0
        limit = self._limit(key)
        left = self._window(limit, call, now).remaining - limit.in_flight.total() - reserve
        same = sum(count for kind, count in limit.in_flight.items() if MAX_AT_ONCE[kind] == MAX_AT_ONCE[call])
        return max(0, int(min(MAX_AT_ONCE[call] - same, left)))

    def opens_at(self, key: RateLimitKey, call: str, now: datetime, reserve: int = 0) -> datetime | None:
        """Return when requests may begin again. None: now, or when one that is in flight ends."""
        limit = self._limit(key)
        window = self._window(limit, call, now)
        if window.blocked_until is not None:
            return window.blocked_until
        return window.ends_at if not limit.in_flight.total() and window.remaining - reserve < 1 else None

    def postponed(self, key: RateLimitKey, call: str, now: datetime, reserve: int = 0) -> Result | None:
        """Return when a request that may not begin now is tried again, or None where it may."""
        if self.free(key, call, now, reserve):
            return None
        at = self.opens_at(key, call, now, reserve)
        return Result(at) if at is not None else Result(waits_for=Wait(key, call, reserve))

    def admit(self, queue: WorkQueue[ObjectKey], now: datetime) -> None:
        """Release the keys that wait for requests which have ended."""
        for wait in queue.waiting_for():
            if isinstance(wait, Wait):
                free = self.free(*wait[:2], now, wait.reserve)
                # With nothing in flight no end would release them: each learns when its window opens.
                queue.release(wait, free if free or self._limit(wait.limit).in_flight.total() else inf)

    def begin(self, key: RateLimitKey, call: str) -> None:
        self._limit(key).in_flight[call] += 1

    def end(self, key: RateLimitKey, call: str, headers: Mapping[str, str], now: datetime) -> None:
        limit, state = self._limit(key), rate_limit_of(headers, now)
        limit.in_flight[call] -= 1
        if state.name is not None:
            limit.names[call] = state.name
        if state.remaining is None or state.reset_seconds is None:
            return
        window = self._window(limit, call, now)
        ends_at = now + timedelta(seconds=state.reset_seconds)
        if window.ends_at is None or ends_at - window.ends_at > SAME_WINDOW:
            window.remaining, window.ends_at = state.remaining, ends_at
        elif window.ends_at - ends_at <= SAME_WINDOW:  # else a slow answer about a window that has ended
            # Answers of one window arrive in any order: the least that remains counts, and the latest end.
            window.remaining = min(state.remaining, window.remaining)
            window.ends_at = max(ends_at, window.ends_at)

    def block(self, key: RateLimitKey | Account, call: str, until: datetime) -> None:
        """Begin nothing before `until`: Datadog answered 429, or a status says so after a restart."""
        if isinstance(key, Account):
            self._blocked[key] = max(until, self._blocked.get(key, until))
            return
        limit = self._limit(key)
        window = limit.windows.setdefault(limit.names.get(call, ""), _Window())
        window.blocked_until = max(until, window.blocked_until or until)

    def remaining(self, now: datetime) -> dict[str, float]:
        """Return by site the least that an account has left of a window which has not ended."""
        least: dict[str, float] = {}
        for key, limit in self._limits.items():
            for window in limit.windows.values():
                if window.ends_at is not None and window.ends_at > now:
                    least[key.site] = min(window.remaining, least.get(key.site, inf))
        return least

    def _limit(self, key: RateLimitKey) -> _Limit:
        return self._limits.setdefault(key, _Limit())

    @staticmethod
    def _window(limit: _Limit, call: str, now: datetime) -> _Window:
        """Return the window of a kind of request, without what is over."""
        window = limit.windows.setdefault(limit.names.get(call, ""), _Window())
        if window.ends_at is not None and not now < window.ends_at <= now + MAX_WAIT:
            window.remaining, window.ends_at = inf, None
        if window.blocked_until is not None and not now < window.blocked_until <= now + MAX_WAIT:
            window.blocked_until = None
        return window
