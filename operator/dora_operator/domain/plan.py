"""What a DoraDeployment wants of Datadog at this moment: a request with its target, or the reason why there is none.

A chain of named checks; the first that finds something decides. Whether the request was sent before is decided in
`retry`. Also the names by which resources depend on each other.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from dora_operator.domain.allowed import Allowed, why_not
from dora_operator.domain.fields import ObjectKey, RemediationLink
from dora_operator.domain.history.verdicts import Verdict, is_change_failure
from dora_operator.domain.posted_events import DeploymentEvent
from dora_operator.domain.reasons import Reason
from dora_operator.domain.request import PatchById, PatchByVersion, PatchRequest
from dora_operator.domain.resource import DoraDeployment, MarkState, Target, TargetKind
from dora_operator.domain.sites import Site
from dora_operator.domain.spec import DeploymentSelector, DoraDeploymentSpec, Remediation


@dataclass(frozen=True, slots=True)
class Rival:
    """Another DoraDeployment for the same Datadog deployment."""

    namespace: str
    name: str
    created_at: datetime
    state: MarkState
    is_record: bool = False
    """Whether the operator created it."""

    @property
    def order(self) -> tuple[bool, datetime, str, str]:
        """What a user wrote before what the operator created, then the older; the name decides within a second."""
        return (self.is_record, self.created_at, self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class RolloutState:
    """What the Rollout's verdict asks for. What is set in spec wins over it."""

    state: MarkState
    source_uid: str
    revision: int
    """With the uid: which deployment of the version is meant, as the same version may fail again."""
    verdict: str


@dataclass(frozen=True, slots=True)
class PlanInput:
    """What a decision about one DoraDeployment reads besides its spec."""

    namespace: str
    name: str
    created_at: datetime
    default_site: Site
    is_record: bool = False
    """Whether the operator created it."""
    dry_run: bool = False
    """The operator's own setting."""
    referenced: DeploymentSelector | None = None
    """spec.deployment of remediation.doraDeploymentRef; None where that object does not exist."""
    rivals: tuple[Rival, ...] = ()
    rollout_state: RolloutState | None = None
    allowed: Allowed = field(default_factory=Allowed)
    """What this namespace may mark with the operator's own keys."""
    known: Target | None = None
    """status.target: an id or tags that were read back."""
    known_link: RemediationLink | None = None
    """A remediation by version whose id was read back."""


@dataclass(frozen=True, slots=True)
class Send:
    """Datadog should know `request`."""

    request: PatchRequest
    target: Target
    event: DeploymentEvent | None = None
    """A deployment event to post first. The request is then about that event; the target stays what is meant."""
    delete_id: str | None = None
    """A deployment that the operator posted, to delete afterwards: the real one has appeared."""
    is_link_alone: bool = False
    """The request has the link alone: a person has changed the mark in Datadog since, and is right."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The request is known, and suspend or dry run holds it back."""

    request: PatchRequest
    target: Target
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Something in the cluster is missing; its arrival starts a new decision. `state` is what is known so far."""

    state: MarkState
    target: Target
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Only a change by the user can help."""

    state: MarkState
    target: Target
    reason: Reason
    message: str


Plan = Send | Hold | Wait | Refuse


@dataclass(frozen=True, slots=True)
class _Input:
    spec: DoraDeploymentSpec
    context: PlanInput
    state: MarkState
    target: Target


def make_plan(spec: DoraDeploymentSpec, context: PlanInput) -> Plan:
    state = desired_state(spec, context.referenced, context.rollout_state)
    state = _with_known_link(state, context.known_link)
    target = target_of(spec, context.default_site, context.rollout_state)
    if context.known is not None:
        target = target.with_known(context.known)
    given = _Input(spec, context, state, target)
    for check in CHECKS:
        found = check(given)
        if found is not None:
            return found
    return Send(_request(given), given.target)


