"""`kubectl dora backfill` and `report` on the real cluster: the marks of an operator that was not there."""

import json
from typing import Any

import pytest

from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.running import running_operator
from tests.support.kubectl_dora import dora
from tests.support.rollouts import App, AppNamespace, namespace_of, release
from tests.support.shop import eventually

pytestmark = pytest.mark.cluster
Found = dict[str, dict[str, Any]]


def records(cluster: LocalCluster, namespace: str) -> Found:
    """Return what the DoraDeployments of a namespace say, by name."""
    items = json.loads(cluster.kubectl("get", "dora", "-n", namespace, "-o", "json"))["items"]
    annotation = "dora-operator.io/verdict"
    return {
        one["metadata"]["name"]: {
            "spec": one["spec"],
            "labels": one["metadata"]["labels"],
            "verdict": json.loads(one["metadata"]["annotations"][annotation]),
        }
        for one in items
    }


def play(app_namespace: AppNamespace) -> tuple[App, App, App]:
    """Let Rollouts live with no operator: an abort, a rollback, an abort that was retried, and nothing at all."""
    aborted, undone, retried, good = (app_namespace.app(name) for name in ("aborted", "undone", "retried", "good"))
    release(aborted, undone, retried, good)
    for app in (aborted, retried):
        app.deploy("1.1.0")
    undone.release("1.1.0")
    for app in (aborted, retried):
        app.until("Paused")
        app.argo("abort")
        app.until("Degraded")
    undone.argo("undo")
    retried.argo("retry")
    for app in (retried, undone):
        app.until("Paused")
        app.argo("promote")
        app.until("Healthy")
    return aborted, undone, good


def test_a_backfill_makes_the_marks_of_the_operator(
    rollouts_cluster: LocalCluster, request: pytest.FixtureRequest
) -> None:
    """An abort, a rollback, a retried abort and nothing: the same records; run twice, nothing is new."""
    namespace = namespace_of(request)
    rollouts_cluster.kubectl("create", "namespace", namespace)
    with StandIn() as datadog:
        aborted, undone, good = play(AppNamespace(rollouts_cluster, datadog, namespace))

        shown = dora(rollouts_cluster, "backfill", "-n", namespace)
        assert shown.code == 0, shown.err
        assert "2 new" in shown.out
        assert "Nothing was written" in shown.out
        assert records(rollouts_cluster, namespace) == {}
        applied = dora(rollouts_cluster, "backfill", "-n", namespace, "--apply")
        assert "2 DoraDeployments were created, 0 could not be" in applied.out, applied.err
        ours = records(rollouts_cluster, namespace)
        again = dora(rollouts_cluster, "backfill", "-n", namespace, "--apply")
        assert "0 DoraDeployments were created" in again.out, again.err
        assert records(rollouts_cluster, namespace) == ours

        rollouts_cluster.kubectl("delete", "dora", "--all", "-n", namespace)
        with running_operator(rollouts_cluster, datadog.url, DORA_OPERATOR_NAMESPACES=namespace):
            eventually(lambda: len(records(rollouts_cluster, namespace)) == 2, lambda: str(ours))
        assert records(rollouts_cluster, namespace) == ours

        found = dora(rollouts_cluster, "report", "-n", namespace, "-o", "json").json()
        lines = {one["service"]: one for one in found["services"]}
        assert found["cannotKnow"]
        assert lines[aborted.name]["failureRate"] == 50.0
        assert (lines[undone.name]["failures"], lines[undone.name]["recovered"]) == (1, 0)
        assert (lines[good.name]["failures"], lines[good.name]["deployments"]) == (0, 1)
        csv = dora(rollouts_cluster, "report", "-n", namespace, "-o", "csv")
        assert csv.out.startswith("service,env,deployments,failures,"), csv.err
