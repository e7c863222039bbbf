"""What the operator makes of DoraDeployments, by its own store and planner: the only module that knows them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

from dora_operator.clients.kubernetes import KubernetesClient
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.history.history import History
from dora_operator.domain.plan import dependencies_of
from dora_operator.reconcile.context import Context, NamespaceAnnotations, Planner
from dora_operator.settings import Settings
from dora_operator.store import DeploymentStore, WorkloadStore

__all__ = ["Context", "DeploymentStore", "contexts_of", "store_of"]
ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Known:
    """Annotations that were read already, in the place of a client."""

    annotations: Mapping[str, str]

    async def read_annotations(self, _: str) -> Mapping[str, str]:
        return self.annotations


def store_of(bodies: Iterable[Mapping[str, Any]], settings: Settings) -> DeploymentStore:
    """Return the operator's memory of these DoraDeployments."""
    store = DeploymentStore(partial(dependencies_of, settings.site))
    for body in bodies:
        store.upsert(body)
    return store


async def contexts_of(
    keys: Iterable[ObjectKey],
    store: DeploymentStore,
    histories: Iterable[History],
    annotations: Mapping[str, str],
    settings: Settings,
) -> dict[ObjectKey, Context]:
    """Return what the operator plans for DoraDeployments of one namespace; one without a readable spec has no plan."""
    workloads = WorkloadStore()
    for history in histories:
        workloads.keep(history)
    client = cast("KubernetesClient", _Known(annotations))
    planner = Planner(store, workloads, NamespaceAnnotations(client, lambda: ANY_TIME), settings)
    contexts = {}
    for key in keys:
        deployment = store.get(key)
        context = await planner.plan(deployment, deployment.spec) if deployment and deployment.spec else None
        if context is not None:
            contexts[key] = context
    return contexts