def target_of(spec: DoraDeploymentSpec, default_site: Site, rollout_state: RolloutState | None = None) -> Target:
    chosen = spec.deployment
    return Target(
        by=TargetKind.VERSION if chosen.id is None else TargetKind.ID,
        id=chosen.id,
        service=chosen.service,
        env=chosen.env,
        version=chosen.version,
        revision=rollout_state.revision if rollout_state is not None else None,
        source_uid=rollout_state.source_uid if rollout_state is not None else None,
        site=(spec.site or default_site).value,
        credentials_secret=spec.credentials_secret_ref.name if spec.credentials_secret_ref else None,
    )


def desired_state(
    spec: DoraDeploymentSpec, referenced: DeploymentSelector | None, rollout_state: RolloutState | None = None
) -> MarkState:
    """Return what Datadog should know: the spec's values, then the Rollout's (of a failure, its remediation too)."""
    decided = rollout_state.state if rollout_state is not None else MarkState()
    failure = spec.change_failure if spec.change_failure is not None else decided.change_failure
    link = decided.remediation if spec.remediation is None else _link(spec.remediation, referenced)
    return MarkState(change_failure=failure, remediation=link if failure or spec.remediation else None)


def overrides(spec: DoraDeploymentSpec, rollout_state: RolloutState) -> bool:
    decided = rollout_state.state
    if spec.change_failure not in (None, decided.change_failure):
        return True
    return (
        spec.remediation is not None
        and decided.remediation is not None
        and _link(spec.remediation, None) != decided.remediation
    )


def _link(wanted: Remediation, referenced: DeploymentSelector | None) -> RemediationLink | None:
    if wanted.dora_deployment_ref is None:
        return RemediationLink(type=wanted.type, id=wanted.id, version=wanted.version)
    if referenced is None:
        return None
    return RemediationLink(type=wanted.type, id=referenced.id, version=None if referenced.id else referenced.version)


def contradicts(one: MarkState, other: MarkState) -> bool:
    """Return whether two states cannot both be true of one deployment; an absent value contradicts nothing."""
    failure = None not in (one.change_failure, other.change_failure) and one.change_failure != other.change_failure
    link = None not in (one.remediation, other.remediation) and one.remediation != other.remediation
    return failure or link


def state_of(verdict: Verdict, others: Iterable[Verdict] = ()) -> RolloutState:
    """Return what the verdict asks of Datadog, where other workloads may be the same deployment."""
    is_failure = is_change_failure(verdict, others)
    state = MarkState(change_failure=is_failure, remediation=verdict.remediation if verdict.change_failure else None)
    return RolloutState(state, verdict.uid, verdict.revision, verdict.verdict.value)


def follows(spec: DoraDeploymentSpec, verdict: Verdict) -> bool:
    """Return whether a DoraDeployment has a sourceRef to the version that this verdict is about."""
    source, chosen, identity = spec.source_ref, spec.deployment, verdict
    if source is None or (source.kind, source.name) != (verdict.kind, verdict.name):
        return False
    if identity.deployment_id is not None and chosen.id is not None:
        return identity.deployment_id == chosen.id
    return identity.version is not None and identity.version == (source.version or chosen.version)


def _names_no_deployment(given: _Input) -> Plan | None:
    chosen = given.spec.deployment
    if chosen.id is not None or None not in (chosen.service, chosen.env, chosen.version):
        return None
    message = "spec.deployment names no deployment: set id, or service, env and version; apply the operator's CRD"
    return Refuse(given.state, given.target, Reason.INVALID_SPEC, message)


def _waits_for_rollout(given: _Input) -> Plan | None:
    source = given.spec.source_ref
    if source is None or given.state.change_failure is not None:
        return None
    version = source.version or given.spec.deployment.version
    message = f"{source.kind.value} {source.name} of sourceRef has decided nothing about version {version} yet"
    return Wait(given.state, given.target, Reason.WAITING_FOR_ROLLOUT, message)


