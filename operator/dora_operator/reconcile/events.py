"""Kubernetes Events on their way to the API server, posted beside the workers.

One Event that fails delays no other: each is retried on its own, a few times. 403, 404 and 410 are final: the namespace
is gone, or the permission is missing. The condition of the object says the same for ever, so an Event may be dropped.
"""

import asyncio
import logging
from dataclasses import dataclass, field

from dora_operator.clients.errors import ExpiredError, ForbiddenError, KubernetesError, NotFoundError
from dora_operator.clients.kubernetes import KubernetesClient, Subject
from dora_operator.domain.events import EventNote

logger = logging.getLogger(__name__)

MAX_WAITING = 2_000
MAX_AT_ONCE = 4
BACKOFFS = (0.5, 1.0, 2.0, 4.0)
FINAL = (ForbiddenError, NotFoundError, ExpiredError)


@dataclass(slots=True)
class EventPoster:
    """Posts Events soon, without being waited for."""

    client: KubernetesClient
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_AT_ONCE))

    def __len__(self) -> int:
        return len(self._tasks)

    def post(self, subject: Subject, note: EventNote) -> None:
        """Post an Event soon. It is dropped, with a log line, while too many wait."""
        if len(self._tasks) >= MAX_WAITING:
            logger.warning("Event %s for %s %s is dropped: too many wait", note.reason, subject.kind, subject.key)
            return
        task = asyncio.create_task(self._post(subject, note))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self, seconds: float) -> None:
        """Wait for the Events that are left, within a limit."""
        if not self._tasks:
            return
        _, left = await asyncio.wait(self._tasks, timeout=seconds)
        for task in left:
            task.cancel()
        if left:
            logger.warning("%d Events were not posted before the end", len(left))

    async def _post(self, subject: Subject, note: EventNote) -> None:
        for backoff in (*BACKOFFS, None):
            try:
                async with self._free:
                    await self.client.post_event(subject, note)
            except KubernetesError as error:
                if backoff is None or isinstance(error, FINAL):
                    logger.warning("Event %s for %s %s is dropped: %s", note.reason, subject.kind, subject.key, error)
                    return
                await asyncio.sleep(backoff)
            else:
                return
