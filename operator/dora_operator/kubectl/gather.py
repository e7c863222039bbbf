"""Read the facts about Rollouts and DoraDeployments: few requests, long lists page by page, in parallel."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.resource import DoraDeployment, parse
from dora_operator.domain.rollout import raw
from dora_operator.domain.rollout.observation import POD_TEMPLATE_HASH, Rollout, parse_rollout
from dora_operator.kubectl.cluster import Cluster
from dora_operator.kubectl.errors import NotFoundError
from dora_operator.kubectl.facts import RolloutFacts, default_settings
from dora_operator.kubectl.installation import Installation, find_installations
from dora_operator.settings import Settings

Body = dict[str, Any]
ROLLOUTS = "/apis/argoproj.io/v1alpha1"
DEPLOYMENTS = "/apis/dora-operator.io/v1alpha1"


def collection(root: str, namespace: str | None, plural: str) -> str:
    """Return the path of a collection, in a namespace or in the whole cluster."""
    return f"{root}/namespaces/{namespace}/{plural}" if namespace else f"{root}/{plural}"


async def read_rollout(cluster: Cluster, name: str, installation: Installation | None) -> RolloutFacts:
    """Read everything about one Rollout.

    Raises:
        NotFoundError: there is no such Rollout.
    """
    namespace = cluster.namespace
    what = f"Rollout {namespace}/{name}"
    body = await cluster.get(f"{collection(ROLLOUTS, namespace, 'rollouts')}/{name}", what)
    rollout = parse_rollout(body)
    replica_sets, deployments, annotations, is_selected = await asyncio.gather(
        list_replica_sets(cluster, rollout),
        list_deployments(cluster, namespace, of_rollout(name)),
        read_annotations(cluster, namespace),
        is_selected_by(cluster, rollout.key, installation),
    )
    return RolloutFacts(
        rollout=body,
        replica_sets=replica_sets,
        deployments=deployments,
        namespace_annotations=annotations,
        settings=installation.settings if installation else default_settings(),
        operator=installation.title if installation else "",
        is_selected=is_selected,
    )


async def list_replica_sets(cluster: Cluster, rollout: Rollout) -> list[Body]:
    """List the ReplicaSets that may belong to a Rollout."""
    labels = ",".join([POD_TEMPLATE_HASH, *(f"{label}={value}" for label, value in rollout.match_labels.items())])
    path = collection("/apis/apps/v1", rollout.key.namespace, "replicasets")
    return await cluster.list(path, f"ReplicaSets of Rollout {rollout.key}", labelSelector=labels)


async def is_selected_by(cluster: Cluster, rollout: ObjectKey, installation: Installation | None) -> bool:
    """Ask the API server whether the operator's selector matches a Rollout: it is the judge of selectors."""
    selector = installation.settings.rollout_selector if installation else ""
    if not selector:
        return True
    path = collection(ROLLOUTS, rollout.namespace, "rollouts")
    field = f"metadata.name={rollout.name}"
    found = await cluster.list(path, f"Rollout {rollout}", labelSelector=selector, fieldSelector=field)
    return bool(found)


async def read_annotations(cluster: Cluster, namespace: str) -> Mapping[str, str]:
    """Read the annotations of a Namespace."""
    body = await cluster.get(f"/api/v1/namespaces/{namespace}", f"Namespace {namespace}")
    annotations: Mapping[str, str] = body["metadata"].get("annotations") or {}
    return annotations


Choose = Callable[[Sequence[Body]], Sequence[Body]]


async def list_deployments(
    cluster: Cluster, namespace: str | None, choose: Choose | None = None
) -> list[DoraDeployment]:
    """List DoraDeployments; `choose` leaves out those that need not be parsed.

    Raises:
        NotFoundError: the CRD is not installed.
    """
    path = collection(DEPLOYMENTS, namespace, "doradeployments")
    try:
        if choose is None:
            return [parse(body) async for bodies in cluster.pages(path, "DoraDeployments") for body in bodies]
        return [parse(body) for body in choose(await cluster.list(path, "DoraDeployments"))]
    except NotFoundError as error:
        fix = "install the operator's CRD: kubectl apply --server-side -f crds/"
        raise NotFoundError("DoraDeployments", fix, "the API server does not know this kind") from error


def for_deployment(selector: Mapping[str, str]) -> Choose:
    """Choose the resources for one Datadog deployment."""
    return lambda bodies: [each for each in bodies if raw.mapping(each, "spec", "deployment") == selector]


def of_rollout(name: str) -> Choose:
    """Choose the resources that follow a Rollout or were created for it, and those for the same deployments."""
    return lambda bodies: _with_rivals(
        bodies, [each for each in bodies if raw.text(each, "spec", "sourceRef", "name") == name]
    )


