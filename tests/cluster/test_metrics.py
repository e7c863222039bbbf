"""A running operator, scraped and probed as a platform team does."""

import json
import re
import socket
from collections.abc import Iterator

import pytest

from sandbox import loopback
from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.datadog.faults import Match, Respond
from sandbox.programs.cache import SandboxError
from sandbox.running import OperatorProcess, running_operator
from tests.support.scrape import series
from tests.support.shop import Shop, eventually

pytestmark = pytest.mark.cluster

OLDEST = "dora_operator_oldest_unreported_failure_seconds"
FAILED = 'dora_operator_datadog_requests_total{call="mark_by_id",code="503"}'
MARKS = 'dora_operator_marks_total{change_failure="true",remediation="none"}'


@pytest.fixture(scope="module")
def datadog() -> Iterator[StandIn]:
    """Return a stand-in for Datadog."""
    with StandIn() as running:
        yield running


@pytest.fixture(scope="module")
def operator(cluster: LocalCluster, datadog: StandIn) -> Iterator[OperatorProcess]:
    """Return a running operator."""
    with running_operator(cluster, datadog.url, DORA_OPERATOR_NAMESPACES="metrics") as running:
        yield running


@pytest.fixture
def shop(cluster: LocalCluster) -> Iterator[Shop]:
    """Return the namespace that this operator watches."""
    cluster.kubectl("create", "namespace", "metrics")
    yield Shop(cluster, "metrics")
    cluster.kubectl("-n", "metrics", "delete", "dora", "--all")


def test_the_oldest_unreported_failure_rises_and_falls(shop: Shop, datadog: StandIn, operator: OperatorProcess) -> None:
    """While Datadog fails, the age rises from scrape to scrape; when it answers again, it is 0 and the mark counts."""
    assert series(operator.metrics())[OLDEST] == 0
    datadog.fault(Respond(status=503), match=Match(method="PATCH"))
    shop.apply("checkout", changeFailure=True)
    shop.wait("checkout", "DatadogUnavailable")
    first = series(operator.metrics())[OLDEST]
    eventually(lambda: series(operator.metrics())[OLDEST] > first, operator.metrics)
    eventually(lambda: series(operator.metrics())[FAILED] > 1, operator.metrics)
    during = series(operator.metrics())
    assert during["dora_operator_unreported_failures"] == 1
    assert during[MARKS] == 0
    datadog.clear_faults()
    shop.wait("checkout", "Accepted")
    after = series(operator.metrics())
    assert (after[OLDEST], after["dora_operator_unreported_failures"], after[MARKS]) == (0, 0, 1)
    assert after['dora_operator_resources{ready="True",reason="Accepted"}'] == 1
    written = 'dora_operator_kubernetes_requests_total{code="200",method="PATCH",resource="doradeployments/status"}'
    assert after[written] >= 2
    assert after['dora_operator_watch_silent_seconds{resource="DoraDeployments"}'] < 60
    assert "checkout" not in operator.metrics()
    assert "sandbox-" not in operator.metrics()


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_probes(operator: OperatorProcess, path: str) -> None:
    """Each probe answers 200 with its named checks."""
    with loopback.ask(operator.base_url + path) as response:
        found = json.load(response)
    assert found["status"] == "ok"
    assert set(found["checks"].values()) == {"ok"}
    assert any(name.startswith("doradeployments-") for name in found["checks"])


def test_a_port_that_is_taken_ends_the_start(cluster: LocalCluster, datadog: StandIn) -> None:
    """The start ends with a message that names the port and the settings."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = f"ended with 1.*dora-operator: cannot listen on port {port}: .*DORA_OPERATOR_HEALTH_PORT"
        with (
            pytest.raises(SandboxError, match=re.compile(words, re.DOTALL)),
            running_operator(cluster, datadog.url, DORA_OPERATOR_HEALTH_PORT=port, DORA_OPERATOR_METRICS_PORT=port),
        ):
            pass
