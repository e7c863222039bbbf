"""Workers: serve keys of a queue for ever, survive what a visit raises, and try again with growing pauses.

Knows nothing of what a visit does.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from dora_operator.handlers.logs import about
from dora_operator.meter import NO_METER, Meter, Visited
from dora_operator.ports import ClusterUnavailableError
from dora_operator.workqueue import Urgency, WorkQueue

logger = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0


async def forever(what: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run something that never ends, and begin it anew where a defect of ours ended it all the same."""
    while True:
        try:
            await run()
        except Exception:
            logger.exception("%s ended and begins anew", what)
        await asyncio.sleep(FIRST_PAUSE)


@dataclass(slots=True)
class Workers(Generic[Key]):
    """The workers of one kind of object."""

    kind: str
    queue: WorkQueue[Key, Any]
    visit: Callable[[Key], Awaitable[datetime | None]]
    """Visits a key, and returns when to visit it again, if at all."""
    clock: Callable[[], datetime]
    meter: Meter = NO_METER
    stopping: bool = False
    _failures: dict[Key, int] = field(default_factory=dict)

    async def work(self) -> None:
        """Serve keys for ever. One worker; several may run."""
        while True:
            key = await self.queue.take()
            try:
                if not self.stopping:
                    await self.serve(key)
            finally:
                self.queue.done(key)

    async def serve(self, key: Key) -> None:
        """Visit one key. Never raises for what a resource or an API does."""
        begun = asyncio.get_running_loop().time()
        with about(self.kind, key):
            result = await self._serve(key)
            self.meter.visited(self.kind, result, asyncio.get_running_loop().time() - begun)

    async def _serve(self, key: Key) -> Visited:
        try:
            again_at = await self.visit(key)
        except ClusterUnavailableError as error:
            pause = self._try_later(key)
            logger.warning("%s %s, trying again in %.1f s: %s", self.kind, key, pause, error.__cause__ or error)
            return Visited.UNAVAILABLE
        except Exception:  # the one place that survives a defect of our own: no resource may stop the process
            self._try_later(key)
            logger.exception("%s %s: the reconcile broke", self.kind, key)
            return Visited.BROKEN
        self._failures.pop(key, None)
        if again_at is not None:
            self.queue.add(key, Urgency.RETRY, (again_at - self.clock()).total_seconds())
        return Visited.DONE

    async def finish(self, seconds: float) -> None:
        """Take no new keys, and let visits under way end, for so long at most.

        What does not end is safe to repeat: the resource is the queue, and the next start reads it.
        """
        self.stopping = True
        deadline = asyncio.get_running_loop().time() + seconds
        while self.queue.busy and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0.05)

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a key that is gone."""
        self._failures.pop(key, None)

    def try_failed_now(self) -> None:
        """Look at once at every key that waits because its last visit failed: the reason may be gone."""
        for key in self._failures:
            self.queue.add(key, Urgency.RETRY)

    def _try_later(self, key: Key) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 10))
        self.queue.add(key, Urgency.RETRY, pause)
        return pause
