"""Which deployments a namespace may mark with the operator's own keys.

These keys can mark every deployment of the organisation; the permission to write a DoraDeployment in one namespace
should not. Keys of a namespace's own have permissions of their own, and are not checked here.

Three policies, each of which limits: the services and the environments of the settings, and the services that Rollouts
of the namespace run (`ownServices`). The annotation of a Namespace that names services replaces both policies about
services there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import ConditionType, DoraDeploymentStatus
from dora_operator.domain.rollout.restoration import is_own_id
from dora_operator.domain.spec import DoraDeploymentSpec

SERVICES_ANNOTATION = "dora-operator.io/allowed-services"
ENVS_ANNOTATION = "dora-operator.io/allowed-envs"


@dataclass(frozen=True, slots=True)
class Allowed:
    """Names that are allowed; `checkout-*` allows all with that prefix. Empty: everything."""

    services: tuple[str, ...] = ()
    envs: tuple[str, ...] = ()
    own_services: frozenset[str] | None = None
    """Services that Rollouts of the namespace run, where only these may be marked. None: all."""


def names_in(text: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def allowed_in(annotations: Mapping[str, str], defaults: Allowed) -> Allowed:
    """Return what a Namespace allows: its annotations, else the operator's settings.

    An annotation without names allows nothing: an emptied list does not mean everything.
    """
    services, envs = annotations.get(SERVICES_ANNOTATION), annotations.get(ENVS_ANNOTATION)
    return Allowed(
        defaults.services if services is None else names_in(services) or ("",),
        defaults.envs if envs is None else names_in(envs) or ("",),
        defaults.own_services if services is None else None,
    )


_NOT_CHECKED = frozenset({Reason.NOT_ALLOWED, Reason.INVALID_SPEC})
"""Reasons of Ready with which a resource was refused, or the policies may not have been asked."""


def was_allowed(status: DoraDeploymentStatus) -> bool:
    """Return whether a status, which only the operator writes, shows that the policies allowed this resource before.

    Its deployment never changes. So it needs its Rollout no longer: a deleted Rollout takes no report along.
    """
    ready, target = status.condition(ConditionType.READY), status.target
    if ready is None or target is None or target.credentials_secret is not None:
        return False
    return ready.reason not in _NOT_CHECKED


def needs_own_service(spec: DoraDeploymentSpec, status: DoraDeploymentStatus) -> bool:
    """Return whether the policy ownServices applies to a resource: with the operator's keys, until it was allowed."""
    return spec.credentials_secret_ref is None and not was_allowed(status)


def why_not(
    allowed: Allowed, namespace: str, service: str | None, env: str | None, linked_id: str | None = None
) -> str | None:
    """Return why a deployment may not be marked or linked, with the fix, or None. An id alone cannot be checked.

    A link by version stays within the service and env; one by id could name any deployment.
    """
    if not allowed.services and not allowed.envs and allowed.own_services is None:
        return None
    if service is None or env is None:
        return (
            f"namespace {namespace} may mark only some services or environments, and an id does not show which one is"
            " meant: name the deployment by service, env and version, or use keys of your own in credentialsSecretRef"
        )
    for what, name, names, annotation in (
        ("service", service, allowed.services, SERVICES_ANNOTATION),
        ("environment", env, allowed.envs, ENVS_ANNOTATION),
    ):
        if names and not any(_matches(name, pattern) for pattern in names):
            return (
                f"namespace {namespace} may not mark {what} {name}: ask an administrator to add it to the Namespace's"
                f" annotation {annotation}, or use keys of your own in credentialsSecretRef"
            )
    if allowed.own_services is not None and service not in allowed.own_services:
        return (
            f"namespace {namespace} may mark only services that its own Rollouts run, and none of them runs {service}:"
            f" set the label tags.datadoghq.com/service on the Rollout's pod template, ask an administrator to name the"
            f" service in the Namespace's annotation {SERVICES_ANNOTATION}, or use keys of your own in"
            " credentialsSecretRef"
        )
    if linked_id is None or is_own_id(linked_id):
        return None
    return (
        f"namespace {namespace} may mark only some services or environments, and the id of a remediation does not show"
        " which one is meant: name the remediation by version, or use keys of your own in credentialsSecretRef"
    )


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
