"""`kubectl dora` as a process of its own, as its users run it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.cluster import LocalCluster
from sandbox.cluster.rollouts import NODE, pace

SECONDS = 60
"""Longest run of a command; the machine is shared."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run printed, and how it ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return the output as JSON; it must have ended well."""
        assert self.code == 0, f"exit code {self.code}\n{self.out}{self.err}"
        return json.loads(self.out)


def dora(cluster: LocalCluster | None, *arguments: str, environment: Mapping[str, str] | None = None) -> Result:
    """Run `kubectl dora` against a cluster, or without one."""
    return run_module("kubectl_dora", cluster, *arguments, environment=environment)


def run_module(
    module: str, cluster: LocalCluster | None, *arguments: str, environment: Mapping[str, str] | None = None
) -> Result:
    """Run a module with a cluster's kubeconfig; nothing of the tests' environment but paths gets in."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    path = {"PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    access = {"KUBECONFIG": str(cluster.kubeconfig)} if cluster is not None else {}
    run = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=kept | path | access | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return Result(run.returncode, run.stdout, run.stderr)


def apply_operator(cluster: LocalCluster, namespace: str, variables: Mapping[str, str] | None = None) -> None:
    """Create the operator's Deployment as the chart would; kwok plays its pod."""
    labels = {"app.kubernetes.io/name": "dora-operator"}
    given = {"DORA_OPERATOR_NAMESPACES": namespace, **(variables or {})}
    env = [{"name": name, "value": value} for name, value in given.items()]
    container = {"name": "operator", "image": "example/dora-operator:0.1.0", "env": env}
    metadata: dict[str, Any] = {"labels": labels, "annotations": pace("50ms")}
    template = {"metadata": metadata, "spec": {"containers": [container], "nodeName": NODE}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": "dora-operator", "namespace": namespace, "labels": labels}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
    cluster.kubectl("apply", "-f", "-", input=json.dumps(body))
    cluster.kubectl("rollout", "status", "deployment/dora-operator", "-n", namespace, "--timeout=60s")
