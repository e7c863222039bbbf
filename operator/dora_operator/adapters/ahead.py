"""Reading ahead: one source is read while its reader also waits for another. Knows nothing of what is read."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class _End:
    """The source has ended, and why."""

    error: Exception | None = None


@dataclass(slots=True)
class Ahead(Generic[Item]):
    """Reads something in a task of its own, while its reader waits for something else."""

    source: AsyncIterator[Item]
    most: int
    """How many items may wait; the source is read no further then."""
    _queue: asyncio.Queue[Item | _End] = field(init=False)
    _task: asyncio.Task[None] = field(init=False)
    _end: _End | None = None

    def __post_init__(self) -> None:
        """Begin."""
        self._queue = asyncio.Queue(self.most)
        self._task = asyncio.create_task(self._read())

    async def until(self, other: asyncio.Future[Any] | None) -> AsyncIterator[Item]:
        """Bring what comes until something else is done; without anything else, what is there."""
        while self._end is None:
            if self._queue.empty():
                if other is None or other.done():
                    return
                coming = asyncio.ensure_future(self._queue.get())
                await asyncio.wait([coming, other], return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    coming.cancel()
                    return
                item = coming.result()
            else:
                item = self._queue.get_nowait()
            if isinstance(item, _End):
                self._end = item
            else:
                yield item

    async def rest(self) -> AsyncIterator[Item]:
        """Bring everything until the source ends, and raise what ended it."""
        while self._end is None:
            item = await self._queue.get()
            if isinstance(item, _End):
                self._end = item
            else:
                yield item
        if self._end.error is not None:
            raise self._end.error

    async def stop(self) -> None:
        """Read no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async for item in self.source:
                await self._queue.put(item)
        except Exception as error:  # noqa: BLE001 - raised where it is read
            await self._queue.put(_End(error))
        else:
            await self._queue.put(_End())
