"""Every state in which a DoraDeployment can be, with what Argo CD, Flux and plain kstatus have to make of it."""

from dataclasses import dataclass, replace
from typing import Any

from dora_operator.domain.fields import to_api
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import DoraDeploymentStatus
from dora_operator.domain.status import ConditionSummary, Override, Phase, postponed
from tests.support.builders import BY_VERSION, send, status_context


@dataclass(frozen=True, slots=True)
class State:
    """An object as the API server shows it, and the health that it has."""

    name: str
    body: dict[str, Any]
    argo: str
    flux: str
    kstatus: str


ACCEPTED = ("Healthy", "Current", "Current")
AT_REST = ("Healthy", "Current", "InProgress")
HELD = ("Suspended", "Current", "InProgress")
UNDER_WAY = ("Progressing", "InProgress", "InProgress")
NEEDS_USER = ("Degraded", "Failed", "InProgress")
STALLED = ("Degraded", "Failed", "Failed")

WRITTEN: dict[tuple[Reason, Phase], tuple[str, str, str]] = {
    (Reason.ACCEPTED, Phase.READY): ACCEPTED,
    (Reason.SUSPENDED, Phase.HELD): HELD,
    (Reason.DRY_RUN, Phase.HELD): AT_REST,
    (Reason.WAITING_FOR_ROLLOUT, Phase.WORKING): AT_REST,
    (Reason.WAITING_FOR_REMEDIATION, Phase.WORKING): UNDER_WAY,
    (Reason.REMEDIATION_MISMATCH, Phase.STALLED): STALLED,
    (Reason.CONFLICT, Phase.STALLED): STALLED,
    (Reason.NOT_ALLOWED, Phase.STALLED): STALLED,
    (Reason.INVALID_SPEC, Phase.STALLED): STALLED,
    (Reason.CREDENTIALS_NOT_FOUND, Phase.WORKING): UNDER_WAY,
    (Reason.CREDENTIALS_INVALID, Phase.WORKING): NEEDS_USER,
    (Reason.CREDENTIALS_NOT_READABLE, Phase.WORKING): NEEDS_USER,
    (Reason.UNAUTHORIZED, Phase.WORKING): NEEDS_USER,
    (Reason.FORBIDDEN, Phase.WORKING): NEEDS_USER,
    (Reason.RATE_LIMITED, Phase.WORKING): UNDER_WAY,
    (Reason.DATADOG_UNAVAILABLE, Phase.WORKING): UNDER_WAY,
    (Reason.DATADOG_UNREACHABLE, Phase.WORKING): UNDER_WAY,
    (Reason.DATADOG_TIMEOUT, Phase.WORKING): UNDER_WAY,
    (Reason.UNEXPECTED_ANSWER, Phase.WORKING): UNDER_WAY,
    (Reason.REQUEST_REJECTED, Phase.STALLED): STALLED,
    (Reason.DEPLOYMENT_NOT_FOUND, Phase.WORKING): UNDER_WAY,
    (Reason.DEPLOYMENT_NOT_FOUND, Phase.STALLED): STALLED,
    (Reason.DEPLOYMENT_MISSING, Phase.WORKING): NEEDS_USER,
    (Reason.DEPLOYMENT_MISSING, Phase.STALLED): STALLED,
    (Reason.AMBIGUOUS, Phase.WORKING): NEEDS_USER,
    (Reason.AMBIGUOUS, Phase.STALLED): STALLED,
    (Reason.NOT_APPLIED, Phase.WORKING): NEEDS_USER,
}
"""What Argo CD, Flux with its expressions, and kstatus alone say, for each reason of Ready."""


def states() -> list[State]:
    """Return all of them: what the operator writes, and what is there before it has reconciled."""
    written = [
        State(f"{reason.value}, {phase.name.lower()}", _body(_status(reason, phase)), *health)
        for (reason, phase), health in WRITTEN.items()
    ]
    override = Override(is_overridden=True, verdict="Aborted")
    accepted = _status(Reason.ACCEPTED, Phase.READY)
    return [
        *written,
        State("spec wins over the Rollout", _body(_status(Reason.ACCEPTED, Phase.READY, override)), *ACCEPTED),
        State("not reconciled yet", _body({"observedGeneration": -1}), *UNDER_WAY),
        State("an edit that is not reconciled yet", _body(accepted, generation=2), *UNDER_WAY),
        State("an edit after a refusal", _body(_status(Reason.CONFLICT, Phase.STALLED), generation=2), *UNDER_WAY),
    ]


def _status(reason: Reason, phase: Phase, override: Override | None = None) -> dict[str, Any]:
    summary = ConditionSummary(phase, reason, f"in words: {reason.value}")
    context = replace(status_context(), override=override)
    return to_api(postponed(DoraDeploymentStatus(), send(deployment=BY_VERSION), summary, None, context))


def _body(status: dict[str, Any], generation: int = 1) -> dict[str, Any]:
    return {
        "apiVersion": "dora-operator.io/v1alpha1",
        "kind": "DoraDeployment",
        "metadata": {"name": "checkout-1.5.0", "namespace": "shop", "generation": generation},
        "spec": {"deployment": BY_VERSION, "changeFailure": True},
        "status": status,
    }
