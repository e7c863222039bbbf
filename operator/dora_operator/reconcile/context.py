"""Gather what a decision about one DoraDeployment reads besides its spec, and make its plan. Writes nothing outside."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from dora_operator.clients.errors import KubernetesError
from dora_operator.clients.kubernetes import KubernetesClient
from dora_operator.domain.allowed import Allowed, allowed_in
from dora_operator.domain.fields import ObjectKey, OnMissing, RemediationLink
from dora_operator.domain.history.verdicts import Verdict
from dora_operator.domain.plan import (
    DeploymentKey,
    Hold,
    Plan,
    PlanInput,
    Rival,
    Send,
    WorkloadRef,
    desired_state,
    follows,
    keys_of,
    make_plan,
    overrides,
    state_of,
    target_of,
)
from dora_operator.domain.reasons import CREDENTIAL_REASONS, INGESTION_REASONS, Reason
from dora_operator.domain.records import ON_MISSING_ANNOTATION
from dora_operator.domain.request import PatchById
from dora_operator.domain.resource import ConditionType, DoraDeployment, DoraDeploymentStatus
from dora_operator.domain.retry import adopt_acceptance, forget_acceptance, overwrites, without_overwritten
from dora_operator.domain.spec import DeploymentSelector, DoraDeploymentSpec
from dora_operator.domain.status import Override
from dora_operator.domain.stored import searched_from
from dora_operator.reconcile.lookup import Query
from dora_operator.settings import Settings
from dora_operator.store import DeploymentStore, WorkloadStore

CACHE_SECONDS = 10.0
MAX_CACHED = 1000
"""Namespaces whose annotations are kept."""
SENDS_NOTHING = CREDENTIAL_REASONS | {Reason.NOT_ALLOWED, Reason.REQUEST_REJECTED, Reason.INVALID_SPEC}
"""Reasons of Ready of a resource that cannot send: it is no rival of one that can."""


@dataclass(slots=True)
class _Cached:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    annotations: Mapping[str, str] = field(default_factory=dict)
    until: datetime | None = None


@dataclass(slots=True)
class NamespaceAnnotations:
    """Annotations of Namespaces, cached for some seconds: a burst of aborts reads each Namespace once."""

    client: KubernetesClient
    clock: Callable[[], datetime]
    _cache: dict[str, _Cached] = field(default_factory=dict)

    async def read(self, namespace: str) -> Mapping[str, str]:
        """Return the annotations of a Namespace.

        Raises:
            KubernetesError: it could not be read, now or before. While the API server is away the last known
                annotations count: nobody can have changed them.
        """
        if namespace not in self._cache and len(self._cache) >= MAX_CACHED:
            del self._cache[next(iter(self._cache))]
        cached = self._cache.setdefault(namespace, _Cached())
        async with cached.lock:
            if cached.until is None or cached.until <= self.clock():
                try:
                    cached.annotations = await self.client.read_annotations(namespace)
                except KubernetesError:
                    if cached.until is None:
                        raise
                else:
                    cached.until = self.clock() + timedelta(seconds=CACHE_SECONDS)
        return cached.annotations


@dataclass(frozen=True, slots=True)
class Context:
    """What was gathered and decided about one DoraDeployment."""

    deployment: DoraDeployment
    status: DoraDeploymentStatus
    """What is known of the past, without an acceptance that another resource has overwritten since."""
    plan: Plan
    source: Verdict | None
    override: Override | None
    on_missing: OnMissing
    reads_back: bool
    allowed: Allowed
    """What the namespace may mark with the operator's own keys; everything, where the resource names its own keys."""
    is_new: bool
    """The verdict is about a version that runs for the first time, in its workload and in all others."""

    def must_read(self, plan: Send) -> bool:
        """Return whether the deployment has to be found first.

        By version, Datadog marks the one that finished last: the right one for a version that is new, once.
        """
        state, verdict = plan.request.state, self.source
        if verdict is None or isinstance(plan.request, PatchById):
            return False
        if state.change_failure is not verdict.change_failure:  # a user has decided otherwise
            return False
        is_missing = self.status.reason(ConditionType.READY) in INGESTION_REASONS
        is_first = self.status.accepted_time is None and not is_missing
        return not (verdict.change_failure and self.is_new and is_first)

    def query(self, plan: Send) -> Query:
        """Return what has to be read about a deployment: its service and env, or itself where those do not show it."""
        target, read_back = plan.target.with_known(self.status.target), self.status.read_back
        started = self.source.started_time if self.source is not None else None
        since = searched_from(self.deployment.created_time, started)
        finished = read_back.finished_time if read_back is not None else None
        if target.id is not None and (None in target.tags or (finished is not None and finished < since)):
            return Query(None, None, since, target.id)
        return Query(target.service, target.env, since)

    def unresolved_link(self, plan: Plan) -> RemediationLink | None:
        """Return a remediation that a workload decides, by a version whose deployment is not known yet."""
        spec = self.deployment.spec
        if not isinstance(plan, Send) or not self.reads_back or None in plan.target.tags:
            return None
        is_decided = spec is not None and (spec.remediation is None or self.deployment.is_record)
        link = plan.request.state.remediation
        return link if is_decided and link is not None and link.id is None else None

    def is_creating(self, plan: Send) -> bool:
        """Return whether a missing deployment was to be created, and that has not succeeded yet."""
        is_sent_again = self.status.accepted is None and self.status.accepted_time is not None
        is_wanted = self.on_missing is OnMissing.CREATE and plan.target.id is None
        is_missing = self.status.reason(ConditionType.VERIFIED) == Reason.DEPLOYMENT_MISSING
        return is_sent_again and is_wanted and is_missing


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans from the store, the Namespaces and the settings."""

    store: DeploymentStore
    workloads: WorkloadStore
    namespaces: NamespaceAnnotations
    settings: Settings

    async def plan(self, deployment: DoraDeployment, spec: DoraDeploymentSpec) -> Context | None:
        """Return the plan, or None where the resource has changed in the meantime.

        Raises:
            KubernetesError: the Namespace could not be read.
        """
        annotations = await self.namespaces.read(deployment.key.namespace)
        if not self.store.is_current(deployment):
            return None
        has_own_keys = spec.credentials_secret_ref is not None  # they may mark whatever their owner may mark
        allowed = Allowed() if has_own_keys else allowed_in(annotations, self.settings.allowed)
        source, record = self._source(deployment, spec)
        status, target = deployment.status, target_of(spec, self.settings.site)
        if record is not None:
            status = adopt_acceptance(status, target, record.status)
        others = self._others(deployment, keys_of(deployment.key.namespace, target, deployment.status.target))
        status = without_overwritten(status, [other.status for other in others])
        state = state_of(source, self._verdicts(others)) if source is not None else None
        if deployment.is_record and source is not None and spec.change_failure == source.change_failure:
            spec = replace(spec, change_failure=None, remediation=None)  # no one has edited it: the workloads decide
        plan = make_plan(
            spec,
            PlanInput(
                namespace=deployment.key.namespace,
                name=deployment.key.name,
                created_at=deployment.created_time,
                default_site=self.settings.site,
                is_record=deployment.is_record,
                dry_run=self.settings.dry_run,
                referenced=self._referenced(deployment.key.namespace, spec),
                rivals=tuple(self._rivals(deployment, others)),
                rollout_state=state,
                allowed=allowed,
                known=status.target,
                known_link=status.desired.remediation if status.desired is not None else None,
            ),
        )
        if _leaves_it_to_others(plan, status, others):
            status = forget_acceptance(status)
        return Context(
            deployment=deployment,
            status=status,
            plan=plan,
            source=source,
            override=Override(overrides(spec, state), state.verdict) if state is not None else None,
            on_missing=self._on_missing(spec, source, annotations),
            reads_back=self.settings.read_back and spec.read_back is not False,
            allowed=allowed,
            is_new=source is not None and self._is_new(source),
        )

    def _is_new(self, verdict: Verdict) -> bool:
        is_only_one = verdict.is_first and verdict.next_started_time is None
        is_known = self.workloads.history(verdict.uid) is not None  # else it may have run again since
        return is_only_one and is_known and not self.workloads.has_run_elsewhere(verdict)

    def _on_missing(
        self, spec: DoraDeploymentSpec, source: Verdict | None, annotations: Mapping[str, str]
    ) -> OnMissing:
        """The resource wins over the Rollout, the Rollout over the Namespace, and that over the operator's setting."""
        of_rollout = source.on_missing if source is not None else None
        named = annotations.get(ON_MISSING_ANNOTATION)
        of_namespace = OnMissing(named) if named in set(OnMissing) else None
        return spec.on_missing or of_rollout or of_namespace or self.settings.on_missing

    def _source(
        self, deployment: DoraDeployment, spec: DoraDeploymentSpec
    ) -> tuple[Verdict | None, DoraDeployment | None]:
        """Return the newest verdict about this deployment, and the record that a user's resource takes it over from."""
        if spec.source_ref is None:
            return None, None
        entry = self.store.entry(deployment.key)
        if entry is not None and entry.pending_verdict == deployment.status.source:
            entry.pending_verdict = None
        record = record_of(deployment, self.store)
        verdict = self.store.verdict(deployment)
        if verdict is not None and not follows(spec, verdict):
            verdict = None  # sourceRef names something else by now
        return verdict or (self.store.verdict(record) if record is not None else None), record

    def _others(self, deployment: DoraDeployment, keys: Iterable[DeploymentKey]) -> list[DoraDeployment]:
        """Return the other resources for the same Datadog deployment, without a record that will be deleted."""
        others = [other for key in keys for other in self.store.depending_on(key) if other.key != deployment.key]
        return [other for other in others if not supersedes(deployment, other, self.store)]

    def _referenced(self, namespace: str, spec: DoraDeploymentSpec) -> DeploymentSelector | None:
        if spec.remediation is None or spec.remediation.dora_deployment_ref is None:
            return None
        other = self.store.get(ObjectKey(namespace, spec.remediation.dora_deployment_ref.name))
        return other.spec.deployment if other is not None and other.spec is not None else None

    def _verdicts(self, others: list[DoraDeployment]) -> list[Verdict]:
        """Return what workloads say that still exist: nothing can end the failure of one that is deleted."""
        verdicts = (self.store.verdict(other) for other in others)
        return [v for v in verdicts if v is not None and self.workloads.history(v.uid) is not None]

    def _rivals(self, deployment: DoraDeployment, others: list[DoraDeployment]) -> Iterator[Rival]:
        """Resources that send nothing want nothing of Datadog and are no rivals.

        Nor are two records: of the workloads of one deployment, any that fails decides.
        """
        for other in others:
            if other.spec is None or not _is_active(other) or (deployment.is_record and other.is_record):
                continue
            verdict = self.store.verdict(other)
            state = state_of(verdict) if verdict is not None else None
            desired = desired_state(other.spec, self._referenced(other.key.namespace, other.spec), state)
            yield Rival(other.key.namespace, other.key.name, other.created_time, desired, other.is_record)


