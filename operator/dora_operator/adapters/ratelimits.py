"""What accounts have left of their rate limit, as Datadog last said it. Knows nothing of Prometheus."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from dora_operator.domain.ratelimit import seconds_until_reset
from dora_operator.meter import Account

REMEMBERED = 1000
"""Accounts at most; the one that was silent for longest is forgotten first."""


class Left(NamedTuple):
    """The tightest account of a site, of the operator's own or of all Secrets'."""

    site: str
    credentials: str
    remaining: float
    reset_seconds: float


@dataclass(slots=True)
class RateLimits:
    """The windows that have not ended yet."""

    _windows: OrderedDict[Account, tuple[float, datetime]] = field(default_factory=OrderedDict)

    def learn(self, account: Account, headers: Mapping[str, str], now: datetime) -> None:
        """Take in the headers of an answer; without usable ones nothing is known of the account."""
        remaining = _number(headers.get("x-ratelimit-remaining"))
        seconds = seconds_until_reset(headers.get("x-ratelimit-reset"), now)
        self._windows.pop(account, None)
        if remaining is None or seconds is None:
            return
        self._windows[account] = remaining, now + timedelta(seconds=seconds)
        if len(self._windows) > REMEMBERED:
            self._windows.popitem(last=False)

    def left(self, now: datetime) -> Iterator[Left]:
        """Iterate over the tightest account of each kind, among windows that have not ended."""
        tightest: dict[tuple[str, str], tuple[float, datetime]] = {}
        for account, window in self._windows.items():
            name = account.site, account.credentials.value
            if window[1] > now:
                tightest[name] = min(window, tightest.get(name, window))
        for (site, credentials), (remaining, ends) in tightest.items():
            yield Left(site, credentials, remaining, (ends - now).total_seconds())


def _number(header: str | None) -> float | None:
    first = (header or "").split(",")[0].strip()
    return float(first) if first.isascii() and first.isdigit() and len(first) <= 12 else None  # noqa: PLR2004 - no limit is that long