def _has_nothing_to_say(given: _Input) -> Plan | None:
    by_version = given.spec.deployment.id is None
    if given.state.change_failure is not None or (given.state.remediation is not None and not by_version):
        return None
    message = "spec.changeFailure is missing: set it to true or false; Datadog requires it for service, env and version"
    return Refuse(given.state, given.target, Reason.INVALID_SPEC, message)


def _remediation_is_missing(given: _Input) -> Plan | None:
    wanted = given.spec.remediation
    if wanted is None or wanted.dora_deployment_ref is None or given.context.referenced is not None:
        return None
    message = (
        f"DoraDeployment {wanted.dora_deployment_ref.name} of remediation.doraDeploymentRef does not exist in namespace"
        f" {given.context.namespace}: create it, or correct the name"
    )
    return Wait(given.state, given.target, Reason.WAITING_FOR_REMEDIATION, message)


def _remediation_does_not_fit(given: _Input) -> Plan | None:
    wanted, other, own = given.spec.remediation, given.context.referenced, given.spec.deployment
    if wanted is None or wanted.dora_deployment_ref is None or other is None:
        return None
    if other == own:
        found = "names the same deployment as this one: a deployment cannot be its own remediation"
    elif other.id is None and own.id is None and (other.service, other.env) != (own.service, own.env):
        found = (
            f"is for service {other.service} in {other.env}, this one for {own.service} in {own.env}: by version,"
            " Datadog searches the failed deployment's own service and env; use the remediation's id"
        )
    else:
        return None
    message = f"DoraDeployment {wanted.dora_deployment_ref.name} of remediation.doraDeploymentRef {found}"
    return Refuse(given.state, given.target, Reason.REMEDIATION_MISMATCH, message)


def _older_one_wants_the_opposite(given: _Input) -> Plan | None:
    context = given.context
    own_order = (context.is_record, context.created_at, context.namespace, context.name)
    winners: list[Rival] = []
    for rival in sorted(context.rivals, key=lambda rival: rival.order):
        loses = any(contradicts(winner.state, rival.state) for winner in winners)
        if rival.order < own_order and not loses:  # one that loses against a still older one sends nothing
            winners.append(rival)
    winner = next((winner for winner in winners if contradicts(winner.state, given.state)), None)
    if winner is None:
        return None
    message = (
        f"DoraDeployment {winner.namespace}/{winner.name} is older, or a user wrote it, and wants the opposite for"
        " the same deployment; nothing is sent for this one. Delete or change one of the two"
    )
    return Refuse(given.state, given.target, Reason.CONFLICT, message)


def with_event(plan: Send, event: DeploymentEvent, allowed: Allowed, namespace: str) -> Plan:
    """Return the plan that posts an event first and marks it by its id, if the namespace may name its service and env.

    An event is checked like a mark: its tags come from a pod template, and may differ from those of the spec.
    """
    message = why_not(allowed, namespace, event.service, event.env)
    tags = (event.service, event.env, event.version)
    if message is None and None not in plan.target.tags and plan.target.tags != tags:
        message = f"the pod template names another deployment than spec.deployment: {event.service} in {event.env}"
    if message is not None:
        return Refuse(plan.request.state, plan.target, Reason.NOT_ALLOWED, message)
    return replace(plan, event=event, request=PatchById(event.deployment_id, plan.request.state))


def _is_not_allowed(given: _Input) -> Plan | None:
    chosen, link = given.spec.deployment, given.state.remediation
    by_id = chosen.id is not None  # whatever else it names: the id is what is marked
    service, env = (None, None) if by_id else (chosen.service, chosen.env)
    named_id = link.id if link is not None and link.version is None else None  # else a read has found the id
    message = why_not(given.context.allowed, given.context.namespace, service, env, named_id)
    return None if message is None else Refuse(given.state, given.target, Reason.NOT_ALLOWED, message)


