"""What the watches report: each change is stored, and the keys that it concerns are queued. Nothing else happens here.

`DeploymentChanges` and `RolloutChanges` are the receiving ends (`Sink`) of the watches of the two kinds.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.plan import Link, RolloutLink
from dora_operator.store import DeploymentStore, RolloutStore
from dora_operator.workqueue import Priority, WorkQueue

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class RolloutChanges:
    """Receives Rollouts."""

    store: RolloutStore
    queue: WorkQueue[ObjectKey]
    clock: Callable[[], datetime]
    _listed: bool = False
    """Rollouts were listed before: what a later list brings has happened just now."""

    def observed(self, body: Mapping[str, Any], *, listed: bool) -> bool:
        """Store a version of a Rollout and queue it. Return whether it was new."""
        key = _key_of(body)
        if not self.store.observe(body, None if listed else self.clock()):
            return False
        is_old = listed and not self._listed
        self.queue.add(key, Priority.LISTED if is_old else Priority.ABORT)
        return True

    def deleted(self, key: ObjectKey, uid: str) -> None:
        """Drop a Rollout that was deleted. Its records stay."""
        if self.store.forget(key, uid):
            self.queue.forget(key)

    def versions(self, namespace: str | None) -> Mapping[ObjectKey, tuple[str, str]]:
        """Return uid and resourceVersion of every stored Rollout."""
        return self.store.versions(namespace)

    def listed(self, namespace: str | None, *, served: bool) -> None:  # noqa: ARG002 - both kinds have one interface
        """Note that a whole list is stored, or that the kind is not installed."""
        self.store.unlisted.discard(namespace)
        self._listed = True

    def skipped(self, namespace: str) -> None:
        """Go on without a namespace that cannot be listed: its Rollouts stay unknown, as if it was not listed yet."""

    def recovered(self) -> None:
        """Retry failed keys: the API server answers again."""
        self.queue.retry_failed()

    def requeue(self, key: ObjectKey) -> None:
        """Reconcile a Rollout that a DoraDeployment follows."""
        if self.store.get(key) is not None:
            self.queue.add(key, Priority.CHANGE)


@dataclass(slots=True)
class DeploymentChanges:
    """Receives DoraDeployments."""

    store: DeploymentStore
    queue: WorkQueue[ObjectKey]
    rollouts: RolloutChanges
    clock: Callable[[], datetime]
    unlisted: set[str | None]
    """Namespaces whose first list is not complete; None is the whole cluster."""
    all_listed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when every first list is complete. Before that, the older of two rivals is not known."""
    _any_listed: bool = False

    def observed(self, body: Mapping[str, Any], *, listed: bool) -> bool:
        """Store a version of an object and queue it. Return whether it was new."""
        if listed and not self.all_listed.is_set():
            return self.store.observe(body)
        return self.changed(body, Priority.CHANGE)

    def changed(
        self, body: Mapping[str, Any], priority: Priority, since: datetime | None = None, *, is_own: bool = False
    ) -> bool:
        """Store and queue a version of an object.

        `since`: when its state became desired, where that was earlier. `is_own`: the operator wrote it for its Rollout,
        which need not be reconciled again.
        """
        key = _key_of(body)
        before = self.store.links(key)
        is_new = self.store.observe(body)
        if is_new or since is not None:  # the watch may have reported it before the answer to our own write came
            self.store.note_due(key, since or self.clock())
        if is_new:
            links = {*before, *self.store.links(key)}
            self.queue.add(key, priority)
            self._queue_dependants(key, links, is_own=is_own)
        return is_new

    def deleted(self, key: ObjectKey, uid: str) -> None:
        """Drop an object that was deleted, and queue those that depend on it."""
        links = self.store.links(key)
        if self.store.forget(key, uid) is not None:
            self.queue.forget(key)
            self.queue.add(key, Priority.CHANGE)  # the reconciler drops what it remembers of the key
            self._queue_dependants(key, links)

    def versions(self, namespace: str | None) -> Mapping[ObjectKey, tuple[str, str]]:
        """Return uid and resourceVersion of every stored object."""
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
        for deployment in self.store:
            self.store.note_due(deployment.key, self.clock())
            self.queue.add(deployment.key, Priority.RETRY if deployment.is_due else Priority.LISTED)

    def recovered(self) -> None:
        """Retry failed keys: the API server answers again."""
        self.queue.retry_failed()

    def requeue(self, keys: Iterable[ObjectKey], priority: Priority, since: datetime | None = None) -> None:
        """Queue objects that have not changed themselves."""
        for key in keys:
            self.store.note_due(key, since or self.clock())
            self.queue.add(key, priority)

    def _queue_dependants(self, key: ObjectKey, links: Collection[Link], *, is_own: bool = False) -> None:
        """Queue what marks the same deployment, what refers to this resource, and the Rollout that it follows."""
        rollouts = {link for link in links if isinstance(link, RolloutLink)}
        dependants = self.store.dependants(key, {*links} - rollouts)
        if dependants:
            self.requeue(dependants, Priority.CHANGE)
        for link in () if is_own else rollouts:
            self.rollouts.requeue(ObjectKey(link.namespace, link.name))


def _key_of(body: Mapping[str, Any]) -> ObjectKey:
    return ObjectKey(body["metadata"]["namespace"], body["metadata"]["name"])
