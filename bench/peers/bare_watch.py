"""The least that can react: one watch, one PATCH per changed spec, no status, no retry, no memory.

Run as a process with KUBECONFIG, API_TOKEN and DATADOG_URL. Prints `ready` when its list is complete.
"""

import asyncio
import json
import os
import ssl
from typing import Any

import aiohttp
import httpx

PATH = "/apis/dora-operator.io/v1alpha1/doradeployments"


async def main() -> None:
    """List, watch, send."""
    with open(os.environ["KUBECONFIG"]) as file:  # noqa: ASYNC230, PTH123 - before anything else runs
        server = json.load(file)["clusters"][0]["cluster"]
    context = ssl.create_default_context(cafile=server["certificate-authority"])
    headers = {"Authorization": f"Bearer {os.environ['API_TOKEN']}"}
    keys = {"DD-API-KEY": "a", "DD-APPLICATION-KEY": "b"}
    async with (
        aiohttp.ClientSession(server["server"], headers=headers, read_bufsize=2**21) as kubernetes,
        httpx.AsyncClient(base_url=os.environ["DATADOG_URL"], headers=keys) as datadog,
    ):
        async with kubernetes.get(PATH, ssl=context) as response:
            listed = await response.json()
        generations = {item["metadata"]["uid"]: item["metadata"]["generation"] for item in listed["items"]}
        print("ready", flush=True)
        query = {"watch": "1", "resourceVersion": listed["metadata"]["resourceVersion"]}
        async with kubernetes.get(PATH, params=query, ssl=context, timeout=aiohttp.ClientTimeout(None)) as response:
            async for line in response.content:
                await react(json.loads(line)["object"], generations, datadog)


async def react(body: dict[str, Any], generations: dict[str, int], datadog: httpx.AsyncClient) -> None:
    """Send the PATCH of a changed spec."""
    uid, generation = body["metadata"]["uid"], body["metadata"]["generation"]
    if generations.get(uid) == generation:
        return
    generations[uid] = generation
    deployment = body["spec"]["deployment"]["id"]
    attributes = {"change_failure": body["spec"]["changeFailure"]}
    data = {"id": deployment, "type": "dora_deployment_patch_request", "attributes": attributes}
    await datadog.patch(f"/api/v2/dora/deployments/{deployment}", json={"data": data})


if __name__ == "__main__":
    asyncio.run(main())
