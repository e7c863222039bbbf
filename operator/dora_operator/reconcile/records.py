"""Write a Rollout's verdicts: for users' resources that follow it, else as a record of its own.

A record is a DoraDeployment that the operator creates. A user's resource always wins over it.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from dora_operator.clients.errors import ConflictError, KubernetesError
from dora_operator.clients.kubernetes import ROLLOUTS, KubernetesClient, Subject
from dora_operator.domain.events import NOT_WRITTEN, EventNote
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.history.policy import Policy
from dora_operator.domain.history.verdicts import Verdict
from dora_operator.domain.plan import WorkloadRef, follows
from dora_operator.domain.records import record_manifest, record_name
from dora_operator.domain.resource import ConditionStatus, ConditionType, DoraDeployment
from dora_operator.domain.spec import DoraDeploymentSpec
from dora_operator.reconcile.changes import DeploymentEvents
from dora_operator.reconcile.events import EventPoster
from dora_operator.store import DeploymentStore, Refusal, TrackedWorkload

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
    policy: Policy
    retention: timedelta
    clock: Callable[[], datetime]

    def missing(self, tracked: TrackedWorkload, verdicts: Iterable[Verdict]) -> list[Verdict]:
        """Return the verdicts that are not with the resources which carry them, the most urgent first."""
        tracked.refused = {verdict: refusal for verdict, refusal in tracked.refused.items() if verdict in verdicts}
        missing = [
            verdict
            for verdict in verdicts
            if not self._is_refused(tracked, verdict) and any(self._lack(tracked, verdict))
        ]
        return sorted(missing, key=lambda verdict: (not verdict.change_failure, verdict.remediation is not None))

    def row_of(self, tracked: TrackedWorkload, revision: int) -> str | None:
        record = self._record_of(tracked, revision)
        target = record.status.target if record is not None else None
        return target.id if target is not None else None

    async def write(self, tracked: TrackedWorkload, verdicts: list[Verdict]) -> None:
        """Write verdicts.

        Raises:
            KubernetesError: not all are written; the history still shows them.
        """
        for verdict in verdicts:
            followers = self._followers(tracked, verdict)
            for follower in followers:
                self._hand_over(tracked, follower.key, verdict)
            if not followers:
                await self._record(tracked, verdict)

    async def sweep(self) -> int:
        """Delete settled records that were kept long enough. Return how many.

        Never one that is younger than the lookback: the Rollout would show the same fact again. One that cannot be
        deleted is left to the next sweep.
        """
        count = 0
        for deployment in self.store:
            if not _is_settled(deployment, self.clock() - self._age):
                continue
            try:
                await self.client.delete_record(deployment.key, deployment.uid)
                count += 1
            except KubernetesError as error:
                logger.warning("DoraDeployment %s is deleted later: %s", deployment.key, error)
        return count

    @property
    def _age(self) -> timedelta:
        return max(self.retention, self.policy.lookback)

    def _hand_over(self, tracked: TrackedWorkload, key: ObjectKey, verdict: Verdict) -> None:
        entry = self.store.entry(key)
        if entry is not None:
            entry.pending_verdict = verdict
            self.changes.requeue([key], tracked.seen_at)

    def _lack(self, tracked: TrackedWorkload, verdict: Verdict) -> Iterator[bool]:
        """Yield for each resource that carries a verdict whether it has another one, or none."""
        followers = self._followers(tracked, verdict)
        for follower in followers:
            yield self.store.verdict(follower) != verdict
        if followers:
            return
        record = self._record_of(tracked, verdict.revision, record_name(verdict))
        if record is None:  # what recovered before it was recorded needs no withdrawal; an old record was deleted
            is_recent = verdict.time is None or verdict.time > self.clock() - self._age
            yield verdict.change_failure and is_recent
        else:
            yield self.store.verdict(record) != verdict or record.spec is None or not _says(record.spec, verdict)

    def _followers(self, tracked: TrackedWorkload, verdict: Verdict) -> list[DoraDeployment]:
        """Return the users' resources that follow a verdict. Of two revisions of a version they follow the newer."""
        newer = [
            other
            for deployment in self._depending(tracked)
            if (other := self.store.verdict(deployment)) is not None
            and other.revision > verdict.revision
            and other.uid == verdict.uid
        ]
        return [
            deployment
            for deployment in self._depending(tracked)
            if not deployment.is_record
            and deployment.spec is not None
            and follows(deployment.spec, verdict)
            and not any(follows(deployment.spec, other) for other in newer)
        ]

    def _record_of(self, tracked: TrackedWorkload, revision: int, name: str = "") -> DoraDeployment | None:
        """Return the record of a revision. By its name, if the process ended before its first status was written."""
        for deployment in self._depending(tracked):
            verdict, target = self.store.verdict(deployment), deployment.status.target
            about: tuple[str | None, int | None] = ("", None)
            if verdict is not None:
                about = (verdict.uid, verdict.revision)
            elif target is not None:  # written by a version with other verdicts
                about = (target.source_uid, target.revision)
            elif deployment.key.name == name:
                about = (tracked.workload.uid, revision)
            if deployment.is_record and about == (tracked.workload.uid, revision):
                return deployment
        return None

    async def _record(self, tracked: TrackedWorkload, verdict: Verdict) -> None:
        workload = tracked.workload.key
        record = self._record_of(tracked, verdict.revision, record_name(verdict))
        manifest = record_manifest(workload.namespace, verdict, record.key.name if record is not None else None)
        key = ObjectKey(workload.namespace, manifest["metadata"]["name"])
        existing = self.store.get(key)
        try:
            if existing is None or existing.is_record:
                self.changes.changed(await self.client.apply_record(manifest))
                self._hand_over(tracked, key, verdict)
                return
            why = "belongs to a user: rename it, or let it follow the workload with sourceRef"
        except ConflictError:
            why = "was changed by a user: undo the change, or delete it"
        tracked.refused[verdict] = self._refusal(key)
        message = (
            f"revision {verdict.revision} ({verdict.verdict.value}) is not recorded, and nothing is sent:"
            f" DoraDeployment {key.name} {why}"
        )
        logger.warning("%s %s: %s", verdict.kind.value, workload, message)
        self.events.post(subject_of(tracked), EventNote("Warning", NOT_WRITTEN, message))

    def _is_refused(self, tracked: TrackedWorkload, verdict: Verdict) -> bool:
        """Return whether a user owned the place of this verdict and has not changed it since."""
        refusal = tracked.refused.get(verdict)
        return refusal is not None and refusal == self._refusal(refusal.key)

    def _refusal(self, key: ObjectKey) -> Refusal:
        existing = self.store.get(key)
        return Refusal(key, existing.uid, existing.generation) if existing is not None else Refusal(key)

    def _depending(self, tracked: TrackedWorkload) -> list[DoraDeployment]:
        return self.store.depending_on(WorkloadRef(*tracked.workload.key))


def subject_of(tracked: TrackedWorkload) -> Subject:
    return Subject.of(ROLLOUTS, tracked.workload.key, tracked.workload.uid)


def _says(spec: DoraDeploymentSpec, verdict: Verdict) -> bool:
    link, wanted = spec.remediation, verdict.remediation
    linked = (link.type, link.id, link.version) if link is not None else None
    return (spec.change_failure, linked) == (
        verdict.change_failure,
        (wanted.type, wanted.id, wanted.version) if wanted is not None else None,
    )


def _is_settled(deployment: DoraDeployment, before: datetime) -> bool:
    """Return whether Datadog accepted this record, for good, before a time."""
    status, ready = deployment.status, deployment.status.condition(ConditionType.READY)
    if not deployment.is_record or status.accepted_time is None or status.accepted_time >= before:
        return False
    return ready is not None and ready.status is ConditionStatus.TRUE
