"""Settles objects as naive kopf would: with the annotation in which kopf stores what it has handled, and its status.

Else kopf would first handle them all at once, and a run would spend its time waiting for that.
"""

import asyncio
from typing import Any, cast

import kopf
from kubernetes.aio.client import CustomObjectsApi

from bench import objects
from dora_operator.domain.fields import GROUP, PLURAL, VERSION
from sandbox.cluster import LocalCluster

JSON_PATCH = "application/json-patch+json"
OWN_STATUS = [{"op": "replace", "path": "/status", "value": {"httpStatus": 202}}]
"""The operator's status is larger, and would count as kopf's memory."""


async def settle(cluster: LocalCluster) -> None:
    """Settle every object as it is now."""
    async with await objects.connect(cluster) as client:
        api, gate = CustomObjectsApi(client), asyncio.Semaphore(objects.AT_ONCE)

        async def settle_one(body: dict[str, Any]) -> None:
            place = (GROUP, VERSION, objects.NAMESPACE, PLURAL, body["metadata"]["name"])
            async with gate:
                await api.patch_namespaced_custom_object(*place, memory_of(body), _content_type=objects.MERGE_PATCH)
                await api.patch_namespaced_custom_object_status(*place, OWN_STATUS, _content_type=JSON_PATCH)

        listed: Any = await api.list_namespaced_custom_object(GROUP, VERSION, objects.NAMESPACE, PLURAL)
        await asyncio.gather(*map(settle_one, listed["items"]))


def memory_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return the patch that kopf writes after it has handled an object."""
    storage, patch = kopf.AnnotationsDiffBaseStorage(), kopf.Patch()
    seen = kopf.Body(cast("kopf.RawBody", body))
    storage.store(body=seen, patch=patch, essence=storage.build(body=seen))
    return dict(patch)