def of_resource(name: str) -> Choose:
    """Choose one resource, those for the same deployment, and the one that it refers to."""
    return lambda bodies: _with_rivals(bodies, [each for each in bodies if raw.text(each, "metadata", "name") == name])


def _with_rivals(bodies: Sequence[Body], chosen: Sequence[Body]) -> Sequence[Body]:
    deployments = [raw.mapping(each, "spec", "deployment") for each in chosen]
    referred = {raw.text(each, "spec", "remediation", "doraDeploymentRef", "name") for each in chosen}
    return [
        each
        for each in bodies
        if raw.mapping(each, "spec", "deployment") in deployments or raw.text(each, "metadata", "name") in referred
    ]


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """Rollouts of several namespaces with what is around them."""

    rollouts: Sequence[RolloutFacts]
    deployments: Sequence[DoraDeployment]
    installation: Installation | None
    installations: Sequence[Installation]


async def read_all(cluster: Cluster, namespace: str | None) -> ClusterFacts:
    """Read all Rollouts of a namespace, or of the cluster, with one list for each kind."""
    installations = await find_installations(cluster)
    installation = chosen(installations, namespace)
    rollouts, replica_sets, deployments, namespaces = await asyncio.gather(
        list_rollouts(cluster, namespace),
        cluster.list(
            collection("/apis/apps/v1", namespace, "replicasets"), "ReplicaSets", labelSelector=POD_TEMPLATE_HASH
        ),
        list_deployments(cluster, namespace),
        _namespaces(cluster, namespace),
    )
    selected = await _selected(cluster, namespace, installation, rollouts)
    grouped = _Grouped.of(replica_sets, deployments)
    settings = installation.settings if installation else default_settings()
    return ClusterFacts(
        rollouts=[_facts(body, grouped, namespaces, settings, installation, selected) for body in rollouts],
        deployments=deployments,
        installation=installation,
        installations=installations,
    )


def chosen(installations: Sequence[Installation], namespace: str | None) -> Installation | None:
    """Return the operator whose settings count: of several, the first that watches the namespace."""
    watching = [each for each in installations if not each.settings.namespaces or namespace in each.settings.namespaces]
    return next(iter([*watching, *installations]), None)


async def list_rollouts(cluster: Cluster, namespace: str | None) -> list[Body]:
    """List Rollouts; none where Argo Rollouts is not installed."""
    try:
        return await cluster.list(collection(ROLLOUTS, namespace, "rollouts"), "Rollouts")
    except NotFoundError:
        return []


@dataclass(frozen=True, slots=True)
class _Grouped:
    replica_sets: Mapping[str, list[Body]]
    """By the uid of their owner."""
    deployments: Mapping[str, list[DoraDeployment]]
    """By namespace."""

    @classmethod
    def of(cls, replica_sets: Sequence[Body], deployments: Sequence[DoraDeployment]) -> "_Grouped":
        by_owner: defaultdict[str, list[Body]] = defaultdict(list)
        for each in replica_sets:
            for owner in each["metadata"].get("ownerReferences") or ():
                by_owner[owner["uid"]].append(each)
        by_namespace: defaultdict[str, list[DoraDeployment]] = defaultdict(list)
        for deployment in deployments:
            by_namespace[deployment.key.namespace].append(deployment)
        return cls(by_owner, by_namespace)


def _facts(
    body: Body,
    grouped: _Grouped,
    namespaces: Mapping[str, Mapping[str, str]],
    settings: Settings,
    installation: Installation | None,
    selected: frozenset[str],
) -> RolloutFacts:
    uid, namespace = body["metadata"]["uid"], body["metadata"]["namespace"]
    return RolloutFacts(
        rollout=body,
        replica_sets=grouped.replica_sets.get(uid, ()),
        deployments=grouped.deployments.get(namespace, ()),
        namespace_annotations=namespaces.get(namespace, {}),
        settings=settings,
        operator=installation.title if installation else "",
        is_selected=uid in selected,
    )


async def _selected(
    cluster: Cluster, namespace: str | None, installation: Installation | None, rollouts: Sequence[Body]
) -> frozenset[str]:
    selector = installation.settings.rollout_selector if installation else ""
    if not selector or not rollouts:
        return frozenset(body["metadata"]["uid"] for body in rollouts)
    path = collection(ROLLOUTS, namespace, "rollouts")
    found = await cluster.list(path, "Rollouts", labelSelector=selector)
    return frozenset(body["metadata"]["uid"] for body in found)


async def _namespaces(cluster: Cluster, namespace: str | None) -> dict[str, Mapping[str, str]]:
    """Return annotations by namespace."""
    if namespace is not None:
        return {namespace: await read_annotations(cluster, namespace)}
    found = await cluster.list("/api/v1/namespaces", "Namespaces")
    return {each["metadata"]["name"]: each["metadata"].get("annotations") or {} for each in found}
