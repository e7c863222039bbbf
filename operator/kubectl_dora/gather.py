"""Read the facts about Rollouts and DoraDeployments: few requests, long lists page by page, in parallel."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dora_operator.clients.kubernetes import DEPLOYMENTS, HISTORIES, ROLLOUTS
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.history import history as histories
from dora_operator.domain.history.history import History
from dora_operator.domain.history.observation import Template
from dora_operator.domain.resource import DoraDeployment
from dora_operator.domain.sources.rollout import POD_TEMPLATE_HASH, Rollout, parse_replica_sets, parse_rollout
from dora_operator.settings import Settings
from kubectl_dora import planning
from kubectl_dora.cluster import Cluster
from kubectl_dora.errors import NotFoundError, RefusedError
from kubectl_dora.facts import RolloutFacts, source_name
from kubectl_dora.installation import Installation, find_installations, settings_of

Body = dict[str, Any]
INSTALL_CRD = "install the operator's CRD: upgrade the chart, or apply crds/ of the release with kubectl"


def replica_sets_path(namespace: str | None) -> str:
    """Return the path of the ReplicaSets of a namespace, or of the cluster."""
    return f"/apis/apps/v1/namespaces/{namespace}/replicasets" if namespace else "/apis/apps/v1/replicasets"


@dataclass(frozen=True, slots=True)
class NamespaceContext:
    """What is known of the operator and of one namespace."""

    annotations: Mapping[str, str]
    settings: Settings
    installation: Installation | None
    notes: tuple[str, ...]


async def read_context(cluster: Cluster) -> NamespaceContext:
    """Read the operator's settings and the Namespace. What may not be read is assumed, with a note."""
    installations, (annotations, unread) = await asyncio.gather(
        find_installations(cluster), read_annotations(cluster, cluster.namespace)
    )
    installation = installations.watching(cluster.namespace)
    notes = [unread] if unread else []
    if installation is None and installations.problem:
        notes.append(f"{installations.problem}; the defaults of the operator's settings are assumed")
    settings = installation.settings if installation else settings_of({})
    return NamespaceContext(annotations, settings, installation, tuple(notes))


async def read_annotations(cluster: Cluster, namespace: str) -> tuple[Mapping[str, str], str]:
    """Return the annotations of a Namespace; where it may not be read none, and a note that says so."""
    try:
        body = await cluster.get(f"/api/v1/namespaces/{namespace}", f"Namespace {namespace}")
    except RefusedError as error:
        return {}, f"annotations of Namespace {namespace} are not known, none are assumed: {error.cause}"
    annotations: Mapping[str, str] = body["metadata"].get("annotations") or {}
    return annotations, ""


async def read_rollout(cluster: Cluster, name: str) -> RolloutFacts:
    """Read everything about one Rollout, with what the operator makes of its DoraDeployments.

    Raises:
        NotFoundError: there is no such Rollout.
    """
    _, found = await asyncio.gather(get_rollout(cluster, name), read_all(cluster, cluster.namespace))
    facts = next(each for each in found.rollouts if each.rollout["metadata"]["name"] == name)
    own = [deployment.key for deployment in found.store if source_name(deployment) == name]
    known = [each.stored for each in found.rollouts if each.stored is not None]
    contexts = await planning.contexts_of(own, found.store, known, facts.namespace_annotations, facts.settings)
    return replace(facts, contexts=contexts)


async def get_rollout(cluster: Cluster, name: str) -> Body:
    """Read one Rollout."""
    return await cluster.get(f"{ROLLOUTS.path(cluster.namespace)}/{name}", f"Rollout {cluster.namespace}/{name}")


async def read_revisions(cluster: Cluster, name: str) -> tuple[Rollout, Sequence[Template]]:
    """Read a Rollout with its ReplicaSets."""
    rollout = parse_rollout(await get_rollout(cluster, name))
    return rollout, parse_replica_sets(rollout.uid, await list_replica_sets(cluster, rollout))


async def list_replica_sets(cluster: Cluster, rollout: Rollout) -> list[Body]:
    """List the ReplicaSets that may belong to a Rollout."""
    labels = ",".join([POD_TEMPLATE_HASH, *(f"{label}={value}" for label, value in rollout.match_labels.items())])
    what = f"ReplicaSets of Rollout {rollout.key}"
    return await cluster.list(replica_sets_path(rollout.key.namespace), what, labelSelector=labels)


