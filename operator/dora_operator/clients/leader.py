"""Leader election over a Lease: takes it, renews it, guards writes with it, and gives it back.

What to do with the Lease is decided in `domain.lease`. The package's own election is not used: it never gives a Lease
back, ends with the first connection error, and has nothing that stops a request under way (docs/decisions/0007).
A lost Lease ends the process: what a leader keeps in memory must not outlive its time.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from math import inf
from typing import Any

from dora_operator.clients.errors import KubernetesError, NotFoundError, NotLeaderError
from dora_operator.clients.guard import Result
from dora_operator.clients.kubernetes import Body, KubernetesClient
from dora_operator.domain import raw
from dora_operator.domain.fields import ObjectKey
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

logger = logging.getLogger(__name__)

RELEASE_SECONDS = 2.0
"""Longest time for giving the Lease back: an API server that hangs must not keep the process from ending."""


class LeaseLostError(Exception):
    """Another process may write now, or soon."""


def boot_seconds() -> float:
    """Return a monotonic time that goes on while the machine sleeps: other machines do not sleep with it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class AlwaysLeader:
    """For one replica: no other process writes."""

    why_lost = ""
    led_until = None

    def __init__(self) -> None:
        self.leading = asyncio.Event()
        self.leading.set()
        self.lost = asyncio.Event()

    def is_leader(self) -> bool:
        """Return whether a write may begin now."""
        return True

    async def hold(self) -> None:
        """Do nothing: there is no Lease."""

    async def release(self) -> None:
        """Do nothing: there is no Lease."""


