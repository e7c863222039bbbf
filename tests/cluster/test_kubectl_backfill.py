"""`kubectl dora backfill` and `report` on the real cluster: the marks of an operator that was not there."""

import json
import time
from typing import Any

import pytest

from sandbox.cluster import LocalCluster
from sandbox.datadog import Seed, StandIn
from sandbox.running import OWN_API_KEY, OWN_APP_KEY, running_operator
from tests.support.kubectl_dora import Result, apply_operator, dora
from tests.support.rollouts import App, AppNamespace, namespace_of, release
from tests.support.shop import eventually

pytestmark = pytest.mark.cluster
Found = dict[str, dict[str, Any]]


LONG_AGO = {"DORA_OPERATOR_LOOKBACK_HOURS": "0.0001"}
"""With this setting, what happened a second ago is before the lookback."""


def specs(cluster: LocalCluster, namespace: str) -> Found:
    """Return the specs of the DoraDeployments of a namespace, by name."""
    items = json.loads(cluster.kubectl("get", "dora", "-n", namespace, "-o", "json"))["items"]
    return {one["metadata"]["name"]: one["spec"] for one in items}


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


def test_a_backfill_marks_the_rows_of_failures_before_the_lookback(
    rollouts_cluster: LocalCluster, request: pytest.FixtureRequest
) -> None:
    """An abort by its row; a rollback is shown; run twice, nothing is new; the report agrees afterwards."""
    namespace = namespace_of(request)
    rollouts_cluster.kubectl("create", "namespace", namespace)
    with StandIn() as datadog:
        aborted, _, _ = play(AppNamespace(rollouts_cluster, datadog, namespace))
        apply_operator(rollouts_cluster, namespace, LONG_AGO)
        leave = ("delete", "deployment", "dora-operator", "-n", namespace)
        request.addfinalizer(lambda: rollouts_cluster.kubectl(*leave))
        keys = {"DD_API_KEY": OWN_API_KEY, "DD_APP_KEY": OWN_APP_KEY, "DORA_OPERATOR_DATADOG_URL": datadog.url}

        def backfill(*words: str) -> Result:
            return dora(rollouts_cluster, "backfill", "--local", "-n", namespace, *words, environment=keys)

        assert "1 uncertain, " in backfill().out
        times = {"started_at": time.time() - 60, "finished_at": time.time() - 50}
        datadog.seed(Seed(id="4aBcD_fGh-1", service=aborted.name, env="prod", version="1.1.0", **times))
        shown = backfill()
        assert "1 new, " in shown.out, shown.out + shown.err
        assert specs(rollouts_cluster, namespace) == {}
        assert "1 DoraDeployments were created, 0 could not be" in backfill("--apply").out
        (spec,) = specs(rollouts_cluster, namespace).values()
        assert spec == {"deployment": {"id": "4aBcD_fGh-1"}, "changeFailure": True}
        assert "0 DoraDeployments were created" in backfill("--apply").out

        with running_operator(rollouts_cluster, datadog.url, DORA_OPERATOR_NAMESPACES=namespace, **LONG_AGO):
            rollouts_cluster.kubectl("wait", "dora", "--all", "-n", namespace, "--for=condition=Ready", "--timeout=30s")
            eventually(lambda: "aborted" in rollouts_cluster.kubectl("get", "dorahist", "-n", namespace), lambda: "")
        words = ("report", "--local", "-n", namespace, "-o", "json")
        lines = dora(rollouts_cluster, *words, environment=keys).json()["lines"]
        (line,) = [one for one in lines if one.get("row") == "4aBcD_fGh-1"]
        assert (line["category"], line["marked"]) == ("agrees", True)
