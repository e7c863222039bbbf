"""Moments as Datadog's DORA API writes them: whole numbers in requests, RFC 3339 text in answers.

Pure: knows no clock. A moment is seconds since 1970; milliseconds survive, nothing finer does.
"""

import re
from datetime import UTC, datetime

_MILLISECONDS_FROM = 10**11
_MICROSECONDS_FROM = 10**14
_NANOSECONDS_FROM = 10**17
LATEST = 9_000_000_000
"""A moment that every part of the API can write."""

_EXACT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def from_number(value: int) -> float | None:
    """Return the moment of a number of seconds, milliseconds or nanoseconds; microseconds are not offered."""
    if value < _MILLISECONDS_FROM:
        return float(value)
    if value < _MICROSECONDS_FROM:
        return value / 1e3
    return value / 1e9 if value >= _NANOSECONDS_FROM else None


def from_text(text: str, *, exact: bool = False) -> float | None:
    """Return the moment of RFC 3339 text, or nothing; `exact` takes only the form 2026-01-31T00:00:00Z."""
    if not (_EXACT if exact else _RFC_3339).fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).timestamp()
    except (ValueError, OverflowError):
        return None


def as_text(moment: float) -> str:
    """Return RFC 3339 in UTC: `Z`, and milliseconds only where there are some."""
    seconds, milliseconds = divmod(round(moment * 1000), 1000)
    fraction = f".{milliseconds:03d}" if milliseconds else ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"
