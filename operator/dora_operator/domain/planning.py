"""From a spec and its surroundings to one plan: a chain of named checks, the first that finds something decides.

Knows nothing of what was sent before, nor of answers.
"""

from collections.abc import Callable
from dataclasses import dataclass

from dora_operator.domain.allowed import why_not
from dora_operator.domain.observed import MarkState, RemediationLink, Target, TargetKind
from dora_operator.domain.plan import Hold, Opinion, Plan, Refuse, Rival, Send, Surroundings, Wait
from dora_operator.domain.reasons import Reason
from dora_operator.domain.request import PatchById, PatchByVersion, PatchRequest
from dora_operator.domain.sites import Site
from dora_operator.domain.spec import DeploymentSelector, DoraDeploymentSpec, Remediation


@dataclass(frozen=True, slots=True)
class _Case:
    spec: DoraDeploymentSpec
    around: Surroundings
    state: MarkState
    target: Target


def make_plan(spec: DoraDeploymentSpec, around: Surroundings) -> Plan:
    """Decide what this resource asks for. The first check that finds something decides."""
    state = desired_state(spec, around.referenced, around.opinion)
    case = _Case(spec, around, state, target_of(spec, around.default_site, around.opinion))
    for check in CHECKS:
        found = check(case)
        if found is not None:
            return found
    return Send(_request(case), case.target)


def target_of(spec: DoraDeploymentSpec, default_site: Site, opinion: Opinion | None = None) -> Target:
    """Return the Datadog deployment and account that the spec names."""
    chosen = spec.deployment
    return Target(
        by=TargetKind.VERSION if chosen.id is None else TargetKind.ID,
        id=chosen.id,
        service=chosen.service,
        env=chosen.env,
        version=chosen.version,
        revision=opinion.revision if opinion is not None else None,
        rollout_uid=opinion.rollout_uid if opinion is not None else None,
        site=(spec.site or default_site).value,
        credentials_secret=spec.credentials_secret_ref.name if spec.credentials_secret_ref else None,
    )


def desired_state(
    spec: DoraDeploymentSpec, referenced: DeploymentSelector | None, opinion: Opinion | None = None
) -> MarkState:
    """Return what Datadog shall know: the spec's words, then the Rollout's (for a failure, its remediation as well)."""
    said = opinion.state if opinion is not None else MarkState()
    failure = spec.change_failure if spec.change_failure is not None else said.change_failure
    link = said.remediation if spec.remediation is None else _link(spec.remediation, referenced)
    return MarkState(change_failure=failure, remediation=link if failure or spec.remediation else None)


def overrides(spec: DoraDeploymentSpec, opinion: Opinion) -> bool:
    """Tell whether the spec says something else than the Rollout."""
    said = opinion.state
    if spec.change_failure not in (None, said.change_failure):
        return True
    return (
        spec.remediation is not None
        and said.remediation is not None
        and _link(spec.remediation, None) != said.remediation
    )


def _link(wanted: Remediation, referenced: DeploymentSelector | None) -> RemediationLink | None:
    if wanted.deployment_ref is None:
        return RemediationLink(type=wanted.type, id=wanted.id, version=wanted.version)
    if referenced is None:
        return None
    return RemediationLink(type=wanted.type, id=referenced.id, version=None if referenced.id else referenced.version)


def contradicts(one: MarkState, other: MarkState) -> bool:
    """Tell whether two states cannot both be true of one deployment; what one leaves open contradicts nothing."""
    failure = None not in (one.change_failure, other.change_failure) and one.change_failure != other.change_failure
    link = None not in (one.remediation, other.remediation) and one.remediation != other.remediation
    return failure or link


def _names_no_deployment(case: _Case) -> Plan | None:
    chosen = case.spec.deployment
    if chosen.id is not None or None not in (chosen.service, chosen.env, chosen.version):
        return None
    message = "spec.deployment names no deployment: set id, or service, env and version; apply the operator's CRD"
    return Refuse(case.state, case.target, Reason.INVALID_SPEC, message)


