"""An event loop whose time passes at once: a sleep of a day takes no time, and everything else keeps its order."""

import asyncio
import math
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")
TICK = 2.0**-20
"""A microsecond. A timer fires strictly after its time, so that rounding never lets it come too early for ever."""


class _Selector(selectors.DefaultSelector):
    """Waits for nothing: there is no I/O, so that the next thing to happen is the next timer."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let the time until the next timer pass."""
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("nothing is due, ever: a deadlock")
        self.loop.now = (math.floor((self.loop.now + timeout) / TICK) + 1) * TICK
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at 0 seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)
        self._clock_resolution = 0.0

    def time(self) -> float:
        """Return the seconds that have passed."""
        return self.now


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def seconds() -> float:
    """Return the virtual time."""
    return asyncio.get_running_loop().time()


async def sleep_until(at: float) -> None:
    """Let time pass."""
    await asyncio.sleep(max(0.0, at - seconds()))
