"""Moments in time as Datadog's DORA API writes them: whole numbers in, RFC 3339 text out.

Pure: knows no clock. A moment is a whole number of nanoseconds since 1970.
"""

import re
from datetime import UTC, datetime

NANOSECONDS = 1_000_000_000
_MILLISECONDS_FROM = 10**11
_NANOSECONDS_FROM = 10**17
_MICROSECONDS_FROM = 10**14
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def from_number(value: int) -> int | None:
    """Return the moment that a number of seconds, milliseconds or nanoseconds means; microseconds are not offered."""
    if value < _MILLISECONDS_FROM:
        return value * NANOSECONDS
    if value < _MICROSECONDS_FROM:
        return value * 1_000_000
    return value if value >= _NANOSECONDS_FROM else None


def from_text(text: str) -> int | None:
    """Return the moment that RFC 3339 text means, or nothing."""
    if not _RFC_3339.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
        return int(moment.timestamp() * 1_000_000) * 1_000
    except (ValueError, OverflowError):
        return None


def from_clock(now: float) -> int:
    """Return the moment of a clock's seconds."""
    return int(now * 1_000_000) * 1_000


def as_text(moment: int) -> str:
    """Return RFC 3339 in UTC: `Z`, and milliseconds only where there are some."""
    seconds, rest = divmod(moment, NANOSECONDS)
    milliseconds = rest // 1_000_000
    fraction = f".{milliseconds:03d}" if milliseconds else ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"
