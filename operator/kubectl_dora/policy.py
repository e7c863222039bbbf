"""Whether everyone with a role in a namespace can write DoraDeployments, and what limits what they can mark.

Read with the user's login: the operator may list neither ClusterRoles nor Namespaces.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from dora_operator.domain import raw
from dora_operator.domain.allowed import SERVICES_ANNOTATION
from dora_operator.domain.fields import GROUP, PLURAL
from dora_operator.settings import Settings
from kubectl_dora.checks import Check, Status
from kubectl_dora.cluster import Cluster
from kubectl_dora.errors import RefusedError

AGGREGATED_TO = tuple(f"rbac.authorization.k8s.io/aggregate-to-{role}" for role in ("edit", "admin"))
WRITING = frozenset({"create", "update", "patch", "*"})


async def read_policy(cluster: Cluster, settings: Settings) -> tuple[Check, ...]:
    """Check the policy; without the permission to list what it takes, there is no finding."""
    try:
        roles, namespaces = await asyncio.gather(
            cluster.list("/apis/rbac.authorization.k8s.io/v1/clusterroles", "ClusterRoles"),
            cluster.list("/api/v1/namespaces", "Namespaces"),
        )
    except RefusedError:
        return ()
    return (policy_check(roles, namespaces, settings),)


def policy_check(
    roles: Sequence[Mapping[str, Any]], namespaces: Sequence[Mapping[str, Any]], settings: Settings
) -> Check:
    """Report aggregated roles that no policy limits: with them everyone with edit can mark any service."""
    name = "policy"
    aggregated = sorted(raw.text(each, "metadata", "name") for each in roles if _is_aggregated(each))
    if not aggregated:
        return Check(name, Status.OK, "no aggregated ClusterRole lets users write DoraDeployments")
    whose = f"everyone with edit or admin can write DoraDeployments ({', '.join(aggregated)})"
    if settings.allowed_services:
        return Check(name, Status.OK, f"{whose}, within allowedServices")
    names = {raw.text(each, "metadata", "name"): raw.texts(each, "metadata", "annotations") for each in namespaces}
    watched = {each: found for each, found in names.items() if each in settings.namespaces or not settings.namespaces}
    unlimited = sorted(each for each, annotations in watched.items() if SERVICES_ANNOTATION not in annotations)
    if not unlimited:
        return Check(name, Status.OK, f"{whose}, within the annotation {SERVICES_ANNOTATION} of each Namespace")
    evidence = f"{whose}, and in {len(unlimited)} of {len(watched)} namespaces no policy limits the services"
    fix = f"set settings.allowedServices, or annotate each Namespace with {SERVICES_ANNOTATION}"
    return Check(name, Status.WARNING, evidence, fix, tuple(unlimited))


def _is_aggregated(role: Mapping[str, Any]) -> bool:
    """Return whether a ClusterRole adds the permission to write DoraDeployments to edit or admin."""
    labels = raw.texts(role, "metadata", "labels")
    if not any(labels.get(label) == "true" for label in AGGREGATED_TO):
        return False
    return any(
        {GROUP, "*"} & set(rule.get("apiGroups") or ())
        and {PLURAL, "*"} & set(rule.get("resources") or ())
        and WRITING & set(rule.get("verbs") or ())
        for rule in raw.items(role, "rules")
    )
