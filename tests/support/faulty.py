"""What the tests with a failing API server apply, and what Datadog was asked meanwhile."""

import json
import urllib.request
from collections import Counter
from typing import Any

from sandbox import loopback
from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from tests.support.shop import Shop


def marks(datadog: StandIn) -> dict[str, Any]:
    """Return what Datadog received, by deployment, where it was accepted."""
    received = [(request.status, json.loads(request.body)["data"]) for request in datadog.requests()]
    return {data["id"]: data["attributes"] for status, data in received if status == 202}


def counts(datadog: StandIn) -> Counter[str]:
    """Count the requests for each deployment."""
    return Counter(json.loads(request.body)["data"]["id"] for request in datadog.requests())


def applied(shop: Shop, name: str, *, failure: bool = True) -> str:
    """Apply a resource and return the id that it names."""
    shop.apply(name, deployment={"id": f"deployment-{name}"}, changeFailure=failure)
    return f"deployment-{name}"


def compact(cluster: LocalCluster) -> None:
    """Let etcd forget everything but the present, for real."""
    option = next(word for word in cluster.api_server.command if word.startswith("--etcd-servers="))

    def ask(path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(option.partition("=")[2] + path, json.dumps(body).encode(), method="POST")
        with loopback.ask(request) as response:
            found: dict[str, Any] = json.load(response)
        return found

    revision = ask("/v3/kv/range", {"key": "eA=="})["header"]["revision"]
    ask("/v3/kv/compaction", {"revision": revision, "physical": True})
