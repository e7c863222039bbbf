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
from dora_operator.domain.object_key import ObjectKey
from dora_operator.domain.sites import Site
from dora_operator.handlers.workers import Workers
from dora_operator.inventory import Inventory, Known
from dora_operator.meter import NO_METER, Meter
from dora_operator.ports import ClusterPort
from dora_operator.reconcile.accounts import Account
from dora_operator.reconcile.reconciler import Reconciler
from dora_operator.reconcile.secret_watch import SecretWatch
from dora_operator.reconcile.visit import SaveFailedError
from dora_operator.reconcile.writer import links
from dora_operator.sightings import Found, Gone, Listed, Seen, Sighting
from dora_operator.workqueue import Urgency, WorkQueue

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Engine:
    """Everything between an event and its reconcile."""

    inventory: Inventory
    queue: WorkQueue[ObjectKey, Account]
    reconciler: Reconciler
    secrets: SecretWatch
    cluster: ClusterPort
    clock: Callable[[], datetime]
    default_site: Site
    wake_rollout: Callable[[ObjectKey], None] = lambda _: None
    """Told of each Rollout that a new or changed DoraDeployment follows."""
    meter: Meter = NO_METER
    unlisted: set[str | None] = field(default_factory=lambda: {None})
    """Namespaces whose first list is not complete; None stands for the whole cluster."""
    all_listed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there are none. Before that, nobody can know who the older of two rivals is."""
    workers: Workers[ObjectKey] = field(init=False)
    _begun: bool = False

    def __post_init__(self) -> None:
        """Make the workers, and let them know when an account has room."""
        self.reconciler.sender.accounts.freed = self._open_rooms
        self.reconciler.sender.arrived = self.queue.arrived
        self.workers = Workers("DoraDeployment", self.queue, self._visit, self.clock, self.meter)

    def take_in(self, sighting: Sighting, namespace: str | None) -> None:
        """Take in what the watch of a namespace, or of the cluster, has brought."""
        match sighting:
            case Found(body=body):
                self._found(body)
            case Listed(keys=keys, version=version, installed=True):
                for known in self.inventory.missing(keys, version, namespace):
                    self._forget(known.key, known.uid)
                self._listed(namespace)
            case Seen(body=body):
                self.seen(body)
            case Gone(body=body):
                self._forget(_key(body), body["metadata"]["uid"])

    def seen(self, body: Mapping[str, Any], urgency: Urgency = Urgency.CHANGE, since: datetime | None = None) -> None:
        """Take in a version of an object. `since` is when what it wants began to be wanted, where that was earlier."""
        key = _key(body)
        before = self.inventory.get(key)
        is_news = self.inventory.observe(body, self._links)
        if is_news or since is not None:  # the watch may have brought it before the answer to our own write came
            self.inventory.note_due(key, since or self.clock())
        if is_news:
            self.queue.add(key, urgency)
            self._wake_dependants(before)
            self._wake_dependants(self.inventory.get(key))

    def _found(self, body: Mapping[str, Any]) -> None:
        if self.all_listed.is_set():
            self.seen(body)
        else:
            self.inventory.observe(body, self._links)

    def _listed(self, namespace: str | None) -> None:
        self.unlisted.discard(namespace)
        if self.unlisted or self.all_listed.is_set():
            return
        self.all_listed.set()
        logger.info("ready: %d DoraDeployments listed, site %s", len(self.inventory), self.default_site.value)
        for key in self.inventory.all_keys():
            self.inventory.note_due(key, self.clock())
            self.queue.add(key, Urgency.RETRY if self._hurries(key) else Urgency.LISTED)

    def begin(self) -> None:
        """Learn, before anything is sent, what the process that wrote before knew: which accounts must wait."""
        if not self._begun:
            self._begun = True
            self.reconciler.lessons.from_all(self.inventory)

    async def look_at_secrets(self, period: float) -> None:
        """Wake resources whose Secret has changed, for ever."""
        while True:
            await asyncio.sleep(period)
            await self.look_at_secrets_once()

    async def look_at_secrets_once(self) -> None:
        """Wake resources whose Secret has changed since it did not help them."""
        self.wake(frozenset(await self.secrets.look()))

    def wake(
        self, keys: frozenset[ObjectKey], urgency: Urgency = Urgency.CHANGE, since: datetime | None = None
    ) -> None:
        """Look at these soon."""
        for key in keys:
            self.inventory.note_due(key, since or self.clock())
            self.queue.add(key, urgency)

    async def _visit(self, key: ObjectKey) -> datetime | None:
        try:
            visit = await self.reconciler.reconcile(key)
        except SaveFailedError as error:
            self.wake(error.wake)
            raise
        else:
            self.wake(visit.wake)
            if visit.room is not None:
                self.queue.park(key, visit.room)
            return visit.again_at
        finally:
            self._open_rooms()

    def _open_rooms(self) -> None:
        """Let those go on who wait for an account that has room for them now, or say when it will."""
        now = self.clock()
        for room in self.queue.rooms:
            admission = self.reconciler.sender.accounts.admission(room, now)
            if admission.count:
                self.queue.release(room, admission.count)
            elif admission.opens_at is not None:
                self.queue.open_at(room, self.queue.clock() + (admission.opens_at - now).total_seconds())

    def _hurries(self, key: ObjectKey) -> bool:
        """Tell whether a key was left undone before the start: it goes before what is only to be looked through."""
        known = self.inventory.get(key)
        return known is not None and known.glance.hurries

    def _forget(self, key: ObjectKey, uid: str) -> None:
        known = self.inventory.forget(key, uid)
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
