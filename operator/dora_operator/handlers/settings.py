"""kopf's settings. docs/decisions gives the measurements behind them."""

import random
from collections.abc import Iterable, Iterator
from typing import Any

import kopf

SERVER_TIMEOUT_SECONDS = 30
"""The API server ends each watch request after this time, so a working watch sends one at least this often."""
INACTIVITY_SECONDS = 35.0
"""A stream that was silent for this long is dead: the server should have ended it before."""
RETRY_SECONDS = 0.5


def build_settings(
    selector: str = "",
    *,
    server_timeout: int = SERVER_TIMEOUT_SECONDS,
    inactivity_timeout: float = INACTIVITY_SECONDS,
) -> kopf.OperatorSettings:
    """Return settings with which kopf only watches objects with these labels, writes nothing and retries quickly."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()

    if selector:
        settings.watching.label_selectors[kopf.EVERYTHING] = selector
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = server_timeout
    settings.watching.inactivity_timeout = inactivity_timeout
    settings.watching.connect_timeout = 5
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = Backoffs()

    settings.queueing.idle_timeout = 0.05  # the task of an object ends soon; 0 would be a livelock on Python 3.11
    settings.queueing.exit_timeout = 0.5
    settings.process.ultimate_exiting_timeout = None  # else kopf kills the process 600 s after an error
    return settings


class Backoffs:
    """Seconds between the attempts of a request, endless and with jitter. kopf ends when its own table is used up."""

    def __iter__(self) -> Iterator[float]:
        while True:
            yield RETRY_SECONDS * random.uniform(0.6, 1.4)  # noqa: S311 - jitter


class NoDiffBase(kopf.DiffBaseStorage):
    """Keeps no copy of an object to compare with: that would cost CPU for each event."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[kopf.FieldSpec] | None = None) -> kopf.BodyEssence:  # noqa: ARG002
        """Return nothing to compare."""
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002
        """Return nothing."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Write nothing."""


class NoProgress(kopf.ProgressStorage):
    """Keeps no progress of handlers: they have none."""

    def fetch(self, *, key: kopf.HandlerId, body: kopf.Body) -> kopf.ProgressRecord | None:  # noqa: ARG002
        """Return nothing."""
        return None

    def store(self, **_: Any) -> None:
        """Write nothing."""

    def purge(self, **_: Any) -> None:
        """Write nothing."""

    def touch(self, **_: Any) -> None:
        """Write nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Return the object unchanged."""
        return essence
