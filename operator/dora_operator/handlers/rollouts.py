"""The engine room of Rollouts: what the watch brings goes to the workers, and their verdicts to DoraDeployments.

Decides nothing; knows nothing of kopf.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dora_operator.domain.object_key import ObjectKey
from dora_operator.handlers.engine import Engine
from dora_operator.handlers.workers import Workers
from dora_operator.meter import NO_METER, Meter
from dora_operator.ports import ClusterPort, ClusterUnavailableError
from dora_operator.reconcile.known_rollouts import KnownRollouts
from dora_operator.reconcile.rollouts import RolloutReconciler
from dora_operator.sightings import Found, Gone, Listed, Seen, Sighting
from dora_operator.workqueue import Urgency, WorkQueue

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class RolloutEngine:
    """Everything between a Rollout's change and the DoraDeployment that carries its verdict."""

    rollouts: KnownRollouts
    queue: WorkQueue[ObjectKey, Any]
    reconciler: RolloutReconciler
    deployments: Engine
    cluster: ClusterPort
    clock: Callable[[], datetime]
    meter: Meter = NO_METER
    listed: bool = False
    """Whether Rollouts were listed before: what a later list brings has happened just now."""
    workers: Workers[ObjectKey] = field(init=False)

    def __post_init__(self) -> None:
        """Make the workers."""
        self.workers = Workers("Rollout", self.queue, self._visit, self.clock, self.meter)

    async def sweep(self, period: float) -> None:
        """Take away records that were kept long enough, now and then, for ever."""
        while True:
            await asyncio.sleep(period)
            try:
                swept = await self.reconciler.own.sweep()
            except ClusterUnavailableError as error:
                logger.warning("records are swept later: %s", error)
            else:
                logger.log(logging.INFO if swept else logging.DEBUG, "%d settled records were deleted", swept)

    def take_in(self, sighting: Sighting, namespace: str | None) -> None:
        """Take in what the watch has brought."""
        match sighting:
            case Found(body=body):
                if self.rollouts.is_news(body):
                    self.queue.add(self._seen(body), Urgency.ABORT if self.listed else Urgency.LISTED)
            case Listed(keys=keys):
                self.rollouts.keep_only(keys, namespace)
                self.listed = True
            case Seen(body=body):
                self.queue.add(self._seen(body), Urgency.ABORT)
            case Gone(body=body):
                self.rollouts.forget(body)

    def _seen(self, body: Mapping[str, Any]) -> ObjectKey:
        return self.rollouts.see(body, self.clock())

    def wake(self, key: ObjectKey) -> None:
        """Look again at a Rollout that a DoraDeployment follows."""
        if self.rollouts.get(key) is not None:
            self.queue.add(key, Urgency.CHANGE)

    async def _visit(self, key: ObjectKey) -> datetime | None:
        known = self.rollouts.get(key)
        since = known.seen_at if known is not None else None
        visit = await self.reconciler.reconcile(key)
        for body in visit.stored:
            self.deployments.seen(body, Urgency.ABORT, since)
        self.deployments.wake(visit.wake, Urgency.ABORT, since)
        return visit.again_at
