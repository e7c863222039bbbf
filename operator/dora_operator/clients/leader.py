"""Leader election over a Lease: takes it, renews it and releases it. Every write asks `check` first.

The Lease is held with one replica too: a start learns from it when the process before stopped. The package's own
election is not used: it never releases a Lease and ends with the first connection error (docs/decisions/0007).

No time of another machine is compared. A Lease has expired when it has not changed for its duration, as measured here,
less the interval between two reads. A leader measures from before the request that renewed it, and stops while other
processes still wait. A Lease that is deleted or edited by hand does not expire earlier: its holder learns of that at
its next read, and writes until then. Source: client-go's leader election.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from datetime import datetime
from math import inf

from dora_operator.clients.errors import KubernetesError, NotFoundError, NotLeaderError
from dora_operator.clients.kubernetes import Body, KubernetesClient
from dora_operator.domain import raw
from dora_operator.domain.fields import ObjectKey

logger = logging.getLogger(__name__)

DURATION = 15.0
"""Seconds for which a Lease is held."""
DEADLINE = 10.0
"""How long a leader writes after the start of the request that last renewed its Lease."""
RETRY = 2.5
"""The longest interval between two reads of the Lease."""
RETRY_FAILED = 0.5
"""The longest interval after a failure: the end of an outage is noticed soon."""
REQUEST = 3.0
"""The longest time for one request about the Lease; three fit before the deadline."""
RELEASE = 2.0
"""The longest time for releasing the Lease: an API server that hangs must not keep the process from ending."""
RELEASED = 1
"""The duration that a holder writes when it releases its Lease, here and in client-go: it is not waited for."""


class LeaseLostError(Exception):
    """Another process may write now, or soon. What is in memory must not be used later: the process has to end."""


def boot_seconds() -> float:
    """Return a monotonic time that goes on while the machine is suspended: other machines are not suspended with it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Leader:
    """Whether this process may write, and until when. `identity` differs from that of any other process."""

    def __init__(
        self,
        key: ObjectKey,
        identity: str,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = boot_seconds,
    ) -> None:
        self.leading = asyncio.Event()
        """Set when this process has become the leader; it stays set when the Lease is lost."""
        self.previous_leader_stopped_at: datetime | None = None
        """When the leader before this one renewed or released the Lease last; None: there was none."""
        self._key = key
        self._identity = identity
        self._clock = clock
        self._monotonic = monotonic
        self._writes_until = 0.0
        self._body: Body = {}
        """The Lease as it was read last; empty: there is none."""
        self._version: str | None = None
        """Of the Lease that was seen last, and since when it has not changed. Empty: it was deleted; None: not seen."""
        self._unchanged_since = 0.0
        self._free_at = inf
        """When the Lease of another process expires, on the local clock; infinite: not known."""

    def is_leader(self) -> bool:
        return self._monotonic() < self._writes_until

    def check(self) -> None:
        """Raise NotLeaderError when a write must not begin now."""
        if not self.is_leader():
            raise NotLeaderError

    async def run(self, kubernetes: KubernetesClient, on_renewed: Callable[[], None] = lambda: None) -> None:
        """Wait for the Lease, then renew it without end.

        Nothing is written while it cannot be renewed. When it can be again and nobody has changed it, this process
        leads as before: `on_renewed` is called, so that what failed meanwhile is tried again.

        Raises:
            LeaseLostError: another process has taken it, or a user has edited or deleted it.
        """
        problem = ""
        while True:
            was_leader = self.is_leader()
            try:
                await self.try_once(kubernetes)
                problem = ""
            except (KubernetesError, TimeoutError) as error:
                message = str(error) or f"no answer in {REQUEST:.0f} s"
                if message != problem:
                    logger.warning("nothing is written without the Lease (get, create, update leases): %s", message)
                problem = message
            if self.is_leader() and not was_leader:
                on_renewed()
            pause = (RETRY_FAILED if problem else RETRY) * (0.7 + 0.3 * random.random())  # noqa: S311 - jitter
            await asyncio.sleep(max(0.0, min(pause, self._free_at - self._monotonic())))

    async def try_once(self, kubernetes: KubernetesClient) -> None:
        """Read the Lease, and create, take or renew it if that is possible now."""
        begun, self._free_at = self._monotonic(), inf
        self._body = await self._read(kubernetes)
        spec = self._body.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if self.leading.is_set() and holder != self._identity:
            raise self._lost(f"it is held by {holder or 'nobody'}")
        if not self.leading.is_set():
            free_at = self._expiry(spec, holder)
            if self._monotonic() < free_at:
                self._free_at = free_at
                return
            if holder != self._identity:  # else the answer to a write of ours was lost
                self.previous_leader_stopped_at = raw.moment(spec, "renewTime")
        await self._write(kubernetes, self._identity, DURATION)
        self._writes_until = begun + DEADLINE
        if not self.leading.is_set():
            logger.info("this process is the leader now, as %s, after %s", self._identity, holder or "nobody")
            self.leading.set()

    async def release(self, kubernetes: KubernetesClient) -> None:
        """Let another process take the Lease at once; do nothing if it is not ours."""
        if not self.is_leader():
            return
        self._writes_until = 0.0
        try:
            async with asyncio.timeout(RELEASE):
                self._body = await self._read(kubernetes)
                if (self._body.get("spec") or {}).get("holderIdentity") == self._identity:
                    await self._write(kubernetes, "", RELEASED)
                    logger.info("the Lease is released")
        except (KubernetesError, TimeoutError) as error:
            logger.warning("the Lease could not be released, it expires by itself: %s", str(error) or "no answer")

    def _expiry(self, spec: Body, holder: str) -> float:
        """Return from when on the Lease that was just read may be taken, on the local clock."""
        version = self._body["metadata"]["resourceVersion"] if self._body else ""
        if not version and self._version is None:
            return 0.0  # there has never been one, as far as this process knows
        if version != self._version:
            if self._version is None and holder:
                logger.info("waiting for the Lease: %s holds it", holder)
            self._version, self._unchanged_since = version, self._monotonic()
        duration = float(spec.get("leaseDurationSeconds") or 0)
        if version and (holder == self._identity or (not holder and duration <= RELEASED)):
            return 0.0
        return self._unchanged_since + max(duration, DURATION) - RETRY

    def _lost(self, why: str) -> LeaseLostError:
        self._writes_until = 0.0
        return LeaseLostError(f"the Lease was lost: {why}; this process ends, and writes nothing more")

    async def _read(self, kubernetes: KubernetesClient) -> Body:
        try:
            async with asyncio.timeout(REQUEST):
                return await kubernetes.read_lease(self._key)
        except NotFoundError:
            return {}

    async def _write(self, kubernetes: KubernetesClient, holder: str, duration: float) -> None:
        """Write over what was read last: its version makes a write of another process since then a conflict."""
        metadata = {"name": self._key.name, "namespace": self._key.namespace}
        empty = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
        body = (self._body or empty) | {"spec": self._spec(self._body.get("spec") or {}, holder, duration)}
        write = kubernetes.replace_lease if self._body else kubernetes.create_lease
        async with asyncio.timeout(REQUEST):
            await write(self._key, body)

    def _spec(self, before: Body, holder: str, duration: float) -> Body:
        now = self._clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        is_new = before.get("holderIdentity") != holder
        return before | {
            "holderIdentity": holder,
            "leaseDurationSeconds": round(duration),
            "renewTime": now,
            "acquireTime": now if is_new else before.get("acquireTime", now),
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (is_new and bool(holder)),
        }
