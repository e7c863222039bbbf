"""`kubectl_complete-dora` on the real cluster, as kubectl calls it; and the plugin as kubectl finds it."""

import json
from typing import Any

import pytest

from sandbox.cluster import LocalCluster
from tests.support.kubectl_dora import run_module
from tests.support.rollouts import AppNamespace, namespace_of

pytestmark = pytest.mark.cluster


def candidates(cluster: LocalCluster, *words: str) -> list[str]:
    """Return what the shell is offered."""
    return run_module("kubectl_dora.complete", cluster, *words).out.split()


def test_names_come_from_the_cluster(rollouts_cluster: LocalCluster, request: pytest.FixtureRequest) -> None:
    """Namespaces, Rollouts, DoraDeployments, revisions, contexts."""
    namespace = namespace_of(request)
    rollouts_cluster.kubectl("create", "namespace", namespace)
    app = AppNamespace(rollouts_cluster, None, namespace).app()  # type: ignore[arg-type]  # nothing is sent
    app.release("1.0.0")
    deployment = {"service": "checkout", "env": "prod", "version": "1"}
    spec = {"deployment": deployment, "changeFailure": True, "suspend": True}
    body: dict[str, Any] = {"apiVersion": "dora-operator.io/v1alpha1", "kind": "DoraDeployment", "spec": spec}
    body["metadata"] = {"name": "mine"}
    rollouts_cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(body))
    rollout = f"rollout/{app.name}"
    assert candidates(rollouts_cluster, "explain", "-n", namespace, "") == [rollout, "mine", ":4"]
    assert candidates(rollouts_cluster, "mark", "-n", namespace, "rollout/") == [rollout, ":4"]
    assert candidates(rollouts_cluster, "explain", rollout, "-n", namespace, "--revision", "") == ["1", ":4"]
    assert candidates(rollouts_cluster, "report", "-n", namespace[:-1]) == [namespace, ":4"]
    assert candidates(rollouts_cluster, "report", "--context", "") == ["sandbox", ":4"]
