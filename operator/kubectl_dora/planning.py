"""What the operator makes of DoraDeployments, by its own store and gathering: the only module that knows them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

from dora_operator.clients.kubernetes import KubernetesClient
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.plan import links_of
from dora_operator.reconcile.context import NamespaceAnnotations, Planned, Planner
from dora_operator.settings import Settings
from dora_operator.store import DeploymentStore

__all__ = ["DeploymentStore", "Planned", "plans_of", "store_of"]
ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Known:
    """Annotations that were read already, in the place of a client."""

    annotations: Mapping[str, str]

    async def read_annotations(self, _: str) -> Mapping[str, str]:
        return self.annotations


def store_of(bodies: Iterable[Mapping[str, Any]], settings: Settings) -> DeploymentStore:
    """Return the operator's memory of these DoraDeployments."""
    store = DeploymentStore(partial(links_of, settings.site))
    for body in bodies:
        store.observe(body)
    return store


async def plans_of(
    keys: Iterable[ObjectKey], store: DeploymentStore, annotations: Mapping[str, str], settings: Settings
) -> dict[ObjectKey, Planned]:
    """Return the plan for each of these DoraDeployments of one namespace; one without a readable spec has none."""
    client = cast("KubernetesClient", _Known(annotations))
    planner = Planner(store, NamespaceAnnotations(client, lambda: ANY_TIME), settings, settings.allowed)
    plans = {}
    for key in keys:
        deployment = store.get(key)
        planned = await planner.plan(deployment, deployment.spec) if deployment and deployment.spec else None
        if planned is not None:
            plans[key] = planned
    return plans
