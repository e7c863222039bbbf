"""What a DoraDeployment depends on, as names: whoever changes one of them wakes the others.

The Datadog deployment that it marks, the DoraDeployment that its remediation refers to, the Rollout that it follows.
"""

from dora_operator.domain.observed import Target, TargetKind
from dora_operator.domain.planning import target_of
from dora_operator.domain.sites import Site
from dora_operator.domain.spec import DoraDeploymentSpec


def links_of(namespace: str, spec: DoraDeploymentSpec, default_site: Site) -> frozenset[str]:
    """Return the names of everything that a decision about this resource reads besides the resource."""
    links = {claim(namespace, target_of(spec, default_site))}
    if spec.remediation is not None and spec.remediation.deployment_ref is not None:
        links.add(reference(namespace, spec.remediation.deployment_ref.name))
    if spec.rollout_ref is not None:
        links.add(rollout(namespace, spec.rollout_ref.name))
    return frozenset(links)


def claim(namespace: str, target: Target) -> str:
    """Name the Datadog deployment as far as two resources can be compared.

    An id is unique on its site. Service, env and version are unique only within one account: two organisations may
    each have a checkout 1.5.0 in prod.
    """
    if target.by is TargetKind.ID:
        return _name("id", target.site, target.id)
    account = f"{namespace}/{target.credentials_secret}" if target.credentials_secret else ""
    return _name("version", target.site, account, target.service, target.env, target.version)


def send_lane(target: Target) -> str:
    """Name the lane in which requests go one by one. Wider than a claim: waiting a moment too often does no harm."""
    if target.by is TargetKind.ID:
        return _name("id", target.site, target.id)
    return _name("version", target.site, target.service, target.env, target.version)


def reference(namespace: str, name: str) -> str:
    """Name a DoraDeployment that others refer to."""
    return _name("reference", namespace, name)


def rollout(namespace: str, name: str) -> str:
    """Name a Rollout that DoraDeployments follow or were made for."""
    return _name("rollout", namespace, name)


def _name(*parts: str | None) -> str:
    return "\0".join(part or "" for part in parts)
