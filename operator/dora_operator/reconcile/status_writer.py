"""Write the status of a DoraDeployment once, and report what has changed: metrics, the log, Events."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from dora_operator.clients.errors import ConflictError, KubernetesError, NotFoundError
from dora_operator.clients.kubernetes import DEPLOYMENTS, ROLLOUTS, KubernetesClient, Subject
from dora_operator.domain.events import EventNote, event_for
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.resource import ConditionType, DoraDeployment, DoraDeploymentStatus
from dora_operator.domain.status import merge_patch
from dora_operator.metrics import Metrics
from dora_operator.reconcile.context import SENDS_NOTHING
from dora_operator.reconcile.events import EventPoster
from dora_operator.store import DeploymentStore
from dora_operator.workqueue import WorkQueue

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class StatusWriter:
    """Writes statuses. A status that cannot be written is kept in the store, for the next reconcile."""

    store: DeploymentStore
    queue: WorkQueue[ObjectKey]
    client: KubernetesClient
    events: EventPoster
    metrics: Metrics
    clock: Callable[[], datetime]
    requeue_workload: Callable[[ObjectKey], None]
    """Called when it is known which deployment a workload's revision is."""
    _crd_is_old: bool = False

    async def save(self, deployment: DoraDeployment, status: DoraDeploymentStatus) -> None:
        """Write a status where it differs from the stored one.

        Raises:
            KubernetesError: not written; the store keeps it, and the next reconcile tries again.
        """
        stored = self.store.stored_status(deployment)
        is_visible = _visible_to_others(deployment.status) != _visible_to_others(status)
        dependants = self.store.dependants(deployment.key) if is_visible else []
        if status == stored:
            self.store.keep_unsaved(deployment, stored)  # an unsaved one says the same by now
            self._wake(dependants)
            return
        try:
            body = await self.client.write_status(deployment.key, deployment.uid, merge_patch(status))
        except KubernetesError as error:
            if isinstance(error, NotFoundError | ConflictError) and not self.store.has(deployment):
                logger.debug("DoraDeployment %s is deleted; its status is not written", deployment.key)
                return
            # An API server that has just started answers 404 for objects that exist, and 409 under contention.
            self.store.keep_unsaved(deployment, status)
            self._wake(dependants)
            raise
        self.store.saved(deployment, body)
        self._wake(dependants)
        self._report(deployment, stored, status)
        self._check_crd(deployment, status)
        if status.source is not None and _id_of(status) not in (None, _id_of(stored)):
            self.requeue_workload(ObjectKey(deployment.key.namespace, status.source.name))
        if int(body["metadata"].get("generation", 0)) != deployment.generation:  # the spec has changed meanwhile
            self._wake([deployment.key])

    def _wake(self, keys: list[ObjectKey]) -> None:
        for key in keys:
            self.store.note_desired(key, self.clock())
            self.queue.add(key, self.store.priority(key))

    def _check_crd(self, deployment: DoraDeployment, status: DoraDeploymentStatus) -> None:
        """Report once that the API server drops fields of a status: the CRD is older than this operator."""
        if self._crd_is_old or not self.store.has(deployment) or self.store.stored_status(deployment) == status:
            return
        self._crd_is_old = True
        message = (
            "the CustomResourceDefinition doradeployments.dora-operator.io is older than this operator, and the API"
            " server drops new fields of status: apply the CRD of this version (the chart value crds.install, or"
            " kubectl apply --server-side with the release's CRD). Marks are sent all the same"
        )
        logger.error("DoraDeployment %s: %s", deployment.key, message)
        self.events.post(
            Subject.of(DEPLOYMENTS, deployment.key, deployment.uid), EventNote("Warning", "OutdatedCRD", message)
        )

    def _report(self, deployment: DoraDeployment, before: DoraDeploymentStatus, after: DoraDeploymentStatus) -> None:
        accepted = after.accepted
        is_new = accepted is not None and (before.accepted, before.accepted_time) != (accepted, after.accepted_time)
        if accepted is not None and is_new and accepted == after.desired:  # else adopted, and counted when it was sent
            failure = "none" if accepted.change_failure is None else str(accepted.change_failure).lower()
            self.metrics.marks.labels(
                failure, accepted.remediation.type.value if accepted.remediation else "none"
            ).inc()
            desired_since = self._desired_since(deployment, before, after)
            if desired_since is not None:
                origin = "resource" if after.source is None else "rollout"
                delay = max(0.0, (self.clock() - desired_since).total_seconds())
                self.metrics.report_delay_seconds.labels(origin).observe(delay)
        ready, earlier = after.condition(ConditionType.READY), before.condition(ConditionType.READY)
        if ready is not None and (earlier is None or ready.reason != earlier.reason or is_new):
            logger.info("DoraDeployment %s: %s: %s", deployment.key, ready.reason, ready.message)
        note = event_for(before, after)
        if note is None:
            return
        self.events.post(Subject.of(DEPLOYMENTS, deployment.key, deployment.uid), note)
        if note.type == "Normal" and after.source is not None and after.source.uid:
            rollout = ObjectKey(deployment.key.namespace, after.source.name)
            self.events.post(Subject.of(ROLLOUTS, rollout, after.source.uid), note)

    def _desired_since(
        self, deployment: DoraDeployment, before: DoraDeploymentStatus, after: DoraDeploymentStatus
    ) -> datetime | None:
        """Return since when the state was desired: as this process saw it, or by the status if that is earlier."""
        entry = self.store.entry(deployment.key)
        seen = entry.desired_since if entry is not None else None
        since = before.pending_since_time if before.desired == after.desired else None
        if since is None or (seen is not None and seen - since < timedelta(seconds=1)):  # a status has whole seconds
            return seen
        return since


def _id_of(status: DoraDeploymentStatus) -> str | None:
    return status.target.id if status.target is not None else None


def _visible_to_others(status: DoraDeploymentStatus) -> tuple[object, ...]:
    """Return what other resources decide from. One that cannot send is no rival."""
    return status.desired, status.accepted, status.reason(ConditionType.READY) in SENDS_NOTHING
