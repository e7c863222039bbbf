"""A user's namespace on the real cluster: apply, read, wait for a condition."""

import json
import time
from collections.abc import Callable
from typing import Any

import yaml

from sandbox.cluster import LocalCluster

ID = "43vkaZNgiso"


class Shop:
    """A namespace of one test, with what a user does in it."""

    def __init__(self, cluster: LocalCluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace

    def apply(self, name: str, **spec: Any) -> None:
        """Apply a DoraDeployment; by id where no deployment is given."""
        body = {"apiVersion": "dora-operator.io/v1alpha1", "kind": "DoraDeployment", "metadata": {"name": name}}
        self.kubectl("apply", "-f", "-", input=yaml.safe_dump(body | {"spec": {"deployment": {"id": ID}} | spec}))

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002 - kubectl's own word
        """Run kubectl in the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *arguments, input=input)

    def get(self, name: str) -> dict[str, Any]:
        """Return an object."""
        found: dict[str, Any] = json.loads(self.kubectl("get", "dora", name, "-o", "json"))
        return found

    def wait(self, name: str, reason: str) -> dict[str, Any]:
        """Wait until Ready has this reason for the newest spec, and return the status."""

        def found() -> dict[str, Any] | None:
            body = self.get(name)
            status: dict[str, Any] = body["status"]
            conditions = {one["type"]: one for one in status.get("conditions", [])}
            current = status.get("observedGeneration") == body["metadata"]["generation"]
            return status if current and conditions.get("Ready", {}).get("reason") == reason else None

        return eventually(found, lambda: f"{name} is not {reason}: {self.get(name).get('status')}")


def eventually(read: Callable[[], Any], words: Callable[[], str], seconds: float = 20) -> Any:
    """Read again and again until there is a result."""
    deadline = time.monotonic() + seconds
    while not (found := read()):
        assert time.monotonic() < deadline, words()
        time.sleep(0.05)
    return found
