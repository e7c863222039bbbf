"""The engine room: takes what was seen into the inventory, hands keys to workers, and asks again in time.

Joins inventory, queue and reconcile. Decides nothing about DORA; knows nothing of kopf.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dora_operator.domain.links import reference
from dora_operator.domain.sites import Site
from dora_operator.inventory import Inventory, Known
from dora_operator.ports import ClusterPort, ClusterUnavailableError, ObjectKey
from dora_operator.reconcile.reconciler import Reconciler, SaveFailedError
from dora_operator.reconcile.secret_watch import SecretWatch
from dora_operator.reconcile.writer import links
from dora_operator.workqueue import Urgency, WorkQueue

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0


@dataclass(slots=True)
class Engine:
    """Everything between an event and its reconcile."""

    inventory: Inventory
    queue: WorkQueue[ObjectKey]
    reconciler: Reconciler
    secrets: SecretWatch
    cluster: ClusterPort
    clock: Callable[[], datetime]
    default_site: Site
    listed: bool = False
    """Whether the first list is complete. Before that, nobody can know who the older of two rivals is."""
    stopping: bool = False
    _failures: dict[ObjectKey, int] = field(default_factory=dict)

    def seen(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """Take in a watch event: kind is ADDED, MODIFIED, DELETED, or None for the first list."""
        if kind == "DELETED":
            self._deleted(body)
            return
        key = _key(body)
        before = self.inventory.get(key)
        if self.inventory.observe(body, self._links):
            self.queue.add(key, Urgency.LISTED if kind is None else Urgency.CHANGE)
            self._wake_dependants(before)
            self._wake_dependants(self.inventory.get(key))

    async def list_first(self, namespaces: tuple[str, ...]) -> None:
        """Fill the inventory before anything is decided; go on trying until the API server has answered.

        Much quicker than kopf's own first list, which then brings only what is known already.
        """
        pause = FIRST_PAUSE
        while True:
            try:
                for namespace in namespaces or (None,):
                    async for body in self.cluster.list_deployments(namespace):
                        self.inventory.observe(body, self._links)
            except ClusterUnavailableError as error:
                logger.warning("DoraDeployments cannot be listed, trying again in %.0f s: %s", pause, error)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
                continue
            break
        for key in self.inventory.all_keys():
            self.queue.add(key, Urgency.LISTED)
        self.listed = True

    async def work(self) -> None:
        """Serve keys for ever. One worker; several may run."""
        while True:
            key = await self.queue.take()
            try:
                if not self.stopping:
                    await self.visit(key)
            finally:
                self.queue.done(key)

    async def stop(self, tasks: list[asyncio.Task[None]], seconds: float) -> None:
        """Take no new keys, let reconciles under way finish for a moment, then end all tasks.

        What did not finish is safe to repeat: the resource is the queue, and the next start reads it.
        """
        self.stopping = True
        deadline = asyncio.get_running_loop().time() + seconds
        while self.queue.busy and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def look_at_secrets(self, period: float) -> None:
        """Wake resources whose Secret has changed, for ever."""
        while True:
            await asyncio.sleep(period)
            await self.look_at_secrets_once()

    async def look_at_secrets_once(self) -> None:
        """Wake resources whose Secret has changed since it did not help them."""
        self._wake(frozenset(await self.secrets.look()))

    async def visit(self, key: ObjectKey) -> None:
        """Reconcile one key, and note when to look again. Never raises for what a resource or an API does."""
        try:
            visit = await self.reconciler.reconcile(key)
        except SaveFailedError as error:
            self._wake(error.wake)
            self._try_later(key, error)
        except ClusterUnavailableError as error:
            self._try_later(key, error)
        except Exception:  # the one place that survives a defect of our own: no resource may stop the process
            logger.exception("DoraDeployment %s: the reconcile broke", key)
            self._try_later(key, None)
        else:
            self._failures.pop(key, None)
            self._wake(visit.wake)
            if visit.again_at is not None:
                self.queue.add(key, Urgency.RETRY, (visit.again_at - self.clock()).total_seconds())

    def _try_later(self, key: ObjectKey, error: ClusterUnavailableError | None) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 10))
        if error is not None:
            logger.warning("DoraDeployment %s, trying again in %.1f s: %s", key, pause, error.__cause__ or error)
        self.queue.add(key, Urgency.RETRY, pause)

    def _deleted(self, body: Mapping[str, Any]) -> None:
        known = self.inventory.forget(_key(body), body["metadata"]["uid"])
        if known is not None:
            self._failures.pop(known.key, None)
            self.queue.add(known.key, Urgency.CHANGE)  # lets the reconciler drop what it remembers
            self._wake_dependants(known)

    def _wake_dependants(self, known: Known | None) -> None:
        """Wake who marks the same deployment, and who refers to this resource."""
        if known is None:
            return
        for link in (*known.links, reference(*known.key)):
            self._wake(frozenset(self.inventory.linked(link)) - {known.key})

    def _wake(self, keys: frozenset[ObjectKey]) -> None:
        for key in keys:
            self.queue.add(key, Urgency.CHANGE)

    def _links(self, known: Known) -> frozenset[str]:
        return links(known, self.default_site)


def _key(body: Mapping[str, Any]) -> ObjectKey:
    return ObjectKey(body["metadata"]["namespace"], body["metadata"]["name"])
