"""Being the one that writes: takes the Lease, renews it, says until when it is good, and gives it back at the end.

A Lease that is lost ends the process: what a leader has in memory must not outlive its time (docs/decisions/0007).
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from dora_operator.domain.lease import (
    GIVEN_BACK_SECONDS,
    Create,
    LastSeen,
    Lease,
    Pace,
    Renew,
    Take,
    Wait,
    next_move,
    see,
)
from dora_operator.ports import ClusterUnavailableError, LeaseRaceLostError

logger = logging.getLogger(__name__)

RELEASE_SECONDS = 2.0
"""How long giving the Lease back may take: an API server that hangs must not keep the process from ending."""


class LeaseLostError(Exception):
    """Another process may write now, or soon."""


class LeasePort(Protocol):
    """One Lease; see `adapters.leases`."""

    async def read(self) -> Lease | None:
        """Read it."""
        ...

    async def create(self, holder: str, duration_seconds: float) -> Lease:
        """Make it."""
        ...

    async def write(self, holder: str, duration_seconds: float) -> Lease:
        """Write the one that was read last."""
        ...


class AlwaysLeading:
    """For one replica: nobody else writes."""

    why_lost = ""

    def __init__(self) -> None:
        self.leading = asyncio.Event()
        self.leading.set()
        self.lost = asyncio.Event()

    def may_write(self) -> bool:
        """Tell whether a request may begin now."""
        return True

    async def hold(self) -> None:
        """There is nothing to hold."""

    async def release(self) -> None:
        """There is nothing to give back."""


@dataclass(slots=True)
class Leadership:
    """Whether this process may write, and until when."""

    lease: LeasePort
    identity: str
    clock: Callable[[], float]
    """Monotonic, in seconds."""
    pace: Pace = field(default_factory=Pace)
    leading: asyncio.Event = field(default_factory=asyncio.Event)
    good_until: float = 0.0
    """Before this time on the clock, nobody else writes."""
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    """Set for ever when the Lease was held and is not any more."""
    why_lost: str = ""
    _seen: LastSeen | None = None
    _waits_until: float = inf
    """When the Lease of another runs out, as far as the last look told."""

    def may_write(self) -> bool:
        """Tell whether a request may begin now."""
        return self.leading.is_set() and self.clock() < self.good_until

    async def hold(self) -> None:
        """Wait for the Lease, then renew it, until it is lost."""
        try:
            await self._hold()
        except LeaseLostError as error:
            self._end(f"the Lease was lost: {error}")
        except Exception:  # a defect of ours: without this, a process that neither writes nor ends
            logger.exception("holding the Lease broke")
            self._end("the Lease was lost: holding it broke; the log says how")

    def _end(self, why: str) -> None:
        self.leading.clear()
        self.why_lost = why
        logger.error("%s; this process ends, and writes nothing more", why)
        self.lost.set()

    async def _hold(self) -> None:
        trouble = ""
        while True:
            begun = self.clock()
            try:
                await self._step(begun)
                trouble = ""
            except (ClusterUnavailableError, LeaseRaceLostError) as error:
                if str(error) != trouble:
                    logger.warning(
                        "the Lease could not be read or written: %s", str(error) or "somebody else was quicker"
                    )
                trouble = str(error)
            if self.leading.is_set() and self.clock() >= self.good_until:
                raise LeaseLostError("it could not be renewed in time")
            pause = self.pace.longest_retry * (0.7 + 0.3 * random.random())  # noqa: S311 - jitter
            await asyncio.sleep(max(0.0, min(pause, self._time_left())))

    async def release(self) -> None:
        """Give the Lease back, so that another takes it at once; does nothing where it is not ours."""
        if not self.leading.is_set():
            return
        self.leading.clear()
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                found = await self.lease.read()
                if found is not None and found.holder == self.identity:
                    await self.lease.write("", GIVEN_BACK_SECONDS)
                    logger.info("the Lease is given back")
        except (ClusterUnavailableError, LeaseRaceLostError, TimeoutError) as error:
            logger.warning("the Lease could not be given back, it runs out by itself: %s", str(error) or "no answer")

    async def _step(self, begun: float) -> None:
        self._waits_until = inf
        found = await self.lease.read()
        self._seen = see(found, self._seen, self.clock())
        match next_move(found, self._seen, self.identity, self.clock(), self.pace):
            case Create():
                await self._won(self.lease.create, begun, "")
            case Renew():
                await self._won(self.lease.write, begun, self.identity)
            case Take():
                await self._won(self.lease.write, self.clock(), found.holder if found else "")
            case Wait(until) if not self.leading.is_set():
                self._waits_until = until
            case _:
                raise LeaseLostError(f"it is held by {(found and found.holder) or 'nobody'}")

    async def _won(self, write: Callable[[str, float], Awaitable[Lease]], begun: float, before: str) -> None:
        if self.leading.is_set() and before != self.identity:
            raise LeaseLostError("it was taken away, and given back")
        await write(self.identity, self.pace.duration)
        self.good_until = begun + self.pace.deadline
        if not self.leading.is_set():
            logger.info("this process leads now, as %s%s", self.identity, f", after {before}" if before else "")
            self.leading.set()

    def _time_left(self) -> float:
        return (self.good_until if self.leading.is_set() else self._waits_until) - self.clock()