async def list_deployment_bodies(cluster: Cluster, namespace: str | None) -> list[Body]:
    """List DoraDeployments.

    Raises:
        NotFoundError: the CRD is not installed.
    """
    try:
        return await cluster.list(DEPLOYMENTS.path(namespace), "DoraDeployments")
    except NotFoundError as error:
        raise NotFoundError("DoraDeployments", "the API server does not know this kind", INSTALL_CRD) from error


async def list_histories(cluster: Cluster, namespace: str | None) -> dict[ObjectKey, History]:
    """List DoraHistories by namespace and name of their workloads; none where their CRD is not installed."""
    try:
        bodies = await cluster.list(HISTORIES.path(namespace), "DoraHistories")
    except NotFoundError:
        return {}
    parsed = ((body["metadata"].get("namespace") or "", histories.parse(body)) for body in bodies)
    return {ObjectKey(where, known.workload.name): known for where, known in parsed if known is not None}


async def list_rollouts(cluster: Cluster, namespace: str | None, selector: str = "") -> list[Body]:
    """List Rollouts; none where Argo Rollouts is not installed."""
    query = {"labelSelector": selector} if selector else {}
    try:
        return await cluster.list(ROLLOUTS.path(namespace), "Rollouts", **query)
    except NotFoundError:
        return []


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """Rollouts of several namespaces with the DoraDeployments."""

    rollouts: Sequence[RolloutFacts]
    store: planning.DeploymentStore
    """All DoraDeployments."""
    installation: Installation | None
    notes: tuple[str, ...]


async def read_all(cluster: Cluster, namespace: str | None) -> ClusterFacts:
    """Read all Rollouts of a namespace, or of the cluster, with one list for each kind."""
    context, rollouts, stored, replica_sets, bodies, (namespaces, unread) = await asyncio.gather(
        read_context(cluster),
        list_rollouts(cluster, namespace),
        list_histories(cluster, namespace),
        cluster.list(replica_sets_path(namespace), "ReplicaSets", labelSelector=POD_TEMPLATE_HASH),
        list_deployment_bodies(cluster, namespace),
        _namespaces(cluster, namespace),
    )
    selected = await _selected(cluster, namespace, context.settings, rollouts)
    by_owner: defaultdict[str, list[Body]] = defaultdict(list)
    for replica_set in replica_sets:
        for owner in replica_set["metadata"].get("ownerReferences") or ():
            by_owner[owner["uid"]].append(replica_set)
    store = planning.store_of(bodies, context.settings)
    by_namespace: defaultdict[str, list[DoraDeployment]] = defaultdict(list)
    for deployment in store:
        by_namespace[deployment.key.namespace].append(deployment)
    notes = tuple(dict.fromkeys(note for note in (*context.notes, unread) if note))
    facts = [
        RolloutFacts(
            rollout=body,
            settings=context.settings,
            replica_sets=by_owner.get(body["metadata"]["uid"], ()),
            stored=_of(body, stored),
            deployments=by_namespace.get(body["metadata"]["namespace"], ()),
            namespace_annotations=namespaces.get(
                body["metadata"]["namespace"], context.annotations if namespace else {}
            ),
            operator=context.installation.title if context.installation else "",
            is_selected=body["metadata"]["uid"] in selected,
            notes=notes,
        )
        for body in rollouts
    ]
    return ClusterFacts(facts, store, context.installation, notes)


def _of(body: Body, stored: Mapping[ObjectKey, History]) -> History | None:
    """Return the history of a Rollout; one of a deleted Rollout with its name is another one."""
    metadata = body["metadata"]
    found = stored.get(ObjectKey(metadata["namespace"], metadata["name"]))
    return found if found is not None and found.workload.uid == metadata["uid"] else None


async def _selected(
    cluster: Cluster, namespace: str | None, settings: Settings, rollouts: Sequence[Body]
) -> frozenset[str]:
    """Return the uids of the Rollouts that the operator's selector matches, by the API server."""
    found: Sequence[Body] = rollouts
    if settings.rollout_selector and rollouts:
        found = await list_rollouts(cluster, namespace, settings.rollout_selector)
    return frozenset(body["metadata"]["uid"] for body in found)


async def _namespaces(cluster: Cluster, namespace: str | None) -> tuple[dict[str, Mapping[str, str]], str]:
    """Return annotations by namespace, where the whole cluster is read; else the caller has them."""
    if namespace is not None:
        return {}, ""
    try:
        found = await cluster.list("/api/v1/namespaces", "Namespaces")
    except RefusedError as error:
        return {}, f"annotations of Namespaces are not known, none are assumed: {error.cause}"
    return {each["metadata"]["name"]: each["metadata"].get("annotations") or {} for each in found}, ""
