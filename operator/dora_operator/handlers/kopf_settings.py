"""How kopf is told to do as little as possible: it runs the process, and nothing more."""

import random
from collections.abc import Iterator

import kopf


def build_kopf_settings() -> kopf.OperatorSettings:
    """Return kopf's settings: it posts nothing, scans nothing, and comes back quickly after an outage."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.error_backoffs = _Backoffs()
    settings.networking.request_timeout = 30
    return settings


class _Backoffs:
    """Pauses between kopf's tries, in seconds: short, without end within a day, never in step with other clients."""

    def __iter__(self) -> Iterator[float]:
        return (0.3 + 0.4 * random.random() for _ in range(200_000))  # noqa: S311 - jitter
