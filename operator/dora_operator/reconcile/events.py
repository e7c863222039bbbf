"""Events on their way to the API server: posted one after the other beside the workers, who do not wait for them.

The condition of an object says the same, for ever: an Event that cannot be posted within a few tries is let go.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field

from dora_operator.domain.notices import EventNote
from dora_operator.ports import ClusterPort, ClusterUnavailableError, Subject

logger = logging.getLogger(__name__)

LONGEST_QUEUE = 2_000
TRIES = 5
FIRST_PAUSE_SECONDS = 0.5


@dataclass(slots=True)
class EventQueue:
    """Events that are not posted yet, oldest first."""

    cluster: ClusterPort
    _waiting: deque[tuple[Subject, EventNote]] = field(default_factory=deque)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __len__(self) -> int:
        return len(self._waiting)

    def tell(self, about: Subject, note: EventNote) -> None:
        """Post an Event soon. The oldest goes when there are too many."""
        if len(self._waiting) >= LONGEST_QUEUE:
            lost, lost_note = self._waiting.popleft()
            logger.warning("no Event %s for %s %s: too many are waiting", lost_note.reason, lost.kind, lost.key)
        self._waiting.append((about, note))
        self._changed.set()

    async def run(self) -> None:
        """Post for ever."""
        while True:
            self._changed.clear()
            while self._waiting:
                await self.post_next()
            await self._changed.wait()

    async def post_next(self) -> None:
        """Post the oldest Event, with some patience."""
        about, note = self._waiting[0]
        for number in range(TRIES):
            try:
                await self.cluster.post_event(about, note)
                break
            except ClusterUnavailableError as error:
                if number + 1 == TRIES:
                    logger.warning("no Event %s for %s %s: %s", note.reason, about.kind, about.key, error)
                    break
                await asyncio.sleep(FIRST_PAUSE_SECONDS * 2.0**number)
        if self._waiting and self._waiting[0] == (about, note):
            self._waiting.popleft()

    async def finish(self, seconds: float) -> None:
        """Post what is left, at the end, for so long at most."""
        try:
            async with asyncio.timeout(seconds):
                while self._waiting:
                    await self.post_next()
        except TimeoutError:
            logger.warning("%d Events were not posted before the end", len(self._waiting))
