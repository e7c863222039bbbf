"""The policy ownServices as commands read it: which services Rollouts of a namespace run."""

from collections.abc import Collection, Sequence

from dora_operator.domain.allowed import needs_own_service
from dora_operator.domain.resource import DoraDeployment
from dora_operator.domain.rollout import raw
from dora_operator.domain.rollout.identity import service_of
from dora_operator.domain.rollout.observation import POD_TEMPLATE_HASH
from dora_operator.kubectl.cluster import Body, Cluster
from dora_operator.kubectl.facts import refused_by_own_services
from dora_operator.kubectl.gather import ROLLOUTS, collection
from dora_operator.settings import Settings


async def read_own_services(
    cluster: Cluster, settings: Settings, namespace: str, deployments: Collection[DoraDeployment]
) -> frozenset[str] | None:
    """Return the services that count for DoraDeployments of a namespace; None where the policy applies to none."""
    wanted = [each for each in deployments if each.spec is not None and needs_own_service(each.spec, each.status)]
    if not settings.own_services or not wanted:
        return None
    path = collection(ROLLOUTS, namespace, "rollouts")
    query = {"labelSelector": settings.rollout_selector} if settings.rollout_selector else {}
    rollouts = await cluster.list(path, "Rollouts", **query)
    found = services_of(rollouts)
    if any(refused_by_own_services(each, found) for each in wanted):
        found |= await read_services_of_replica_sets(cluster, namespace, rollouts)
    return found


async def read_services_of_replica_sets(cluster: Cluster, namespace: str, rollouts: Sequence[Body]) -> frozenset[str]:
    """Return the services that the ReplicaSets of Rollouts name: those of older revisions, and with workloadRef all."""
    owners = {each["metadata"]["uid"] for each in rollouts}
    path = collection("/apis/apps/v1", namespace, "replicasets")
    found = await cluster.list(path, "ReplicaSets", labelSelector=POD_TEMPLATE_HASH)
    references = [{each.get("uid") for each in raw.items(body, "metadata", "ownerReferences")} for body in found]
    return services_of([body for body, uids in zip(found, references, strict=True) if uids & owners])


def services_of(bodies: Sequence[Body]) -> frozenset[str]:
    """Return the services that the pod templates of Rollouts or ReplicaSets name."""
    named = (service_of(raw.mapping(body, "spec", "template")) for body in bodies)
    return frozenset(service for service in named if service is not None)
