"""The engine room of DoraDeployments: what was seen goes into the inventory, and keys to the workers.

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
from dora_operator.handlers.workers import FIRST_PAUSE, LONGEST_PAUSE, Workers
from dora_operator.inventory import Inventory, Known
from dora_operator.ports import ClusterPort, ClusterUnavailableError, ObjectKey
from dora_operator.reconcile.reconciler import Reconciler, SaveFailedError
from dora_operator.reconcile.secret_watch import SecretWatch
from dora_operator.reconcile.writer import links
from dora_operator.workqueue import Urgency, WorkQueue

logger = logging.getLogger(__name__)


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
    wake_rollout: Callable[[ObjectKey], None] = lambda _: None
    """Told of each Rollout that a new or changed DoraDeployment follows."""
    listed: bool = False
    """Whether the first list is complete. Before that, nobody can know who the older of two rivals is."""
    workers: Workers[ObjectKey] = field(init=False)

    def __post_init__(self) -> None:
        """Make the workers."""
        self.workers = Workers("DoraDeployment", self.queue, self._visit, self.clock)

    def seen(self, kind: str | None, body: Mapping[str, Any], urgency: Urgency = Urgency.CHANGE) -> None:
        """Take in a watch event: kind is ADDED, MODIFIED, DELETED, or None for the first list."""
        if kind == "DELETED":
            self._deleted(body)
            return
        key = _key(body)
        before = self.inventory.get(key)
        if self.inventory.observe(body, self._links):
            self.queue.add(key, Urgency.LISTED if kind is None else urgency)
            self._wake_dependants(before)
            self._wake_dependants(self.inventory.get(key))

    async def list_first(self, namespaces: tuple[str, ...]) -> None:
        """Fill the inventory before anything is decided; go on trying until the API server has answered.

        Much quicker than kopf's own first list, which then brings only what is known already.
        """
        pause = FIRST_PAUSE
        while not self.listed:
            try:
                for namespace in namespaces or (None,):
                    async for body in self.cluster.list_deployments(namespace):
                        self.inventory.observe(body, self._links)
                self.listed = True
            except ClusterUnavailableError as error:
                logger.warning("DoraDeployments cannot be listed, trying again in %.0f s: %s", pause, error)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
        for key in self.inventory.all_keys():
            self.queue.add(key, Urgency.LISTED)

    async def look_at_secrets(self, period: float) -> None:
        """Wake resources whose Secret has changed, for ever."""
        while True:
            await asyncio.sleep(period)
            await self.look_at_secrets_once()

    async def look_at_secrets_once(self) -> None:
        """Wake resources whose Secret has changed since it did not help them."""
        self.wake(frozenset(await self.secrets.look()))

    def wake(self, keys: frozenset[ObjectKey], urgency: Urgency = Urgency.CHANGE) -> None:
        """Look at these soon."""
        for key in keys:
            self.queue.add(key, urgency)

    async def _visit(self, key: ObjectKey) -> datetime | None:
        try:
            visit = await self.reconciler.reconcile(key)
        except SaveFailedError as error:
            self.wake(error.wake)
            raise
        self.wake(visit.wake)
        return visit.again_at

    def _deleted(self, body: Mapping[str, Any]) -> None:
        known = self.inventory.forget(_key(body), body["metadata"]["uid"])
        if known is not None:
            self.workers.forget(known.key)
            self.queue.add(known.key, Urgency.CHANGE)  # lets the reconciler drop what it remembers
            self._wake_dependants(known)

    def _wake_dependants(self, known: Known | None) -> None:
        """Wake who marks the same deployment, who refers to this resource, and the Rollout that it follows."""
        if known is None:
            return
        for link in (*known.links, reference(*known.key)):
            if link.startswith("rollout\0"):
                _, namespace, name = link.split("\0")
                self.wake_rollout(ObjectKey(namespace, name))
            else:
                self.wake(frozenset(self.inventory.linked(link)) - {known.key})

    def _links(self, known: Known) -> frozenset[str]:
        return links(known, self.default_site)


def _key(body: Mapping[str, Any]) -> ObjectKey:
    return ObjectKey(body["metadata"]["namespace"], body["metadata"]["name"])
