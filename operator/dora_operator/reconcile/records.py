"""Write a Rollout's verdicts: for users' resources that follow it, else as a record of its own.

A record is a DoraDeployment that the operator creates. A user's resource always wins over it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dora_operator.clients.errors import ConflictError, KubernetesError
from dora_operator.clients.kubernetes import ROLLOUTS, KubernetesClient, Subject
from dora_operator.domain.events import NOT_WRITTEN, EventNote
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.plan import WorkloadRef, follows
from dora_operator.domain.resource import ConditionStatus, ConditionType, DoraDeployment
from dora_operator.domain.rollout.verdict import Policy, Verdict, record_manifest
from dora_operator.metrics import Metrics
from dora_operator.reconcile.changes import DeploymentEvents
from dora_operator.reconcile.events import EventPoster
from dora_operator.store import DeploymentStore, Refusal, TrackedRollout

logger = logging.getLogger(__name__)

REFUSED_RECHECK = timedelta(seconds=60)
"""How often it is checked whether a user still owns the place of a record."""


@dataclass(frozen=True, slots=True)
class Records:
    """The only writer of verdicts."""

    store: DeploymentStore
    changes: DeploymentEvents
    client: KubernetesClient
    events: EventPoster
    metrics: Metrics
    policy: Policy
    retention: timedelta
    clock: Callable[[], datetime]

    def verdicts(self, rollout: ObjectKey) -> list[Verdict]:
        """Return all recorded verdicts about Rollouts of this name."""
        recorded = (self.store.verdict(deployment) for deployment in self._depending(rollout))
        return [verdict for verdict in recorded if verdict is not None]

    def followers(self, rollout: ObjectKey) -> list[DoraDeployment]:
        """Return the users' DoraDeployments that follow a Rollout."""
        return [deployment for deployment in self._depending(rollout) if not deployment.is_record]

    def is_outdated(self, deployment: DoraDeployment, verdict: Verdict) -> bool:
        """Return whether a user's resource that follows a verdict has another one, or none, in its status."""
        return deployment.spec is not None and follows(deployment.spec, verdict) and deployment.status.source != verdict

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
                self._hand_over(tracked, key, verdict)
            if not following:
                await self._record(tracked, verdict)
            if tracked.is_new_fact(verdict):
                self.metrics.rollout_verdicts.labels(verdict.verdict.value).inc()

    async def sweep(self) -> int:
        """Delete settled records that were kept long enough. Return how many.

        Never one that is younger than the lookback: the Rollout would show the same fact again. One that cannot be
        deleted is left to the next sweep.
        """
        age = max(self.retention, self.policy.lookback)
        count = 0
        for deployment in self.store:
            if not _is_settled(deployment, self.clock() - age):
                continue
            try:
                await self.client.delete_record(deployment.key, deployment.uid)
                count += 1
            except KubernetesError as error:
                logger.warning("DoraDeployment %s is deleted later: %s", deployment.key, error)
        return count

    def _hand_over(self, tracked: TrackedRollout, key: ObjectKey, verdict: Verdict) -> None:
        entry = self.store.entry(key)
        if entry is not None:
            entry.pending_verdict = verdict
            self.changes.requeue([key], tracked.seen_at)

    async def _record(self, tracked: TrackedRollout, verdict: Verdict) -> None:
        """Apply the record, or note that a user owns its place."""
        rollout = tracked.rollout.key
        verdict = self._under_one_name(rollout, verdict)
        manifest = record_manifest(rollout.namespace, verdict)
        key = ObjectKey(rollout.namespace, manifest["metadata"]["name"])
        existing = self.store.get(key)
        try:
            if existing is None or existing.is_record:
                self.changes.changed(await self.client.apply_record(manifest))
                self._hand_over(tracked, key, verdict)
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

    def _under_one_name(self, rollout: ObjectKey, verdict: Verdict) -> Verdict:
        """A deployment has one record, also when its Rollout was created again: two would contradict each other."""
        for deployment in self._depending(rollout):
            recorded = self.store.verdict(deployment) if deployment.is_record else None
            if recorded is not None and recorded.identity == verdict.identity:
                return replace(verdict, pod_template_hash=recorded.pod_template_hash)
        return verdict

    def _refusal(self, key: ObjectKey) -> Refusal:
        existing = self.store.get(key)
        return Refusal(key, existing.uid, existing.generation) if existing is not None else Refusal(key)

    def _depending(self, rollout: ObjectKey) -> list[DoraDeployment]:
        return self.store.depending_on(WorkloadRef(*rollout))


def subject_of(tracked: TrackedRollout) -> Subject:
    """Return the Rollout as the subject of Events."""
    return Subject.of(ROLLOUTS, tracked.rollout.key, tracked.rollout.uid)


def _is_settled(deployment: DoraDeployment, before: datetime) -> bool:
    """Return whether Datadog accepted this record, for good, before a time."""
    status, ready = deployment.status, deployment.status.condition(ConditionType.READY)
    if not deployment.is_record or status.accepted_time is None or status.accepted_time >= before:
        return False
    return ready is not None and ready.status is ConditionStatus.TRUE
