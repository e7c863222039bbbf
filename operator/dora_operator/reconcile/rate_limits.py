"""How many requests an account may send now: a few at once, none while Datadog's rate limit forbids it.

An account is a site with the Secret that holds its keys, or the operator's own. Datadog limits keys, not Secrets:
accounts whose Secrets hold the same API key share one limit, from the first time that their keys are read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf
from typing import NamedTuple

from dora_operator.clients.datadog import Keys
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.resource import Target
from dora_operator.domain.retry import remaining_requests, seconds_until_reset

MOST_AT_ONCE = 8
"""Requests in flight for one account. More would let one slow account use every worker."""
MOST_READS = 2
RESERVED_FOR_MARKS = 16
"""Requests of a window that reads leave to marks; of a small window, half."""
SAME_WINDOW = timedelta(seconds=1.5)
"""X-RateLimit-Reset has whole seconds: the ends of one window, as two answers report them, differ by up to one."""
CLOCK_SET_BACK = timedelta(seconds=5)


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
class _Limit:
    """What is known of one rate limit."""

    in_flight: int = 0
    reads_in_flight: int = 0
    """Beside the requests in flight: a read takes no place from a mark."""
    most_at_once: int = MOST_AT_ONCE
    per_window: int | None = None
    remaining: float = inf
    """Requests left in the window that ends at `ends_at`."""
    ends_at: datetime | None = None
    blocked_until: datetime | None = None
    learnt_at: datetime | None = None


class Remaining(NamedTuple):
    """What an account has left of its window, for metrics."""

    site: str
    is_own: bool
    remaining: float
    reset_seconds: float


@dataclass(slots=True)
class RateLimits:
    """The limits of all accounts."""

    most_in_all: float = inf
    """Requests in flight for all accounts together, beyond which each account gets one at most."""
    _limits: dict[RateLimitKey, _Limit] = field(default_factory=dict)
    _blocked: dict[Account, tuple[datetime, datetime]] = field(default_factory=dict)
    """Accounts whose keys were not read yet: until when they are blocked, as a status says, and since when."""

    def key_of(self, account: Account, keys: Keys) -> RateLimitKey:
        """Return the limit that counts for an account with these keys."""
        key = RateLimitKey(account.site, hash(keys.api_key))
        blocked = self._blocked.pop(account, None)
        if blocked is not None:
            self.block(key, *blocked)
        return key

    def free(self, key: RateLimitKey, now: datetime) -> int:
        """Return how many requests may begin now."""
        limit = self._limit(key, now)
        if limit.blocked_until is not None and now < limit.blocked_until:
            return 0
        free = min(limit.most_at_once - limit.in_flight, limit.remaining - limit.in_flight - limit.reads_in_flight)
        if sum(each.in_flight for each in self._limits.values()) >= self.most_in_all:
            free = min(free, 1 - limit.in_flight)
        return max(0, int(free))

    def opens_at(self, key: RateLimitKey, now: datetime) -> datetime | None:
        """Return when requests may begin again; None where the end of a request in flight decides that."""
        limit = self._limit(key, now)
        if limit.blocked_until is not None and now < limit.blocked_until:
            return limit.blocked_until
        return limit.ends_at if not limit.in_flight and limit.remaining - limit.reads_in_flight < 1 else None

    def begin(self, key: RateLimitKey, now: datetime) -> None:
        """Count a request that begins. `end` follows, whatever happens."""
        self._limit(key, now).in_flight += 1

    def can_read(self, key: RateLimitKey, now: datetime) -> bool:
        """Return whether a read may begin: the limit leaves enough for marks, and none of them waits."""
        limit = self._limit(key, now)
        reserve = min(RESERVED_FOR_MARKS, limit.per_window // 2) if limit.per_window else RESERVED_FOR_MARKS
        return (
            self.free(key, now) > 0
            and limit.reads_in_flight < MOST_READS
            and limit.remaining - limit.in_flight - limit.reads_in_flight > reserve
        )

    def begin_read(self, key: RateLimitKey, now: datetime) -> None:
        """Count a read that begins. `end_read` follows, whatever happens."""
        self._limit(key, now).reads_in_flight += 1

    def end_read(self, key: RateLimitKey, headers: Mapping[str, str], now: datetime) -> None:
        """Count a read that has ended, with the headers of its answer."""
        limit = self._limit(key, now)
        limit.reads_in_flight -= 1
        self._learn(limit, headers, now)

    def end(self, key: RateLimitKey, headers: Mapping[str, str], now: datetime) -> None:
        """Count a request that has ended, with the headers of its answer."""
        limit = self._limit(key, now)
        limit.in_flight -= 1
        self._learn(limit, headers, now)

    def _learn(self, limit: _Limit, headers: Mapping[str, str], now: datetime) -> None:
        remaining = remaining_requests(headers.get("x-ratelimit-remaining"))
        seconds = seconds_until_reset(headers.get("x-ratelimit-reset"), now)
        per_window = remaining_requests(headers.get("x-ratelimit-limit"))
        if per_window:
            limit.per_window = per_window
            limit.most_at_once = min(MOST_AT_ONCE, per_window)
        if remaining is None or seconds is None:
            return
        ends_at = now + timedelta(seconds=seconds)
        if limit.ends_at is None or ends_at - limit.ends_at > SAME_WINDOW:
            limit.remaining, limit.ends_at = remaining, ends_at
        elif limit.ends_at - ends_at <= SAME_WINDOW:  # else a slow answer about a window that has ended
            # Answers of one window arrive in any order: the least that remains counts, and the latest end.
            limit.remaining, limit.ends_at = min(remaining, limit.remaining), max(ends_at, limit.ends_at)
        limit.learnt_at = now

    def block(self, key: RateLimitKey | Account, until: datetime, now: datetime) -> None:
        """Begin nothing before `until`: Datadog answered 429, or a status says so after a restart."""
        if isinstance(key, Account):
            self._blocked[key] = max((until, now), self._blocked.get(key, (until, now)))
            return
        limit = self._limit(key, now)
        limit.blocked_until = max(until, limit.blocked_until or until)
        limit.learnt_at = now

    def remaining(self, now: datetime, own: Keys | None) -> list[Remaining]:
        """Return what accounts have left of windows that have not ended."""
        return [
            Remaining(
                key.site,
                own is not None and key.api_key == hash(own.api_key),
                limit.remaining,
                (limit.ends_at - now).total_seconds(),
            )
            for key, limit in self._limits.items()
            if limit.ends_at is not None and limit.ends_at > now and limit.remaining < inf
        ]

    def _limit(self, key: RateLimitKey, now: datetime) -> _Limit:
        """Return a limit without what is over, or was learnt from a clock that has been set back since."""
        limit = self._limits.setdefault(key, _Limit())
        was_set_back = limit.learnt_at is not None and now < limit.learnt_at - CLOCK_SET_BACK
        if was_set_back or (limit.ends_at is not None and limit.ends_at <= now):
            limit.remaining, limit.ends_at = inf, None
        if was_set_back or (limit.blocked_until is not None and limit.blocked_until <= now):
            limit.blocked_until = None
        return limit