def _waits_for_rollout(case: _Case) -> Plan | None:
    spec = case.spec
    if spec.rollout_ref is None or case.state.change_failure is not None:
        return None
    version = spec.rollout_ref.version or spec.deployment.version
    message = f"Rollout {spec.rollout_ref.name} has decided nothing about version {version} yet"
    return Wait(case.state, case.target, Reason.WAITING_FOR_ROLLOUT, message)


def _has_nothing_to_say(case: _Case) -> Plan | None:
    spec = case.spec
    by_version = spec.deployment.id is None
    if case.state.change_failure is not None or (case.state.remediation is not None and not by_version):
        return None
    message = "spec.changeFailure is missing: set it to true or false; Datadog requires it for service, env and version"
    return Refuse(case.state, case.target, Reason.INVALID_SPEC, message)


def _remediation_is_missing(case: _Case) -> Plan | None:
    wanted = case.spec.remediation
    if wanted is None or wanted.deployment_ref is None or case.around.referenced is not None:
        return None
    message = (
        f"DoraDeployment {wanted.deployment_ref.name} of remediation.deploymentRef does not exist in namespace"
        f" {case.around.namespace}; create it, or correct the name"
    )
    return Wait(case.state, case.target, Reason.WAITING_FOR_REMEDIATION, message)


def _remediation_does_not_fit(case: _Case) -> Plan | None:
    wanted, other, own = case.spec.remediation, case.around.referenced, case.spec.deployment
    if wanted is None or wanted.deployment_ref is None or other is None:
        return None
    name = wanted.deployment_ref.name
    if other == own:
        found = "names the same deployment as this one: a deployment cannot be its own remediation"
    elif other.id is None and own.id is None and (other.service, other.env) != (own.service, own.env):
        found = (
            f"is for service {other.service} in {other.env}, this one for {own.service} in {own.env}: by version,"
            " Datadog looks in the failed deployment's own service and env; use the remediation's id"
        )
    else:
        return None
    return Refuse(case.state, case.target, Reason.REMEDIATION_MISMATCH, f"DoraDeployment {name} {found}")


def _older_one_wants_the_opposite(case: _Case) -> Plan | None:
    around = case.around
    own_order = (around.created_at, around.namespace, around.name)
    winners: list[Rival] = []
    for rival in sorted(around.rivals, key=lambda rival: rival.age_order):
        loses = any(contradicts(winner.state, rival.state) for winner in winners)
        if rival.age_order < own_order and not loses:  # who loses against a still older one sends nothing
            winners.append(rival)
    winner = next((winner for winner in winners if contradicts(winner.state, case.state)), None)
    if winner is None:
        return None
    message = (
        f"DoraDeployment {winner.namespace}/{winner.name} is older and wants the opposite for the same deployment;"
        " nothing is sent for this one. Delete or change one of the two"
    )
    return Refuse(case.state, case.target, Reason.CONFLICT, message)


def _is_not_allowed(case: _Case) -> Plan | None:
    if case.spec.credentials_secret_ref is not None:
        return None
    chosen, link = case.spec.deployment, case.state.remediation
    by_id = chosen.id is not None  # whatever else it names: the id is what is marked
    service, env = (None, None) if by_id else (chosen.service, chosen.env)
    message = why_not(case.around.allowed, case.around.namespace, service, env, link.id if link else None)
    return None if message is None else Refuse(case.state, case.target, Reason.NOT_ALLOWED, message)


def _is_held_back(case: _Case) -> Plan | None:
    if case.spec.suspend:
        message = "spec.suspend is true: nothing is sent until it is false or removed"
        return Hold(_request(case), case.target, Reason.SUSPENDED, message)
    if case.spec.dry_run or case.around.dry_run:
        who = "spec.dryRun is true" if case.spec.dry_run else "the operator runs with DORA_OPERATOR_DRY_RUN"
        message = f"{who}: nothing is sent; status.dryRun shows the request"
        return Hold(_request(case), case.target, Reason.DRY_RUN, message)
    return None


CHECKS: tuple[Callable[[_Case], Plan | None], ...] = (
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


def _request(case: _Case) -> PatchRequest:
    chosen = case.spec.deployment
    if chosen.id is not None:
        return PatchById(chosen.id, case.state)
    return PatchByVersion(chosen.service or "", chosen.env or "", chosen.version or "", case.state)
