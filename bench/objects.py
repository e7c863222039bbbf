"""Makes many settled DoraDeployments quickly, and changes one of them."""

import asyncio
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from aiohttp import ClientError
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, ApiException, Configuration, CustomObjectsApi

from dora_operator.domain.fields import GROUP, KIND, PLURAL, VERSION, adapter, to_api
from dora_operator.domain.outcome import Accepted
from dora_operator.domain.plan import PlanInput, Send, make_plan
from dora_operator.domain.resource import DoraDeploymentStatus
from dora_operator.domain.retry import RetryPolicy
from dora_operator.domain.sites import Site
from dora_operator.domain.spec import DoraDeploymentSpec
from dora_operator.domain.status import StatusContext, with_outcome
from sandbox.cluster import LocalCluster

NAMESPACE = "default"
AT_ONCE = 24
MERGE_PATCH = "application/merge-patch+json"


async def connect(cluster: LocalCluster) -> ApiClient:
    """Return a client for the cluster."""
    configuration = Configuration()
    await config.load_kube_config(config_file=str(cluster.kubeconfig), client_configuration=configuration)
    return ApiClient(configuration)


async def make_settled(cluster: LocalCluster, count: int) -> None:
    """Create objects with the status that the operator would have written."""
    async with await connect(cluster) as client:
        api, gate = CustomObjectsApi(client), asyncio.Semaphore(AT_ONCE)

        async def make(number: int) -> None:
            async with gate:
                body = manifest(number)
                await api.create_namespaced_custom_object(GROUP, VERSION, NAMESPACE, PLURAL, body)
                await _settle(api, number, settled_status(body["spec"], 1))

        await asyncio.gather(*(make(number) for number in range(count)))


async def settle_again(cluster: LocalCluster, number: int) -> None:
    """Write the status that the operator would have written, whichever candidate has handled the object."""
    async with await connect(cluster) as client:
        api = CustomObjectsApi(client)
        found: Any = await api.get_namespaced_custom_object(GROUP, VERSION, NAMESPACE, PLURAL, name(number))
        await _settle(api, number, settled_status(found["spec"], found["metadata"]["generation"]))


async def _settle(api: CustomObjectsApi, number: int, status: dict[str, Any]) -> None:
    await api.patch_namespaced_custom_object_status(
        GROUP, VERSION, NAMESPACE, PLURAL, name(number), {"status": status}, _content_type=MERGE_PATCH
    )


async def make_due(cluster: LocalCluster, count: int) -> None:
    """Create objects that are not reported yet."""
    async with await connect(cluster) as client:
        api, gate = CustomObjectsApi(client), asyncio.Semaphore(AT_ONCE)

        async def make(number: int) -> None:
            async with gate:
                await api.create_namespaced_custom_object(GROUP, VERSION, NAMESPACE, PLURAL, manifest(number))

        await asyncio.gather(*(make(number) for number in range(count)))


async def delete_all(cluster: LocalCluster) -> None:
    """Delete every object, and return when none is left."""
    async with await connect(cluster) as client:
        api = CustomObjectsApi(client)
        while True:
            await api.delete_collection_namespaced_custom_object(GROUP, VERSION, NAMESPACE, PLURAL)
            left: Any = await api.list_namespaced_custom_object(GROUP, VERSION, NAMESPACE, PLURAL, limit=1)
            if not left["items"]:
                return


async def is_failure(api: CustomObjectsApi, number: int) -> bool:
    """Return what the spec of an object says."""
    found: Any = await api.get_namespaced_custom_object(GROUP, VERSION, NAMESPACE, PLURAL, name(number))
    return bool(found["spec"]["changeFailure"])


async def change(api: CustomObjectsApi, number: int, *, failure: bool) -> None:
    """Edit one object, as a user does; an API server that a peer has overloaded is asked again."""
    for pause in (1, 2, 4, 8):
        try:
            return await _change(api, number, failure=failure)
        except (ApiException, TimeoutError, ClientError) as error:
            if isinstance(error, ApiException) and (error.status or 0) < HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            await asyncio.sleep(pause)
    return await _change(api, number, failure=failure)


async def _change(api: CustomObjectsApi, number: int, *, failure: bool) -> None:
    await api.patch_namespaced_custom_object(
        GROUP,
        VERSION,
        NAMESPACE,
        PLURAL,
        name(number),
        {"spec": {"changeFailure": failure}},
        _content_type=MERGE_PATCH,
    )


def name(number: int) -> str:
    """Return the name of an object."""
    return f"settled-{number:05}"


def deployment_id(number: int) -> str:
    """Return the Datadog deployment of an object."""
    return f"deployment-{number:05}"


def manifest(number: int) -> dict[str, Any]:
    """Return an object."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": name(number)},
        "spec": {"deployment": {"id": deployment_id(number)}, "changeFailure": True},
    }


def settled_status(spec: dict[str, Any], generation: int) -> dict[str, Any]:
    """Return the status after a 202. Its observedGeneration is what the peer in Go compares."""
    now = datetime.now(UTC)  # noqa: TID251 - a benchmark lives in the present
    plan = make_plan(adapter(DoraDeploymentSpec).validate_python(spec), PlanInput(NAMESPACE, "any", now, Site.US1))
    assert isinstance(plan, Send)
    context = StatusContext(generation, now, RetryPolicy(), 0.5)
    return to_api(with_outcome(DoraDeploymentStatus(), plan, Accepted(202), context))
