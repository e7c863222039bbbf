"""Two operators on a real API server: one writes, the other takes over."""

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.datadog.faults import Hang
from sandbox.faults import FaultProxy, What
from sandbox.running import OperatorProcess, environment_for, running_in, running_operator
from tests.support.scrape import series
from tests.support.shop import Shop, eventually

pytestmark = pytest.mark.cluster

PATIENCE = 60
STOP_SECONDS = 10.0
"""From SIGTERM to the exit."""


@pytest.fixture
def datadog() -> Iterator[StandIn]:
    """Return a stand-in for Datadog."""
    with StandIn() as running:
        yield running


@pytest.fixture
def shop(cluster: LocalCluster, request: pytest.FixtureRequest) -> Shop:
    """Return a fresh namespace."""
    name = "ha-" + "".join(c if c.isalnum() else "-" for c in request.node.name.lower())[:50].strip("-")
    cluster.kubectl("create", "namespace", name)
    return Shop(cluster, name)


@contextmanager
def replica(cluster: LocalCluster, datadog: StandIn, shop: Shop, **more: str) -> Iterator[OperatorProcess]:
    """Run one of several replicas."""
    with running_operator(cluster, datadog.url, **settings_of(shop) | more) as running:
        yield running


def settings_of(shop: Shop) -> dict[str, str]:
    """Return the settings of a replica."""
    return {
        "DORA_OPERATOR_NAMESPACES": shop.namespace,
        "DORA_OPERATOR_LEASE_NAME": "dora-operator",
        "DORA_OPERATOR_LEASE_NAMESPACE": shop.namespace,
    }


def leads(operator: OperatorProcess) -> bool:
    """Return whether a replica says that it leads."""
    return series(operator.metrics())["dora_operator_leader"] == 1


def holder(shop: Shop, name: str = "dora-operator") -> str:
    """Return who holds the Lease."""
    return shop.kubectl("get", "lease", name, "-o", "jsonpath={.spec.holderIdentity}")


def marks(datadog: StandIn) -> Counter[str]:
    """Count the requests for each deployment."""
    return Counter(json.loads(request.body)["data"]["id"] for request in datadog.requests())


def test_a_crashed_leader_is_followed(cluster: LocalCluster, datadog: StandIn, shop: Shop) -> None:
    """One writes while both are ready; after SIGKILL the other does, and sends what is due and nothing else."""
    with replica(cluster, datadog, shop) as first:
        eventually(lambda: leads(first), first.log)
        with replica(cluster, datadog, shop) as second:
            shop.apply("before", deployment={"id": "deployment-before"}, changeFailure=True)
            shop.wait("before", "Accepted")
            assert not leads(second)
            first.kill()
            killed = time.monotonic()
            eventually(lambda: leads(second), second.log, seconds=30)
            print(f"a crashed leader was replaced after {time.monotonic() - killed:.2f} s")  # noqa: T201 - a figure; that it is in time is proven in tests/flow/test_leader.py
            shop.apply("after", deployment={"id": "deployment-after"}, changeFailure=True)
            shop.wait("after", "Accepted")
    assert marks(datadog) == {"deployment-before": 1, "deployment-after": 1}


def test_a_stopped_leader_is_followed_at_once(cluster: LocalCluster, datadog: StandIn, shop: Shop) -> None:
    """SIGTERM releases the Lease: the next one need not wait until it expires, nor need a restart of the only one."""
    with replica(cluster, datadog, shop) as first:
        eventually(lambda: leads(first), first.log)
        with replica(cluster, datadog, shop) as second:
            assert first.terminate() == 0
            eventually(lambda: leads(second), second.log, seconds=6)
            assert second.terminate() == 0
    with replica(cluster, datadog, shop) as third:
        eventually(lambda: leads(third), third.log, seconds=6)


