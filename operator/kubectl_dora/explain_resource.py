"""One DoraDeployment explained: what it asks for, the request, Datadog's answer, what was read back. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dora_operator.domain.fields import to_api
from dora_operator.domain.history.verdicts import Verdict
from dora_operator.domain.plan import Hold, Send
from dora_operator.domain.request import encode
from dora_operator.domain.resource import DoraDeployment
from dora_operator.domain.spec import DeploymentSelector
from kubectl_dora.planning import Context

INVALID = "InvalidSpec: the spec cannot be understood: apply the CRD of this version of the operator"


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent to Datadog for a resource."""

    method: str
    path: str
    body: str


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
    is_observed: bool
    """Whether the operator has acted on the newest spec."""
    status: Mapping[str, Any]
    """The status of the resource, as it is."""
    notes: tuple[str, ...] = ()

    def condition(self, kind: str) -> Mapping[str, str] | None:
        """Return a condition by its type."""
        return next((each for each in self.status.get("conditions") or () if each["type"] == kind), None)


def explain_resource(
    deployment: DoraDeployment, context: Context | None, notes: tuple[str, ...] = ()
) -> ResourceExplained:
    """Explain a DoraDeployment by the plan that the operator makes; without a readable spec there is none."""
    plan, request = context.plan if context is not None else None, None
    if isinstance(plan, Send | Hold):
        request = Request("PATCH", plan.request.path, encode(plan.request).decode())
    held_back = INVALID if plan is None else None if isinstance(plan, Send) else f"{plan.reason.value}: {plan.message}"
    return ResourceExplained(
        namespace=deployment.key.namespace,
        name=deployment.key.name,
        made_by="operator" if deployment.is_record else "user",
        deployment=named(deployment.spec.deployment) if deployment.spec else "unknown",
        source=(context.source if context is not None else None) or deployment.status.source,
        request=request,
        held_back=held_back,
        is_observed=deployment.status.observed_generation == deployment.generation,
        status=to_api(deployment.status),
        notes=notes,
    )


def named(selector: DeploymentSelector) -> str:
    """Return the name of a Datadog deployment for people."""
    if selector.id is not None:
        return f"id {selector.id}"
    return f"service {selector.service} env {selector.env} version {selector.version}"
