"""The watch of Argo's Rollouts: a list, then what changes, for ever.

Survives what kopf's watch does not: Argo Rollouts that is not installed, installed later, removed and installed again;
a watch that ends with an error of any kind (docs/decisions/0005). Decides nothing.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any

from dora_operator.adapters.kubernetes_api import KubernetesApi, StatusError
from dora_operator.ports import ClusterUnavailableError, RolloutGone, RolloutSeen, RolloutSighting, RolloutsListed

logger = logging.getLogger(__name__)

PAGE = "500"
ABSENT_SECONDS = 5.0
"""How often it is looked whether Argo Rollouts was installed."""
FORBIDDEN_SECONDS = 15.0
BROKEN_SECONDS = 0.5
FORGOTTEN_SPEC = frozenset({"template", "strategy", "analysis"})
"""Large parts of a Rollout that no decision reads: templates are read from ReplicaSets."""


async def watch_rollouts(api: KubernetesApi, namespace: str | None, selector: str) -> AsyncIterator[RolloutSighting]:
    """Iterate over what happens to the Rollouts of a namespace, or of the cluster."""
    where = f"/namespaces/{namespace}" if namespace else ""
    path = f"/apis/argoproj.io/v1alpha1{where}/rollouts"
    last_trouble = ""
    while True:
        try:
            async for sighting in _one_round(api, path, {"labelSelector": selector}):
                last_trouble = ""
                yield sighting
        except ClusterUnavailableError as error:
            if str(error) != last_trouble:  # once, not every few seconds
                logger.warning("Rollouts are not watched now: %s", error)
            last_trouble = str(error)
            if _is(error, HTTPStatus.NOT_FOUND):
                yield RolloutsListed((), installed=False)
            await asyncio.sleep(_pause(error) * (0.75 + 0.5 * random.random()))  # noqa: S311 - jitter


def _pause(error: ClusterUnavailableError) -> float:
    if _is(error, HTTPStatus.NOT_FOUND):
        return ABSENT_SECONDS
    if _is(error, HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED):
        return FORBIDDEN_SECONDS
    return BROKEN_SECONDS


def _is(error: ClusterUnavailableError, *codes: HTTPStatus) -> bool:
    return isinstance(error, StatusError) and error.code in codes


async def _one_round(api: KubernetesApi, path: str, query: Mapping[str, str]) -> AsyncIterator[RolloutSighting]:
    """List once and watch from there, as long as the API server can go on."""
    bodies, version = await _list(api, path, query)
    yield RolloutsListed(tuple(bodies))
    while True:
        async for event in api.watch(path, dict(query) | {"resourceVersion": version}):
            if event["type"] == "ERROR":
                raise ClusterUnavailableError(f"WATCH {path}: {event['object'].get('message', 'an error')}")
            version = event["object"]["metadata"]["resourceVersion"]
            if event["type"] == "DELETED":
                yield RolloutGone(_slim(event["object"]))
            elif event["type"] != "BOOKMARK":
                yield RolloutSeen(_slim(event["object"]))


async def _list(api: KubernetesApi, path: str, query: Mapping[str, str]) -> tuple[list[Mapping[str, Any]], str]:
    bodies: list[Mapping[str, Any]] = []
    token = ""
    while True:
        page = await api.request("GET", path, query=dict(query) | {"limit": PAGE, "continue": token})
        bodies += [_slim(item) for item in page["items"]]
        token = page["metadata"].get("continue") or ""
        if not token:
            return bodies, page["metadata"]["resourceVersion"]


def _slim(body: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    spec = {name: value for name, value in (body.get("spec") or {}).items() if name not in FORGOTTEN_SPEC}
    return {"metadata": metadata, "spec": spec, "status": body.get("status") or {}}
