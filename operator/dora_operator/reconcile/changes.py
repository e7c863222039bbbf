"""What the watches report: each change is stored, and the keys that it concerns are queued. Nothing else happens here.

`DeploymentEvents` and `WorkloadEvents` are the receiving ends (`Sink`) of the watches of the two kinds.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.plan import Dependency, WorkloadRef
from dora_operator.store import DeploymentStore, WorkloadStore
from dora_operator.workqueue import Priority, WorkQueue

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class WorkloadEvents:
    """Receives Rollouts."""

    store: WorkloadStore
    queue: WorkQueue[ObjectKey]
    clock: Callable[[], datetime]
    _listed: bool = False
    """Rollouts were listed before: what a later list brings has happened just now."""

    def observed(self, body: Mapping[str, Any], *, listed: bool) -> bool:
        """Store a version of a Rollout and queue it. Return whether it was new."""
        key = _key_of(body)
        if not self.store.upsert(body, None if listed else self.clock()):
            return False
        is_old = listed and not self._listed
        self.queue.add(key, Priority.LOW if is_old else Priority.URGENT)
        return True

    def deleted(self, key: ObjectKey, uid: str) -> None:
        """Drop a Rollout that was deleted, once its last states are decided. Its records stay."""
        if self.store.delete(key, uid):
            self.queue.add(key, Priority.URGENT)
        elif self.store.get(key) is None:
            self.queue.forget(key)

    def versions(self, namespace: str | None) -> Mapping[ObjectKey, tuple[str, str]]:
        return self.store.versions(namespace)

    def listed(self, namespace: str | None, *, served: bool) -> None:  # noqa: ARG002 - all kinds have one interface
        """Note that a whole list is stored, or that the kind is not installed."""
        self._listed = True

    def skipped(self, namespace: str) -> None:
        """Go on without a namespace that cannot be listed: its Rollouts stay unknown, as if it was not listed yet."""

    def recovered(self) -> None:
        self.queue.retry_failed()

    def requeue(self, key: ObjectKey) -> None:
        if self.store.get(key) is not None:
            self.queue.add(key, Priority.NORMAL)


@dataclass(slots=True)
class DeploymentEvents:
    """Receives DoraDeployments."""

    store: DeploymentStore
    queue: WorkQueue[ObjectKey]
    workloads: WorkloadEvents
    clock: Callable[[], datetime]
    unlisted: set[str | None]
    """Namespaces whose first list is not complete; None is the whole cluster."""
    all_listed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when every first list is complete. Before that, the older of two rivals is not known."""
    _any_listed: bool = False

    def observed(self, body: Mapping[str, Any], *, listed: bool) -> bool:
        """Store a version of an object and queue it. Return whether it was new."""
        if listed and not self.all_listed.is_set():
            return self.store.upsert(body)
        return self.changed(body)

    def changed(self, body: Mapping[str, Any]) -> bool:
        """Store a version of an object, and queue it and its dependants if it is new."""
        key = _key_of(body)
        before = self.store.dependencies(key)
        if not self.store.upsert(body):
            return False
        self.requeue([key])
        self._queue_dependants(key, {*before, *self.store.dependencies(key)})
        return True

    def deleted(self, key: ObjectKey, uid: str) -> None:
        """Drop an object that was deleted, and queue those that depend on it."""
        dependencies = self.store.dependencies(key)
        if self.store.forget(key, uid):
            self.queue.forget(key)
            self._queue_dependants(key, dependencies)

    def versions(self, namespace: str | None) -> Mapping[ObjectKey, tuple[str, str]]:
        return self.store.versions(namespace)

    def listed(self, namespace: str | None, *, served: bool) -> None:
        """Note that a whole list is stored. After the last first list everything is queued."""
        if served:
            self._any_listed = True
            self.skipped(namespace)

    def skipped(self, namespace: str | None) -> None:
        """Do not wait for a namespace any more: it is listed, or cannot be. Without any list nothing begins."""
        self.unlisted.discard(namespace)
        if self.unlisted or not self._any_listed or self.all_listed.is_set():
            return
        self.all_listed.set()
        logger.info("ready: %d DoraDeployments listed", len(self.store))
        self.requeue([deployment.key for deployment in self.store])

    def recovered(self) -> None:
        self.queue.retry_failed()

    def requeue(self, keys: Iterable[ObjectKey], since: datetime | None = None) -> None:
        """Queue objects, each in the class that follows from it. `since`: when their state became desired."""
        for key in keys:
            self.store.note_desired(key, since or self.clock())
            self.queue.add(key, self.store.priority(key))

    def _queue_dependants(self, key: ObjectKey, dependencies: Collection[Dependency]) -> None:
        """Queue what marks the same deployment, what refers to this resource, and the Rollout that it follows."""
        workloads = {dependency for dependency in dependencies if isinstance(dependency, WorkloadRef)}
        self.requeue(self.store.dependants(key, {*dependencies} - workloads))
        for workload in workloads:
            self.workloads.requeue(ObjectKey(workload.namespace, workload.name))


def _key_of(body: Mapping[str, Any]) -> ObjectKey:
    return ObjectKey(body["metadata"]["namespace"], body["metadata"]["name"])