class Leader:
    """Whether this process may write, and until when."""

    def __init__(
        self,
        kubernetes: KubernetesClient,
        key: ObjectKey,
        identity: str,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = boot_seconds,
        pace: Pace | None = None,
    ) -> None:
        self.leading = asyncio.Event()
        self.lost = asyncio.Event()
        """Set for ever when the Lease was held and is not any more."""
        self.why_lost = ""
        self.led_until: datetime | None = None
        """When the leader before this one renewed or released the Lease last, if there was one."""
        self.valid_until = 0.0
        """Until this monotonic time no other process writes."""
        self.pace = pace or Pace()
        self._kubernetes = kubernetes
        self._key = key
        self._identity = identity
        self._clock = clock
        self._monotonic = monotonic
        self._body: Body = {}
        """The Lease as it was read or written last."""
        self._seen: LastSeen | None = None
        self._expires_at = inf
        """When the Lease of another process expires, as far as known."""

    def is_leader(self) -> bool:
        """Return whether a write may begin now."""
        return self.leading.is_set() and self._monotonic() < self.valid_until

    async def guard(self, request: Coroutine[Any, Any, Result]) -> Result:
        """Run a request as long as this process may write.

        Raises:
            NotLeaderError: it may not, or the Lease expired before the answer came; the request was cancelled.
        """
        if not self.is_leader():
            request.close()
            raise NotLeaderError
        task = asyncio.ensure_future(request)
        try:
            while self.is_leader():  # the Lease may be renewed meanwhile
                done, _ = await asyncio.wait({task}, timeout=self.valid_until - self._monotonic())
                if done:
                    return task.result()
            raise NotLeaderError
        finally:
            if not task.done():
                task.cancel()

    async def hold(self) -> None:
        """Wait for the Lease, then renew it until it is lost."""
        try:
            await self._hold()
        except LeaseLostError as error:
            self._end(f"the Lease was lost: {error}")
        except Exception:  # a defect of ours: without this, the process would neither write nor end
            logger.exception("holding the Lease failed")
            self._end("the Lease was lost: holding it failed; the log says how")

    async def release(self) -> None:
        """Give the Lease back, so that another process takes it at once; do nothing if it is not ours."""
        if not self.leading.is_set():
            return
        self.leading.clear()
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                lease = await self._read()
                if lease is not None and lease.holder == self._identity:
                    await self._replace("", GIVEN_BACK_SECONDS)
                    logger.info("the Lease is given back")
        except (KubernetesError, TimeoutError) as error:
            logger.warning("the Lease could not be given back, it expires by itself: %s", str(error) or "no answer")

    def _end(self, why: str) -> None:
        self.leading.clear()
        self.why_lost = why
        logger.error("%s; this process ends, and writes nothing more", why)
        self.lost.set()

    async def _hold(self) -> None:
        problem = ""
        while True:
            begun = self._monotonic()
            try:
                await self._try_once(begun)
                problem = ""
            except (KubernetesError, TimeoutError) as error:
                message = str(error) or f"no answer in {self.pace.request:.1f} s"
                if message != problem:
                    logger.warning("the Lease could not be read or written: %s", message)
                problem = message
            if self.leading.is_set() and self._monotonic() >= self.valid_until:
                raise LeaseLostError("it could not be renewed in time")
            limit = self.valid_until if self.leading.is_set() else self._expires_at
            pause = self.pace.longest_retry * (0.7 + 0.3 * random.random())  # noqa: S311 - jitter
            await asyncio.sleep(max(0.0, min(pause, limit - self._monotonic())))

    async def _try_once(self, begun: float) -> None:
        self._expires_at = inf
        lease = await self._read()
        if not self.leading.is_set():
            self.led_until = lease.renewed_at if lease is not None else None
        now = self._monotonic()
        self._seen = see(lease, self._seen, now)
        match next_move(lease, self._seen, self._identity, now, self.pace):
            case Create() if not self.leading.is_set():
                await self._create()
                self._won(begun, "")
            case Renew():
                await self._replace(self._identity, self.pace.duration)
                self._won(begun, self._identity)
            case Take() if not self.leading.is_set():
                await self._replace(self._identity, self.pace.duration)
                self._won(now, lease.holder if lease else "")
            case Wait(until) if not self.leading.is_set():
                self._expires_at = until
            case _:
                raise LeaseLostError(f"it is held by {(lease and lease.holder) or 'nobody'}")

    def _won(self, begun: float, before: str) -> None:
        """`begun` is a time before the write: the others count from the write."""
        self.valid_until = begun + self.pace.deadline
        if not self.leading.is_set():
            logger.info(
                "this process is the leader now, as %s%s", self._identity, f", after {before}" if before else ""
            )
            self.leading.set()

    async def _read(self) -> Lease | None:
        try:
            async with asyncio.timeout(self.pace.request):
                self._body = await self._kubernetes.read_lease(self._key)
        except NotFoundError:
            return None
        return _parsed(self._body)

    async def _create(self) -> None:
        metadata = {"name": self._key.name, "namespace": self._key.namespace}
        spec = self._spec({}, self._identity, self.pace.duration)
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        async with asyncio.timeout(self.pace.request):
            self._body = await self._kubernetes.create_lease(self._key, body)

    async def _replace(self, holder: str, duration: float) -> None:
        """Write the Lease that was read last; its version makes a write of another process since then a conflict."""
        body = self._body | {"spec": self._spec(self._body.get("spec") or {}, holder, duration)}
        async with asyncio.timeout(self.pace.request):
            self._body = await self._kubernetes.replace_lease(self._key, body)

    def _spec(self, before: Body, holder: str, duration: float) -> Body:
        now = self._clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        is_new = before.get("holderIdentity") != holder
        return before | {
            "holderIdentity": holder,
            "leaseDurationSeconds": max(1, round(duration)),
            "renewTime": now,
            "acquireTime": now if is_new else before.get("acquireTime", now),
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (is_new and bool(holder)),
        }


def _parsed(body: Body) -> Lease:
    spec = body.get("spec") or {}
    return Lease(
        holder=spec.get("holderIdentity") or "",
        duration_seconds=float(spec.get("leaseDurationSeconds") or 1),
        version=body["metadata"]["resourceVersion"],
        renewed_at=raw.moment(spec, "renewTime"),
    )
