"""What a restart costs: nothing where all is settled, and a repeat of what was under way at most."""

import json
import time
from typing import Any

import pytest

from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.datadog.faults import Hang
from sandbox.running import OperatorProcess, running_operator
from tests.support.scrape import series
from tests.support.shop import Shop, eventually

pytestmark = pytest.mark.cluster

SETTLED = 1000
QUIET_SECONDS = 2.0
STOP_SECONDS = 10.0
"""From SIGTERM to the exit, whatever Datadog does."""


def manifest(number: int) -> dict[str, Any]:
    """Return one of many resources."""
    return {
        "apiVersion": "dora-operator.io/v1alpha1",
        "kind": "DoraDeployment",
        "metadata": {"name": f"d{number}", "namespace": "many"},
        "spec": {"deployment": {"id": f"deployment-{number:05}"}, "changeFailure": bool(number % 2)},
    }


def waiting(operator: OperatorProcess) -> float:
    """Return how many DoraDeployments are to be reconciled."""
    found = series(operator.metrics())
    states = ("due", "delayed", "waiting", "working")
    return sum(found[f'dora_operator_queue_length{{queue="DoraDeployment",state="{state}"}}'] for state in states)


def test_settled_resources_cost_nothing_after_a_restart(cluster: LocalCluster) -> None:
    """1,000 resources: 1,000 requests and status writes; after a restart 0 and 0."""
    cluster.kubectl("create", "namespace", "many")
    items = [manifest(number) for number in range(SETTLED)]

    def written() -> int:
        return len(cluster.audited(verb="patch", resource="doradeployments", namespace="many"))

    with StandIn() as datadog:
        with running_operator(cluster, datadog.url, DORA_OPERATOR_NAMESPACES="many") as first:
            cluster.kubectl("create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
            datadog.wait_for_requests(SETTLED, timeout=60)
            eventually(lambda: written() >= SETTLED, lambda: f"{written()} statuses are written", seconds=60)
            assert first.terminate() == 0
        ready = '{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}'
        assert cluster.kubectl("-n", "many", "get", "dora", "-o", f"jsonpath={ready}").split() == ["True"] * SETTLED
        with running_operator(cluster, datadog.url, DORA_OPERATOR_NAMESPACES="many") as second:
            eventually(lambda: waiting(second) == 0, second.metrics)
            time.sleep(QUIET_SECONDS)
            assert series(second.metrics())['dora_operator_resources{ready="True",reason="Accepted"}'] == SETTLED
        assert len(datadog.requests()) == SETTLED
    assert written() == SETTLED


def test_a_stop_does_not_wait_for_an_answer_that_never_comes(cluster: LocalCluster) -> None:
    """SIGTERM while Datadog hangs: the process ends in good time, and the next one sends what was under way again."""
    cluster.kubectl("create", "namespace", "hanging")
    shop = Shop(cluster, "hanging")
    ids = [f"deployment-hanging-{number}" for number in range(3)]
    with StandIn() as datadog:
        datadog.fault(Hang())
        with running_operator(cluster, datadog.url, DORA_OPERATOR_NAMESPACES="hanging") as first:
            for deployment in ids:
                shop.apply(deployment, deployment={"id": deployment}, changeFailure=True)
            datadog.wait_for_requests(len(ids), timeout=20)
            assert first.terminate(STOP_SECONDS) == 0
        datadog.clear_faults()
        with running_operator(cluster, datadog.url, DORA_OPERATOR_NAMESPACES="hanging"):
            for deployment in ids:
                shop.wait(deployment, "Accepted")
        assert sorted(json.loads(request.body)["data"]["id"] for request in datadog.requests()) == sorted(ids * 2)