def test_a_leader_that_slept_writes_nothing_more(cluster: LocalCluster, datadog: StandIn, shop: Shop) -> None:
    """SIGSTOP beyond the Lease: the other takes over; when the first wakes, it ends by itself and has sent nothing."""
    with replica(cluster, datadog, shop) as first:
        eventually(lambda: leads(first), first.log)
        with replica(cluster, datadog, shop) as second:
            first.process.signal(signal.SIGSTOP)
            shop.apply("asleep", deployment={"id": "deployment-asleep"}, changeFailure=True)
            shop.wait("asleep", "Accepted")
            first.process.signal(signal.SIGCONT)
            assert first.process.popen.wait(PATIENCE) == 1
            assert "the Lease was lost" in first.log()
            assert leads(second)
    assert marks(datadog) == {"deployment-asleep": 1}


def test_a_leader_that_slept_during_a_request(cluster: LocalCluster, datadog: StandIn, shop: Shop) -> None:
    """Its PATCH is on the wire, unanswered, when it is stopped: what the next leader has said since stays said."""
    datadog.fault(Hang(), applied=True, times=1)
    with replica(cluster, datadog, shop) as first:
        eventually(lambda: leads(first), first.log)
        shop.apply("slow", deployment={"id": "deployment-slow"}, changeFailure=True)
        datadog.wait_for_requests(1, timeout=20)
        first.process.signal(signal.SIGSTOP)
        with replica(cluster, datadog, shop) as second:
            shop.wait("slow", "Accepted")
            shop.apply("slow", deployment={"id": "deployment-slow"}, changeFailure=False)
            shop.wait("slow", "Accepted")
            written = shop.get("slow")["metadata"]["resourceVersion"]
            first.process.signal(signal.SIGCONT)
            assert first.process.popen.wait(PATIENCE) == 1
            assert leads(second)
            assert shop.get("slow")["metadata"]["resourceVersion"] == written
    said = [json.loads(request.body)["data"]["attributes"]["change_failure"] for request in datadog.requests()]
    assert said == [True, True, False]


def test_a_rolling_update_sends_nothing_twice(cluster: LocalCluster, datadog: StandIn, shop: Shop) -> None:
    """The new replica starts before the old one stops, while fifty deployments change."""
    ids = [f"deployment-rolling-{number:02}" for number in range(50)]

    def change() -> None:
        for name in ids:
            shop.apply(name, deployment={"id": name}, changeFailure=True)

    changing = threading.Thread(target=change)
    with replica(cluster, datadog, shop) as old:
        eventually(lambda: leads(old), old.log)
        changing.start()
        with replica(cluster, datadog, shop) as new:
            assert old.terminate() == 0
            changing.join()
            eventually(lambda: len(marks(datadog)) == len(ids), lambda: str(marks(datadog)), PATIENCE)
            for name in ids[::10]:
                shop.wait(name, "Accepted")
            assert leads(new)
    assert marks(datadog) == dict.fromkeys(ids, 1)


def test_a_lease_that_hands_have_made(cluster: LocalCluster, datadog: StandIn, shop: Shop) -> None:
    """An empty one is taken; when it is deleted, its holder ends, and the next start leads again."""
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "dora-operator"}}
    shop.kubectl("create", "-f", "-", input=json.dumps(body))
    with replica(cluster, datadog, shop) as first:
        eventually(lambda: leads(first), first.log)
        shop.kubectl("delete", "lease", "dora-operator")
        assert first.process.popen.wait(PATIENCE) == 1
        assert "the Lease was lost" in first.log()
    with replica(cluster, datadog, shop) as again:
        eventually(lambda: leads(again), again.log)


def test_who_cannot_list_does_not_lead(cluster: LocalCluster, datadog: StandIn, shop: Shop, tmp_path: Path) -> None:
    """Its first list hangs: it was there first, and leaves the Lease to another; SIGTERM ends it all the same."""
    with FaultProxy(cluster) as proxy:
        listing = proxy.fault(What.HANG, path=r"/doradeployments\?")
        settings = environment_for(cluster, datadog.url) | settings_of(shop)
        settings |= {"KUBECONFIG": str(proxy.kubeconfig(tmp_path))}
        with running_in(settings, path=None) as stuck:
            eventually(lambda: listing.hits, stuck.log)
            with replica(cluster, datadog, shop) as other:
                eventually(lambda: leads(other), other.log)
                assert stuck.terminate(STOP_SECONDS) == 0
