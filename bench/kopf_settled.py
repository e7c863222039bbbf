"""Lets kopf find objects settled: with the annotation by which it remembers what it has handled, in kopf's own words.

Left to itself it handles 10,000 objects all at once, which takes an API server on two processors beyond its limits.
"""

import asyncio
from typing import Any, cast

import kopf
from kubernetes.aio.client import CustomObjectsApi

from bench import objects
from dora_operator.domain.spec import GROUP, PLURAL, VERSION
from sandbox.cluster import LocalCluster


async def annotate(cluster: LocalCluster) -> None:
    """Write the annotation of what each object is now."""
    async with await objects.connect(cluster) as client:
        api, gate = CustomObjectsApi(client), asyncio.Semaphore(objects.AT_ONCE)

        async def remember(body: dict[str, Any]) -> None:
            async with gate:
                await api.patch_namespaced_custom_object(
                    GROUP,
                    VERSION,
                    objects.NAMESPACE,
                    PLURAL,
                    body["metadata"]["name"],
                    memory_of(body),
                    _content_type=objects.MERGE_PATCH,
                )

        listed: Any = await api.list_namespaced_custom_object(GROUP, VERSION, objects.NAMESPACE, PLURAL)
        await asyncio.gather(*map(remember, listed["items"]))


def memory_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return the patch that kopf adds once it has handled an object."""
    storage, patch = kopf.AnnotationsDiffBaseStorage(), kopf.Patch()
    seen = kopf.Body(cast("kopf.RawBody", body))
    storage.store(body=seen, patch=patch, essence=storage.build(body=seen))
    return dict(patch)
