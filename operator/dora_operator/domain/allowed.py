"""Which deployments a namespace may mark with the operator's own keys.

These keys can mark every deployment of the organisation; the permission to write a DoraDeployment in one namespace
should not. Keys of a namespace's own have permissions of their own, and are not checked here.

The settings name services and environments; a Namespace's annotations replace them there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

SERVICES_ANNOTATION = "dora-operator.io/allowed-services"
ENVS_ANNOTATION = "dora-operator.io/allowed-envs"


@dataclass(frozen=True, slots=True)
class Allowed:
    """Names that are allowed; `checkout-*` allows all with that prefix. Empty: everything."""

    services: tuple[str, ...] = ()
    envs: tuple[str, ...] = ()


def names_in(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def allowed_in(annotations: Mapping[str, str], defaults: Allowed) -> Allowed:
    """Return what a Namespace allows: its annotations, else the operator's settings.

    An annotation without names allows nothing: an emptied list does not mean everything.
    """
    services, envs = annotations.get(SERVICES_ANNOTATION), annotations.get(ENVS_ANNOTATION)
    return Allowed(
        defaults.services if services is None else names_in(services) or ("",),
        defaults.envs if envs is None else names_in(envs) or ("",),
    )


def why_not(
    allowed: Allowed, namespace: str, service: str | None, env: str | None, linked_id: str | None = None
) -> str | None:
    """Return why a deployment may not be marked or linked, with the fix, or None. An id alone cannot be checked.

    A link by version stays within the service and env; one by id could name any deployment.
    """
    if not allowed.services and not allowed.envs:
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
    if linked_id is None:
        return None
    return (
        f"namespace {namespace} may mark only some services or environments, and the id of a remediation does not show"
        " which one is meant: name the remediation by version, or use keys of your own in credentialsSecretRef"
    )


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
