"""Many Rollouts, quickly: deployed, paused half-way, aborted; and when each abort was visible."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from kubernetes.aio.client import CustomObjectsApi
from kubernetes.aio.watch import Watch

from bench.objects import NAMESPACE
from bench.webhook import TRIGGERS, subscription
from sandbox.cluster.rollouts import NODE, pace

ARGO = ("argoproj.io", "v1alpha1", NAMESPACE, "rollouts")
AT_ONCE = 16
MERGE_PATCH = "application/merge-patch+json"
PATIENCE_SECONDS = 300.0


def manifest(name: str, version: str, *, marked_by: str) -> dict[str, Any]:
    """Return a Rollout that is marked by the operator, or by one of the webhook's triggers."""
    labels = {f"tags.datadoghq.com/{tag}": value for tag, value in _tags(name, version).items()}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {
            "name": name,
            "labels": {"marked-by": marked_by},
            "annotations": {subscription(marked_by): ""} if marked_by in TRIGGERS else {},
        },
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}},
            "template": {
                "metadata": {"labels": labels | {"app": name}, "annotations": pace("50ms")},
                "spec": {
                    "nodeName": NODE,
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "app", "image": f"app:{version}"}],
                },
            },
        },
    }


def _tags(name: str, version: str) -> dict[str, str]:
    return {"service": name, "env": "prod", "version": version}


async def side_by_side(names: Iterable[str], act: Callable[[str], Awaitable[Any]]) -> None:
    """Do something to each, a few at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> None:
        async with gate:
            await act(name)

    await asyncio.gather(*map(one, names))


async def deploy(api: CustomObjectsApi, names: dict[str, str]) -> None:
    """Bring every Rollout to the pause of version 2.0.0: names, and what marks each."""

    async def create(name: str) -> None:
        await api.create_namespaced_custom_object(*ARGO, manifest(name, "1.0.0", marked_by=names[name]))

    async def release(name: str) -> None:
        body = {"spec": manifest(name, "2.0.0", marked_by=names[name])["spec"]}
        await api.patch_namespaced_custom_object(*ARGO, name, body, _content_type=MERGE_PATCH)

    await side_by_side(names, create)
    await all_in(api, names, "Healthy")
    await side_by_side(names, release)
    await all_in(api, names, "Paused")


async def all_in(api: CustomObjectsApi, names: Iterable[str], phase: str) -> None:
    """Wait until all are in a phase; TimeoutError when they are not in time."""
    wanted, deadline = set(names), time.monotonic() + PATIENCE_SECONDS
    while True:
        listed: Any = await api.list_namespaced_custom_object(*ARGO)
        there = {each["metadata"]["name"] for each in listed["items"] if each.get("status", {}).get("phase") == phase}
        if wanted <= there:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(wanted - there)} Rollouts are not {phase}")
        await asyncio.sleep(0.5)


async def abort(api: CustomObjectsApi, name: str) -> None:
    """Abort as the plugin does."""
    await api.patch_namespaced_custom_object_status(*ARGO, name, {"status": {"abort": True}}, _content_type=MERGE_PATCH)


async def promote(api: CustomObjectsApi, name: str) -> None:
    """End the pause as the plugin does."""
    body = {"status": {"pauseConditions": None}}
    await api.patch_namespaced_custom_object_status(*ARGO, name, body, _content_type=MERGE_PATCH)


class AbortWatch:
    """When each aborted Rollout was first visible in a watch of the benchmark's own."""

    def __init__(self, api: CustomObjectsApi) -> None:
        self._api = api
        self.seen: dict[str, float] = {}
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            async with Watch().stream(self._api.list_namespaced_custom_object, *ARGO) as events:
                async for event in events:
                    body = event["object"]
                    if body.get("status", {}).get("abort"):
                        self.seen.setdefault(body["metadata"]["name"], time.time())

    async def stop(self) -> None:
        """End the watch."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
