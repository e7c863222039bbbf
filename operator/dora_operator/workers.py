"""Serve the keys of a work queue: several at once, one reconcile per key.

A reconcile may raise anything; the process goes on. Knows nothing of what a reconcile does.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic

from dora_operator.clients.errors import KubernetesError
from dora_operator.domain.fields import ObjectKey
from dora_operator.logs import subject
from dora_operator.metrics import Metrics
from dora_operator.workqueue import Result, WorkQueue

logger = logging.getLogger(__name__)

RESTART_SECONDS = 0.5

Reconcile = Callable[[ObjectKey], Awaitable[Result]]


async def forever(what: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run something that never ends, and run it again after a defect of ours ended it."""
    while True:
        try:
            await run()
        except Exception:
            logger.exception("%s ended unexpectedly and is started again", what)
        await asyncio.sleep(RESTART_SECONDS)


@dataclass(slots=True)
class Workers:
    """The workers for one kind of object."""

    kind: str
    queue: WorkQueue[ObjectKey]
    reconcile: Reconcile
    count: int
    clock: Callable[[], datetime]
    metrics: Metrics
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _stopping: bool = False

    async def run(self) -> None:
        """Serve keys, at most `count` at once, until `finish`."""
        free = asyncio.Semaphore(self.count)
        while not self._stopping:
            await free.acquire()
            task = asyncio.create_task(self.serve(await self.queue.take()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _: free.release())

    async def serve(self, key: ObjectKey) -> None:
        """Reconcile a key that was taken from the queue, and give it back."""
        if self._stopping:
            self.queue.done(key)
            return
        begun = monotonic()
        token = subject.set((self.kind, *key))
        result = "broken"
        try:
            result = await self._reconcile(key)
        finally:
            subject.reset(token)
            self.queue.done(key)
            self.metrics.reconciles.labels(self.kind, result).inc()
            self.metrics.reconcile_seconds.labels(self.kind).observe(monotonic() - begun)

    async def _reconcile(self, key: ObjectKey) -> str:
        try:
            result = await self.reconcile(key)
        except KubernetesError as error:
            backoff = self.queue.failed(key)
            logger.warning("%s %s, retry in %.1f s: %s", self.kind, key, backoff, error)
            return "unavailable"
        except Exception:  # the one place that survives a defect of our own: no resource may stop the process
            self.queue.failed(key)
            logger.exception("%s %s: the reconcile failed", self.kind, key)
            return "broken"
        self.queue.succeeded(key)
        if result.waits_for is not None:
            self.queue.wait(key, result.waits_for, result.priority)
        elif result.at is not None:
            self.queue.add(key, result.priority, (result.at - self.clock()).total_seconds())
        return "done"

    async def finish(self, seconds: float) -> None:
        """Take no new keys, and let running reconciles end within a limit.

        What does not end can be repeated: the resource is the queue, and the next start reads it.
        """
        self._stopping = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            task.cancel()
