"""One DoraDeployment explained: what it asks for, the request, Datadog's answer, what was read back. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dora_operator.domain.allowed import Allowed, allowed_in
from dora_operator.domain.fields import to_api
from dora_operator.domain.plan import (
    Context,
    Hold,
    Plan,
    Rival,
    Send,
    claims_of,
    desired_state,
    make_plan,
    request_for,
    state_of,
    target_of,
)
from dora_operator.domain.request import PatchRequest, encode
from dora_operator.domain.resource import DoraDeployment
from dora_operator.domain.rollout.verdict import Verdict
from dora_operator.domain.spec import DeploymentSelector, DoraDeploymentSpec
from dora_operator.settings import Settings


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent to Datadog for a resource."""

    method: str
    path: str
    body: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What Datadog answered, as the resource's status has it."""

    http_status: int | None
    accepted_time: datetime | None
    attempts: int | None
    next_attempt_time: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A condition."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ResourceExplained:
    """A DoraDeployment: what it asks for, what Datadog answered, and what was read back."""

    namespace: str
    name: str
    made_by: str
    """`operator` for a record, else `user`."""
    deployment: str
    source: Verdict | None
    """What the workload did, where one decides."""
    request: Request | None
    held_back: str | None
    """Why there is no request, or why it is not sent."""
    is_judged: bool
    """Whether the operator has acted on the newest spec."""
    answer: Answer
    conditions: tuple[Judgement, ...]
    read_back: Mapping[str, Any] | None = None

    def condition(self, kind: str) -> Judgement | None:
        """Return a condition by its type."""
        return next((each for each in self.conditions if each.type == kind), None)


def explain_resource(
    deployment: DoraDeployment,
    others: Sequence[DoraDeployment],
    settings: Settings,
    annotations: Mapping[str, str],
) -> ResourceExplained:
    """Explain a DoraDeployment among the others of its namespace, whose annotations may limit it."""
    status, source = deployment.status, deployment.record or deployment.status.source
    allowed = _allowed(deployment, settings, annotations)
    plan = _plan(deployment, deployment.spec, others, settings, allowed) if deployment.spec else None
    request = _request(deployment, plan)
    return ResourceExplained(
        namespace=deployment.key.namespace,
        name=deployment.key.name,
        made_by="operator" if deployment.is_record else "user",
        deployment=named(deployment.spec.deployment) if deployment.spec else "unknown",
        source=source,
        request=Request("PATCH", request.path, encode(request).decode()) if request is not None else None,
        held_back=_held_back(plan),
        is_judged=is_judged(deployment),
        answer=Answer(
            http_status=status.http_status,
            accepted_time=status.accepted_time,
            attempts=status.attempts,
            next_attempt_time=status.next_attempt_time,
            last_error=status.last_error,
        ),
        conditions=tuple(
            Judgement(each.type, each.status.value, each.reason, each.message) for each in status.conditions or ()
        ),
        read_back=to_api(status.read_back) if status.read_back is not None else None,
    )


def is_judged(deployment: DoraDeployment) -> bool:
    """Return whether the operator has acted on the newest spec."""
    return deployment.status.observed_generation == deployment.generation


def _request(deployment: DoraDeployment, plan: Plan | None) -> PatchRequest | None:
    """Return what is sent: as the operator noted it in the status, else as it will plan it."""
    status = deployment.status
    if not isinstance(plan, Send | Hold):
        return None
    if is_judged(deployment) and status.target is not None and status.desired is not None:
        return request_for(status.target, status.desired)
    return plan.request


def named(selector: DeploymentSelector) -> str:
    """Return the name of a Datadog deployment for people."""
    if selector.id is not None:
        return f"id {selector.id}"
    return f"service {selector.service} env {selector.env} version {selector.version}"


def _plan(
    deployment: DoraDeployment,
    spec: DoraDeploymentSpec,
    others: Sequence[DoraDeployment],
    settings: Settings,
    allowed: Allowed,
) -> Plan:
    """Make the plan that the operator makes of the resource."""
    source = (deployment.record or deployment.status.source) if spec.source_ref is not None else None
    context = Context(
        namespace=deployment.key.namespace,
        name=deployment.key.name,
        created_at=deployment.created_time,
        default_site=settings.site,
        dry_run=settings.dry_run,
        referenced=_referenced(spec, others),
        rivals=tuple(_rivals(deployment, spec, others, settings)),
        rollout_state=state_of(source) if source is not None else None,
        allowed=allowed,
        known=deployment.status.target,
    )
    return make_plan(spec, context)


def _allowed(deployment: DoraDeployment, settings: Settings, annotations: Mapping[str, str]) -> Allowed:
    """Return what the resource may mark; keys of its own may mark whatever these keys may mark."""
    if deployment.spec is None or deployment.spec.credentials_secret_ref is not None:
        return Allowed()
    return allowed_in(annotations, settings.allowed)


def _referenced(spec: DoraDeploymentSpec, others: Sequence[DoraDeployment]) -> DeploymentSelector | None:
    if spec.remediation is None or spec.remediation.dora_deployment_ref is None:
        return None
    name = spec.remediation.dora_deployment_ref.name
    return next((each.spec.deployment for each in others if each.key.name == name and each.spec is not None), None)


def _rivals(
    deployment: DoraDeployment, spec: DoraDeploymentSpec, others: Sequence[DoraDeployment], settings: Settings
) -> list[Rival]:
    namespace = deployment.key.namespace
    own = claims_of(namespace, target_of(spec, settings.site), deployment.status.target)
    found = []
    for each in others:
        other = each.spec
        if other is None or each.key == deployment.key or other.suspend or other.dry_run:
            continue
        if own & claims_of(namespace, target_of(other, settings.site), each.status.target):
            state = state_of(each.status.source) if each.status.source is not None else None
            desired = desired_state(other, _referenced(other, others), state)
            found.append(Rival(namespace, each.key.name, each.created_time, desired))
    return found


def _held_back(plan: Plan | None) -> str | None:
    if plan is None:
        return "InvalidSpec: the spec cannot be understood: apply the CRD of this version of the operator"
    return None if isinstance(plan, Send) else f"{plan.reason.value}: {plan.message}"
