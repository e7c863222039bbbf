"""Reading Datadog's rate limit headers as they really arrive.

`X-RateLimit-Reset` is documented as seconds until the next window. In the wild it also comes as a list ("7, 7"), as an
epoch, as rubbish, or not at all.
Source: Datadog API reference, "Rate Limits"; pull requests datadog-api-client-python 3460 and dd-trace-py 17170.
"""

from datetime import datetime
from math import isfinite

EPOCH_FROM = 1_000_000_000
"""Larger numbers are points in time, in seconds or milliseconds."""
LONGEST_RESET = 3600.0
"""Seconds. A header that asks for more is not believed: the account is asked again after an hour at most."""


def seconds_until_reset(header: str | None, now: datetime) -> float | None:
    """Return the seconds to wait, 0 to 3600, or None where the header says nothing usable."""
    if header is None:
        return None
    try:
        number = float(header.split(",")[0].strip())
    except ValueError:
        return None
    if not isfinite(number) or number < 0:
        return None
    if number > EPOCH_FROM * 1000:
        number /= 1000
    if number > EPOCH_FROM:
        number = max(0.0, number - now.timestamp())
    return min(number, LONGEST_RESET)


def remaining_requests(header: str | None) -> int | None:
    """Return how many requests the window still admits, or None where the header says nothing usable."""
    if header is None:
        return None
    try:
        number = int(header.split(",")[0].strip())
    except ValueError:
        return None
    return max(0, number)
