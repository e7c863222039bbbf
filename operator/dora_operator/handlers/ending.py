"""The end of the process: in order, and in time whatever hangs.

What does not end in time is safe to repeat: the resource is the queue, and the next start reads it.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Sequence

from dora_operator.handlers.assembly import Parts
from dora_operator.handlers.leading import AlwaysLeading, Leadership

logger = logging.getLogger(__name__)

FINISH_SECONDS = 4.0
"""How long requests under way may take to finish."""
LAST_EVENTS_SECONDS = 1.0
LATEST_SECONDS = 8.5
"""After this the process is gone. Python waits for threads, and one that looks up a name cannot be stopped."""


async def in_order(
    parts: Parts,
    leadership: Leadership | AlwaysLeading,
    tasks: Sequence[asyncio.Task[None]],
    holding: Sequence[asyncio.Task[None]],
) -> None:
    """Finish what is under way, stop everything, and give the Lease back."""
    kinds = (parts.rollouts.workers, parts.deployments.workers)
    await asyncio.gather(*(workers.finish(FINISH_SECONDS) for workers in kinds))
    await _stopped(tasks)
    await parts.events.finish(LAST_EVENTS_SECONDS)
    await _stopped(holding)  # until here, what was under way needed the Lease
    await leadership.release()


async def _stopped(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def leave_at_the_latest(code: Callable[[], int], seconds: float = LATEST_SECONDS) -> None:
    """End the process then, with this code, if it has not ended by itself."""
    timer = threading.Timer(seconds, _leave, [code])
    timer.daemon = True
    timer.start()


def _leave(code: Callable[[], int]) -> None:
    logger.warning("something does not end; the process ends all the same")
    os._exit(code())
