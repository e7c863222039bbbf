"""Write a Rollout's verdicts: into the status of users' resources that follow it, else into a record of its own.

A record is a DoraDeployment that the operator creates. A user's resource always wins over it.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dora_operator.clients.errors import ConflictError
from dora_operator.clients.kubernetes import ROLLOUTS, KubernetesClient, Subject
from dora_operator.domain.events import NOT_WRITTEN, EventNote
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.plan import RolloutLink, follows
from dora_operator.domain.resource import ConditionStatus, ConditionType, DoraDeployment
from dora_operator.domain.rollout.retention import Retention, SettledRecord, expired
from dora_operator.domain.rollout.verdict import Policy, Verdict, record_manifest
from dora_operator.metrics import Metrics
from dora_operator.reconcile.changes import DeploymentChanges
from dora_operator.reconcile.events import EventPoster
from dora_operator.store import DeploymentStore, Refusal, TrackedRollout
from dora_operator.workqueue import Priority

logger = logging.getLogger(__name__)

REFUSED_RECHECK = timedelta(seconds=60)
"""How often it is checked whether a user still owns the place of a record."""


@dataclass(frozen=True, slots=True)
class Records:
    """The only writer of verdicts."""

    store: DeploymentStore
    changes: DeploymentChanges
    client: KubernetesClient
    events: EventPoster
    metrics: Metrics
    policy: Policy
    retention: Retention
    clock: Callable[[], datetime]

    def verdicts(self, rollout: ObjectKey) -> list[Verdict]:
        """Return all recorded verdicts about Rollouts of this name."""
        found = (verdict_of(deployment) for deployment in self._linked(rollout))
        return [verdict for verdict in found if verdict is not None]

    def followers(self, rollout: ObjectKey) -> list[DoraDeployment]:
        """Return the users' DoraDeployments that follow a Rollout."""
        return [deployment for deployment in self._linked(rollout) if deployment.record is None]

    def is_refused(self, tracked: TrackedRollout, verdict: Verdict) -> bool:
        """Return whether a user owned the place of this verdict and has not changed it since."""
        refusal = tracked.refused.get(verdict)
        return refusal is not None and refusal == self._refusal(refusal.key)

    async def write(self, tracked: TrackedRollout, verdicts: list[Verdict]) -> None:
        """Write verdicts.

        Raises:
            KubernetesError: not all are written; the Rollout still shows them.
        """
        followers = self.followers(tracked.rollout.key)
        for verdict in verdicts:
            following = [each.key for each in followers if each.spec is not None and follows(each.spec, verdict)]
            for key in following:
                self.store.pending_verdicts[key] = verdict
            self.changes.requeue(following, Priority.ABORT, tracked.seen_at)
            if not following:
                await self._record(tracked, verdict)
            if tracked.is_new_fact(verdict):
                self.metrics.rollout_verdicts.labels(verdict.verdict.value).inc()

    async def sweep(self) -> int:
        """Delete records that were kept long enough. Return how many.

        Raises:
            KubernetesError: not all are deleted; the next sweep goes on.
        """
        settled = [record for deployment in self.store if (record := _as_settled(deployment)) is not None]
        lookback = self.policy.lookback
        found = expired(settled, self.retention, lookback, self.clock())
        for record in found:
            deployment = self.store.get(ObjectKey(record.namespace, record.name))
            if deployment is not None:
                await self.client.delete_record(deployment.key, deployment.uid)
        return len(found)

    async def _record(self, tracked: TrackedRollout, verdict: Verdict) -> None:
        """Apply the record, or note that a user owns its place."""
        rollout = tracked.rollout.key
        manifest = record_manifest(rollout.namespace, under_one_name(verdict, self._linked(rollout)))
        key = ObjectKey(rollout.namespace, manifest["metadata"]["name"])
        existing = self.store.get(key)
        try:
            if existing is None or existing.is_record:
                body = await self.client.apply_record(manifest)
                self.changes.changed(body, Priority.ABORT, tracked.seen_at, is_own=True)
                return
            why = "belongs to a user: rename it, or let it follow the Rollout with sourceRef"
        except ConflictError:
            why = "was changed by a user: undo the change, or delete it"
        tracked.refused[verdict] = self._refusal(key)
        message = (
            f"revision {verdict.revision} ({verdict.verdict.value}) is not recorded, and nothing is sent:"
            f" DoraDeployment {key.name} {why}"
        )
        logger.warning("Rollout %s: %s", rollout, message)
        self.events.post(subject_of(tracked), EventNote("Warning", NOT_WRITTEN, message))

    def _refusal(self, key: ObjectKey) -> Refusal:
        existing = self.store.get(key)
        return Refusal(key, existing.uid, existing.generation) if existing is not None else Refusal(key)

    def _linked(self, rollout: ObjectKey) -> list[DoraDeployment]:
        return self.store.linked(RolloutLink(*rollout))


def under_one_name(verdict: Verdict, deployments: Iterable[DoraDeployment]) -> Verdict:
    """A deployment has one record, also when its Rollout was created again: two would contradict each other."""
    for deployment in deployments:
        record = deployment.record
        if record is not None and record.identity == verdict.identity:
            return replace(verdict, pod_template_hash=record.pod_template_hash)
    return verdict


def subject_of(tracked: TrackedRollout) -> Subject:
    """Return the Rollout as the subject of Events."""
    return Subject.of(ROLLOUTS, tracked.rollout.key, tracked.rollout.uid)


def is_outdated(deployment: DoraDeployment, verdict: Verdict) -> bool:
    """Return whether a user's resource that follows a verdict has another one, or none, in its status."""
    return deployment.spec is not None and follows(deployment.spec, verdict) and deployment.status.source != verdict


def verdict_of(deployment: DoraDeployment) -> Verdict | None:
    """Return what the workload of a DoraDeployment did, as far as that is on record."""
    return deployment.record if deployment.is_record else deployment.status.source


def _as_settled(deployment: DoraDeployment) -> SettledRecord | None:
    status, ready = deployment.status, deployment.status.condition(ConditionType.READY)
    if deployment.record is None or status.accepted_time is None:
        return None
    if ready is None or ready.status is not ConditionStatus.TRUE:
        return None
    return SettledRecord(deployment.key.namespace, deployment.key.name, deployment.record.name, status.accepted_time)
