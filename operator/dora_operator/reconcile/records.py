"""The operator's own DoraDeployments: which ones there are, and taking away those that nobody needs any more."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from dora_operator.domain.links import rollout as rollout_link
from dora_operator.domain.object_key import ObjectKey
from dora_operator.domain.observed import ConditionStatus, ConditionType
from dora_operator.domain.rollout.retention import Retention, Settled, expired
from dora_operator.inventory import Inventory, Known
from dora_operator.ports import ClusterPort
from dora_operator.reconcile.board import record_of
from dora_operator.reconcile.handover import heir_of
from dora_operator.reconcile.surroundings import spec_of
from dora_operator.reconcile.writer import read_status

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Records:
    """Cleans up among the records."""

    inventory: Inventory
    cluster: ClusterPort
    retention: Retention
    lookback: timedelta
    clock: Callable[[], datetime]

    async def sweep(self) -> int:
        """Delete what has been kept long enough, and return how many.

        Raises:
            ClusterUnavailableError: not all are deleted; the next sweep goes on.
        """
        found = expired(self._settled(), self.retention, self.lookback, self.clock())
        for record in found:
            known = self.inventory.get(ObjectKey(record.namespace, record.name))
            if known is not None:
                await self.cluster.delete_record(known.key, known.uid)
        return len(found)

    async def hand_over(self, rollout: ObjectKey) -> None:
        """Delete records whose verdict stands in the status of a user's own DoraDeployment: that one speaks now.

        Raises:
            ClusterUnavailableError: try again.
        """
        linked = [known for known in map(self.inventory.get, self.inventory.linked(rollout_link(*rollout))) if known]
        if all(known.verdict_json is not None for known in linked):
            return
        for known in linked:
            if heir_of(known, self.inventory) is not None:
                logger.info("DoraDeployment %s gives way to a user's that follows the same version", known.key)
                await self.cluster.delete_record(known.key, known.uid)

    def _settled(self) -> Iterator[Settled]:
        for key in self.inventory.all_keys():
            known = self.inventory.get(key)
            if known is not None and record_of(known) is not None:
                yield from _as_settled(known)


def _as_settled(known: Known) -> Iterator[Settled]:
    status, spec = read_status(known.status_json), spec_of(known)
    ready = status.condition(ConditionType.READY)
    if ready is None or ready.status is not ConditionStatus.TRUE or status.accepted_at is None:
        return
    rollout = spec.rollout_ref.name if spec is not None and spec.rollout_ref is not None else ""
    yield Settled(known.key.namespace, known.key.name, rollout, status.accepted_at)