def _is_held_back(given: _Input) -> Plan | None:
    if given.spec.suspend:
        message = "spec.suspend is true: nothing is sent until it is false or removed"
        return Hold(_request(given), given.target, Reason.SUSPENDED, message)
    if given.spec.dry_run or given.context.dry_run:
        cause = "spec.dryRun is true" if given.spec.dry_run else "the operator runs with DORA_OPERATOR_DRY_RUN"
        message = f"{cause}: nothing is sent; status.dryRun shows the request"
        return Hold(_request(given), given.target, Reason.DRY_RUN, message)
    return None


CHECKS: tuple[Callable[[_Input], Plan | None], ...] = (
    _names_no_deployment,
    _is_not_allowed,
    _waits_for_rollout,
    _has_nothing_to_say,
    _remediation_is_missing,
    _remediation_does_not_fit,
    _older_one_wants_the_opposite,  # needs the remediation resolved
    _is_held_back,  # last: a dry run shows only what would really be sent
)
"""The order matters and is tested."""


def _request(given: _Input) -> PatchRequest:
    return request_for(given.target, given.state)


def request_for(target: Target, state: MarkState) -> PatchRequest:
    """Return the request that brings a state to a target: by id as soon as that is known."""
    if target.id is not None:
        return PatchById(target.id, state)
    return PatchByVersion(target.service or "", target.env or "", target.version or "", state)


def _with_known_link(state: MarkState, known: RemediationLink | None) -> MarkState:
    link = state.remediation
    if link is None or known is None or link.id is not None or (link.type, link.version) != (known.type, known.version):
        return state
    return replace(state, remediation=known)


@dataclass(frozen=True, slots=True)
class DeploymentKey:
    """A Datadog deployment as far as two resources can be compared.

    An id is unique on its site. Service, env and version are unique only within one account: two organisations may
    each have a checkout 1.5.0 in prod.
    """

    site: str
    id: str | None = None
    account: str | None = None
    """Namespace and name of the Secret with the keys; None: the operator's own."""
    service: str | None = None
    env: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class WorkloadRef:
    """A Rollout that DoraDeployments follow or were created for."""

    namespace: str
    name: str


Dependency = DeploymentKey | WorkloadRef | ObjectKey
"""What a decision about a DoraDeployment reads besides it. A key: another DoraDeployment that it refers to."""


def dependencies_of(default_site: Site, deployment: DoraDeployment) -> frozenset[Dependency]:
    namespace, spec = deployment.key.namespace, deployment.spec
    if spec is None:
        return frozenset()
    found: set[Dependency] = {*keys_of(namespace, target_of(spec, default_site), deployment.status.target)}
    if spec.remediation is not None and spec.remediation.dora_deployment_ref is not None:
        found.add(ObjectKey(namespace, spec.remediation.dora_deployment_ref.name))
    if spec.source_ref is not None:
        found.add(WorkloadRef(namespace, spec.source_ref.name))
    return frozenset(found)


def keys_of(namespace: str, target: Target, known: Target | None) -> set[DeploymentKey]:
    """Return the claims of a target, and of the deployment that it is known to be."""
    claims = {_key(namespace, target)}
    if known is not None:
        claims.add(_key(namespace, target.with_known(known)))
    return claims


def _key(namespace: str, target: Target) -> DeploymentKey:
    if target.by is TargetKind.ID:
        return DeploymentKey(target.site, target.id)
    account = f"{namespace}/{target.credentials_secret}" if target.credentials_secret else None
    return DeploymentKey(target.site, None, account, target.service, target.env, target.version)


def lock_of(target: Target) -> DeploymentKey:
    """Return under what requests go one by one. Wider than a claim: one wait too many does no harm."""
    if target.by is TargetKind.ID:
        return DeploymentKey(target.site, target.id)
    return DeploymentKey(target.site, None, None, target.service, target.env, target.version)
