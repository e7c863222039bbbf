"""Gather what a decision about one DoraDeployment needs besides its spec, and make its plan. Writes nothing."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dora_operator.clients.errors import KubernetesError
from dora_operator.clients.kubernetes import KubernetesClient
from dora_operator.domain.allowed import Allowed, allowed_in
from dora_operator.domain.fields import ObjectKey, OnMissing
from dora_operator.domain.plan import (
    Claim,
    Context,
    Hold,
    Plan,
    Rival,
    RolloutLink,
    Send,
    claims_of,
    desired_state,
    follows,
    make_plan,
    overrides,
    state_of,
    target_of,
)
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import ConditionType, DoraDeployment, DoraDeploymentStatus
from dora_operator.domain.retry import (
    adopt_acceptance,
    forget_acceptance,
    overwrites,
    without_overwritten,
)
from dora_operator.domain.rollout.verdict import ON_MISSING_ANNOTATION, Verdict
from dora_operator.domain.spec import DeploymentSelector, DoraDeploymentSpec
from dora_operator.domain.status import Override
from dora_operator.settings import Settings
from dora_operator.store import DeploymentStore

CACHE_SECONDS = 10.0


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
class Planned:
    """What was gathered and decided about one DoraDeployment."""

    deployment: DoraDeployment
    status: DoraDeploymentStatus
    """What is known of the past, without an acceptance that another resource has overwritten since."""
    plan: Plan
    source: Verdict | None
    override: Override | None
    on_missing: OnMissing
    reads_back: bool
    is_link_pending: bool = False
    """The plan leaves out a link that is checked after the mark was accepted."""


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans from the store, the Namespaces and the settings."""

    store: DeploymentStore
    namespaces: NamespaceAnnotations
    settings: Settings
    allowed: Allowed
    """What a namespace may mark unless it names its own."""

    async def plan(self, deployment: DoraDeployment, spec: DoraDeploymentSpec) -> Planned | None:
        """Return the plan, or None where the resource has changed in the meantime.

        Raises:
            KubernetesError: the Namespace could not be read.
        """
        annotations = await self.namespaces.read(deployment.key.namespace)
        if self.store.get(deployment.key) is not deployment:
            return None
        allowed = Allowed()  # keys of one's own may mark whatever these keys may mark
        if spec.credentials_secret_ref is None:
            allowed = allowed_in(annotations, self.allowed)
        source, record = self._source(deployment, spec)
        status, target = deployment.status, target_of(spec, self.settings.site)
        if record is not None:
            status = adopt_acceptance(status, target, record.status)
        others = self._others(deployment, claims_of(deployment.key.namespace, target, deployment.status.target))
        if others:
            status = without_overwritten(status, [other.status for other in others])
        state = state_of(source) if source is not None else None
        context = Context(
            namespace=deployment.key.namespace,
            name=deployment.key.name,
            created_at=deployment.created_time,
            default_site=self.settings.site,
            dry_run=self.settings.dry_run,
            referenced=self._referenced(deployment.key.namespace, spec),
            rivals=tuple(self._rivals(others)),
            rollout_state=state,
            allowed=allowed,
            known=status.target,
            known_link=status.desired.remediation if status.desired is not None else None,
        )
        plan = make_plan(spec, context)
        if others and _leaves_it_to_others(plan, status, others):
            status = forget_acceptance(status)
        override = Override(overrides(spec, state), state.verdict) if state is not None else None
        reads_back = self.settings.read_back and spec.read_back is not False
        return Planned(
            deployment, status, plan, source, override, self._on_missing(spec, source, annotations), reads_back
        )

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
        if deployment.record is not None:
            return deployment.record, None
        pending = self.store.pending_verdicts.get(deployment.key)
        if pending is not None and pending == deployment.status.source:
            del self.store.pending_verdicts[deployment.key]
        verdict, record = pending or deployment.status.source, record_of(deployment, self.store)
        return verdict or (record.record if record is not None else None), record

    def _others(self, deployment: DoraDeployment, claims: Iterable[Claim]) -> list[DoraDeployment]:
        """Return the other resources for the same Datadog deployment, without a record that will be deleted."""
        others = [other for claim in claims for other in self.store.linked(claim) if other.key != deployment.key]
        return [other for other in others if not supersedes(deployment, other)]

    def _referenced(self, namespace: str, spec: DoraDeploymentSpec) -> DeploymentSelector | None:
        if spec.remediation is None or spec.remediation.dora_deployment_ref is None:
            return None
        other = self.store.get(ObjectKey(namespace, spec.remediation.dora_deployment_ref.name))
        return other.spec.deployment if other is not None and other.spec is not None else None

    def _rivals(self, others: list[DoraDeployment]) -> Iterator[Rival]:
        """Resources that hold their report back want nothing of Datadog and are no rivals."""
        for other in others:
            if other.spec is None or not _is_active(other):
                continue
            state = state_of(other.status.source) if other.status.source is not None else None
            desired = desired_state(other.spec, self._referenced(other.key.namespace, other.spec), state)
            yield Rival(other.key.namespace, other.key.name, other.created_time, desired)


def supersedes(deployment: DoraDeployment, record: DoraDeployment) -> bool:
    """Return whether a user's resource follows the revision that the operator's own record is about."""
    if deployment.is_record or deployment.spec is None or record.record is None or record.spec is None:
        return False
    refs = (deployment.spec.source_ref, record.spec.source_ref)
    if None in refs or deployment.key.namespace != record.key.namespace:
        return False
    names = {ref.name for ref in refs if ref is not None}
    return len(names) == 1 and follows(deployment.spec, record.record)


def record_of(deployment: DoraDeployment, store: DeploymentStore) -> DoraDeployment | None:
    """Return the operator's own record that a user's resource supersedes: the newest, if there are several."""
    found = [other for other in _same_source(deployment, store) if supersedes(deployment, other)]
    return max(found, key=lambda each: each.record.decided_by_revision if each.record else 0, default=None)


def is_superseded(record: DoraDeployment, store: DeploymentStore) -> bool:
    """Return whether the stored status of a user's resource holds the failure that a record is about."""
    if record.record is None:
        return False
    for other in _same_source(record, store):
        source = store.stored_status(other).source
        if source is not None and source.identity == record.record.identity and supersedes(other, record):
            return True
    return False


def _same_source(deployment: DoraDeployment, store: DeploymentStore) -> list[DoraDeployment]:
    if deployment.spec is None or deployment.spec.source_ref is None:
        return []
    linked = store.linked(RolloutLink(deployment.key.namespace, deployment.spec.source_ref.name))
    return [other for other in linked if other.key != deployment.key]


def _is_active(other: DoraDeployment) -> bool:
    """Return whether a resource may send something: it does not hold back, and is allowed to."""
    spec = other.spec
    is_held_back = spec is None or spec.suspend or spec.dry_run
    return not is_held_back and other.status.reason(ConditionType.READY) != Reason.NOT_ALLOWED


def _leaves_it_to_others(plan: Plan, status: DoraDeploymentStatus, others: list[DoraDeployment]) -> bool:
    """Return whether others may have something else accepted now, so that this acceptance is no proof any more.

    What the loser of a conflict has had accepted is needed until the winner has seen that it was overwritten.
    """
    if isinstance(plan, Send):
        return False
    if isinstance(plan, Hold) or plan.reason is Reason.NOT_ALLOWED:
        return any(_is_active(other) for other in others)
    return plan.reason is Reason.CONFLICT and not any(overwrites(status, other.status) for other in others)
