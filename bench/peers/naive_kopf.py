"""The operator that a tutorial would write: kopf's on.create and on.update, one request, status by kopf's patch.

Nothing limits how many handlers run at once, so as many requests are in flight as httpx has connections (100), where
the other candidates have eight.

Run as a process with KUBECONFIG and DATADOG_URL; the argument is the port of its probe.
"""

import asyncio
import logging
import os
import sys
from typing import Any

import httpx
import kopf

logging.basicConfig(level=logging.WARNING)
client = httpx.AsyncClient(
    base_url=os.environ["DATADOG_URL"],
    headers={"DD-API-KEY": "a", "DD-APPLICATION-KEY": "b"},
    timeout=httpx.Timeout(30, pool=None),  # kopf runs all handlers at once; one that waits too long fails for a minute
)
GROUP = ("dora-operator.io", "v1alpha1", "doradeployments")


@kopf.on.startup()
async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Post no Events."""
    settings.posting.enabled = False


@kopf.on.create(*GROUP)
@kopf.on.update(*GROUP, field="spec")
async def report(spec: kopf.Spec, patch: kopf.Patch, **_: Any) -> None:
    """Send the PATCH and note the answer."""
    deployment = spec["deployment"]["id"]
    attributes = {"change_failure": spec["changeFailure"]}
    data = {"id": deployment, "type": "dora_deployment_patch_request", "attributes": attributes}
    answer = await client.patch(f"/api/v2/dora/deployments/{deployment}", json={"data": data})
    patch.status["httpStatus"] = answer.status_code


if __name__ == "__main__":
    port = sys.argv[1]
    asyncio.run(kopf.operator(standalone=True, clusterwide=True, liveness_endpoint=f"http://127.0.0.1:{port}/healthz"))