def supersedes(deployment: DoraDeployment, record: DoraDeployment, store: DeploymentStore) -> bool:
    """Return whether a user's resource follows the revision that the operator's own record is about."""
    if deployment.is_record or not record.is_record or deployment.spec is None or record.spec is None:
        return False
    refs = (deployment.spec.source_ref, record.spec.source_ref)
    if None in refs or deployment.key.namespace != record.key.namespace:
        return False
    names = {ref.name for ref in refs if ref is not None}
    verdict = store.verdict(record)
    return len(names) == 1 and verdict is not None and follows(deployment.spec, verdict)


def record_of(deployment: DoraDeployment, store: DeploymentStore) -> DoraDeployment | None:
    """Return the operator's own record that a user's resource supersedes: the newest, if there are several."""
    found = [
        (verdict.revision, other.key, other)
        for other in _same_source(deployment, store)
        if supersedes(deployment, other, store) and (verdict := store.verdict(other)) is not None
    ]
    return max(found, default=(0, None, None))[2]


def is_superseded(record: DoraDeployment, store: DeploymentStore) -> bool:
    """Return whether the stored status of a user's resource holds the failure that a record is about."""
    verdict = store.verdict(record)
    if verdict is None:
        return False
    for other in _same_source(record, store):
        source = store.stored_status(other).source
        if source is not None and source.identity.key == verdict.identity.key and supersedes(other, record, store):
            return True
    return False


def _same_source(deployment: DoraDeployment, store: DeploymentStore) -> list[DoraDeployment]:
    if deployment.spec is None or deployment.spec.source_ref is None:
        return []
    followers = store.depending_on(WorkloadRef(deployment.key.namespace, deployment.spec.source_ref.name))
    return [other for other in followers if other.key != deployment.key]


def _is_active(other: DoraDeployment) -> bool:
    """Return whether a resource may send something: it does not hold back, and can."""
    is_held_back = other.spec is None or other.spec.suspend or other.spec.dry_run
    return not is_held_back and other.status.reason(ConditionType.READY) not in SENDS_NOTHING


def _leaves_it_to_others(plan: Plan, status: DoraDeploymentStatus, others: list[DoraDeployment]) -> bool:
    """Return whether others may have something else accepted now, so that this acceptance is no proof any more.

    What the loser of a conflict has had accepted is needed until the winner has seen that it was overwritten.
    """
    if isinstance(plan, Send) or not others:
        return False
    if isinstance(plan, Hold) or plan.reason is Reason.NOT_ALLOWED:
        return any(_is_active(other) for other in others)
    return plan.reason is Reason.CONFLICT and not any(overwrites(status, other.status) for other in others)
