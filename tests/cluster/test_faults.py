"""The operator as a process between a real API server that fails and a Datadog that fails: nothing lost, nothing wrong.

Left out, as this machine cannot do it or it stands elsewhere: a stale second API server and clock jumps (no second API
server with a frozen cache, no libfaketime: tests/flow), leases (test_high_availability), ten thousand resources (make
bench).
"""

import hashlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.datadog.faults import HalfBody, Hang, Match, Reset, Respond
from sandbox.faults import FaultProxy, What
from sandbox.running import OperatorProcess, running_operator
from tests.support.faulty import applied, compact, counts, marks
from tests.support.scrape import series
from tests.support.shop import Shop, eventually

pytestmark = pytest.mark.cluster

WATCH = r"/doradeployments\?.*watch="
LIST = r"/doradeployments\?.*limit="
STATUS = r"/doradeployments/[^/]+/status"
QUIET_SECONDS = 2.0
REACTION_SECONDS = 1.5
"""From a change to its mark, when the API server is back: always printed, asserted by `make chaos` alone."""
STOP_SECONDS = 10.0
"""From SIGTERM to the exit."""
LONG = "CHAOS_SEEDS" in os.environ
"""`make chaos` takes more rows than `make test`."""
QUICKLY = {"DORA_OPERATOR_REQUEST_TIMEOUT_SECONDS": "1.5"}
CRDS = Path(__file__).parents[2] / "crds"
DEBUG = {"DORA_OPERATOR_LOG_LEVEL": "DEBUG"}


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[LocalCluster]:
    """Return a cluster of this module's own: its API server is going to be hurt."""
    with LocalCluster.start() as running:
        running.kubectl("apply", "-f", str(CRDS))
        running.kubectl("wait", "--for=condition=Established", "-f", str(CRDS), "--timeout=30s")
        yield running


@pytest.fixture
def datadog() -> Iterator[StandIn]:
    """Return a stand-in for Datadog."""
    with StandIn() as running:
        yield running


@pytest.fixture
def proxy(own_cluster: LocalCluster) -> Iterator[FaultProxy]:
    """Return a proxy in front of the API server."""
    with FaultProxy(own_cluster) as running:
        yield running


@pytest.fixture
def shop(own_cluster: LocalCluster, request: pytest.FixtureRequest) -> Shop:
    """Return a fresh namespace."""
    name = f"f-{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"
    own_cluster.kubectl("create", "namespace", name)
    return Shop(own_cluster, name)


@pytest.fixture
def settings(proxy: FaultProxy, shop: Shop, tmp_path: Path) -> dict[str, str]:
    """Return the settings of an operator that reaches the API server through the proxy."""
    return {"KUBECONFIG": str(proxy.kubeconfig(tmp_path)), "DORA_OPERATOR_NAMESPACES": shop.namespace} | QUICKLY | DEBUG


@pytest.fixture
def operator(own_cluster: LocalCluster, datadog: StandIn, settings: dict[str, str]) -> Iterator[OperatorProcess]:
    """Return an operator behind the proxy; whatever happened, it is the same process at the end."""
    with running_operator(own_cluster, datadog.url, **settings) as running:
        yield running
        assert running.process.popen.poll() is None, running.log()


@pytest.mark.parametrize(
    ("what", "more"),
    [
        pytest.param(What.STREAM_ERROR, {"code": 410}, id="an expired place, as an event"),
        pytest.param(What.STREAM_ERROR, {"code": 500}, id="etcd that timed out, as an event"),
        *(
            pytest.param(What.ANSWER, {"code": code}, id=f"a watch that is answered with {code}")
            for code in ((410, 401, 403, 429, 500, 503) if LONG else (410, 401, 503))
        ),
        pytest.param(What.CUT, {}, id="connections that are cut"),
    ],
)
def test_a_watch_that_fails(
    operator: OperatorProcess, proxy: FaultProxy, shop: Shop, datadog: StandIn, what: What, more: dict[str, int]
) -> None:
    """Changes, and deletions among them, that nobody saw while every watch failed are known when it is over."""
    applied(shop, "before")
    shop.wait("before", "Accepted")
    fault = proxy.fault(what, path=WATCH, **more)
    proxy.cut_streams()
    eventually(lambda: fault.hits >= 2, lambda: str(proxy.log[-5:]), seconds=60)
    shop.kubectl("delete", "dora", "before")
    applied(shop, "during")
    proxy.clear()
    shop.wait("during", "Accepted")
    applied(shop, "before", failure=False)  # another object of the same name
    shop.wait("before", "Accepted")
    assert marks(datadog) == {
        "deployment-before": {"change_failure": False},
        "deployment-during": {"change_failure": True},
    }
    assert counts(datadog) == {"deployment-before": 2, "deployment-during": 1}


@pytest.mark.parametrize("code", [410, 401, 403, 503] if LONG else [410, 403])
def test_a_list_that_fails(
    own_cluster: LocalCluster, proxy: FaultProxy, shop: Shop, datadog: StandIn, settings: dict[str, str], code: int
) -> None:
    """At the start, for a while: nothing is sent before all are listed, and then everything."""
    applied(shop, "waiting")
    proxy.fault(What.ANSWER, path=LIST, code=code, times=3)
    with running_operator(own_cluster, datadog.url, **settings):
        shop.wait("waiting", "Accepted")
    assert counts(datadog) == {"deployment-waiting": 1}


def test_events_that_come_twice(operator: OperatorProcess, proxy: FaultProxy, shop: Shop, datadog: StandIn) -> None:
    """A doubled event changes nothing."""
    proxy.fault(What.STREAM_TWICE, path=WATCH)
    proxy.cut_streams()
    for number in range(5):
        applied(shop, f"twice-{number}")
    for number in range(5):
        shop.wait(f"twice-{number}", "Accepted")
    time.sleep(QUIET_SECONDS)
    assert counts(datadog) == {f"deployment-twice-{number}": 1 for number in range(5)}


@pytest.mark.skipif(not LONG, reason="takes most of a minute: make chaos")
def test_a_watch_that_says_nothing(operator: OperatorProcess, proxy: FaultProxy, shop: Shop, datadog: StandIn) -> None:
    """The connection stays open and no byte comes: after 35 s the watch is opened again."""
    silent = proxy.fault(What.STREAM_SILENT, path=WATCH, times=1)
    proxy.cut_streams()
    eventually(lambda: silent.hits, lambda: str(proxy.log[-5:]))
    applied(shop, "unheard")
    eventually(lambda: marks(datadog), operator.log, seconds=50)
    assert counts(datadog) == {"deployment-unheard": 1}


def test_events_that_are_lost(
    own_cluster: LocalCluster, proxy: FaultProxy, shop: Shop, datadog: StandIn, settings: dict[str, str]
) -> None:
    """A watch that loses every event and seems to work: the next list brings what was made, edited and deleted."""
    with running_operator(own_cluster, datadog.url, **settings | {"DORA_OPERATOR_RESYNC_SECONDS": "1"}):
        for name in ("edited", "deleted"):
            applied(shop, name)
            shop.wait(name, "Accepted")
        proxy.fault(What.STREAM_LOSSY, path=WATCH)
        proxy.cut_streams()
        eventually(lambda: "watch=" in proxy.log[-1], lambda: str(proxy.log[-5:]))
        applied(shop, "edited", failure=False)
        shop.kubectl("delete", "dora", "deleted")
        applied(shop, "made")
        proxy.cut_streams()  # else the API server ends the watch after half a minute
        shop.wait("edited", "Accepted")
        shop.wait("made", "Accepted")
    assert counts(datadog) == {"deployment-edited": 2, "deployment-deleted": 1, "deployment-made": 1}
    assert marks(datadog)["deployment-edited"] == {"change_failure": False}


@pytest.mark.parametrize(
    ("what", "code"),
    [
        pytest.param(What.CUT, 0, id="it never arrives"),
        pytest.param(What.ANSWER_LOST, 0, id="only its answer is lost"),
        *(
            pytest.param(What.ANSWER, code, id=f"it is answered with {code}")
            for code in ((401, 403, 404, 409, 429, 500, 503) if LONG else (404, 500))
        ),
    ],
)
def test_a_status_that_cannot_be_written(
    operator: OperatorProcess, proxy: FaultProxy, shop: Shop, datadog: StandIn, what: What, code: int
) -> None:
    """What Datadog has accepted is remembered, and not sent again, until the status stands."""
    proxy.fault(what, path=STATUS, method="PATCH", code=code, times=4)
    applied(shop, "checkout")
    shop.wait("checkout", "Accepted")
    assert counts(datadog) == {"deployment-checkout": 1}


@pytest.mark.parametrize("blocked", ["status", "answer"])
def test_a_crash_between_the_mark_and_its_status(
    own_cluster: LocalCluster, proxy: FaultProxy, shop: Shop, datadog: StandIn, settings: dict[str, str], blocked: str
) -> None:
    """SIGKILL before the status is written, or before Datadog has answered: one repeat of what was in flight."""
    if blocked == "status":
        proxy.fault(What.HANG, path=STATUS, method="PATCH")
    else:
        datadog.fault(Hang(), applied=True, times=1)
    with running_operator(own_cluster, datadog.url, **settings) as first:
        applied(shop, "checkout")
        datadog.wait_for_requests(1, timeout=20)
        first.kill()
    proxy.clear()
    with running_operator(own_cluster, datadog.url, **settings):
        shop.wait("checkout", "Accepted")
    assert counts(datadog) == {"deployment-checkout": 2}
    assert len({request.body for request in datadog.requests()}) == 1


def test_crashes_under_load(own_cluster: LocalCluster, shop: Shop, datadog: StandIn, settings: dict[str, str]) -> None:
    """Killed again and again while many are due: all are marked, and repeats are what was in flight."""
    kills, at_once = 30 if LONG else 3, 8
    ids = {applied(shop, f"load-{number:03}") for number in range(10 * (kills + 1))}
    settings = settings | {"DORA_OPERATOR_WORKERS": str(at_once)}
    for seen in range(kills):
        datadog.clear_faults()
        datadog.fault(Respond(status=202, body={"data": None}), delay=0.2)
        with running_operator(own_cluster, datadog.url, **settings) as running:
            datadog.wait_for_requests(10 * (seen + 1), timeout=30)
            running.kill()
    datadog.clear_faults()
    with running_operator(own_cluster, datadog.url, **settings):
        for name in sorted(ids):
            shop.wait(name.removeprefix("deployment-"), "Accepted")
    assert set(counts(datadog)) == ids
    assert sum(counts(datadog).values()) <= len(ids) + at_once * kills


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(Respond(status=500, body="<html>"), id="500"),
        pytest.param(Reset(), id="reset connections"),
        pytest.param(HalfBody(), id="half an answer"),
        pytest.param(Hang(), id="no answer"),
        pytest.param(
            Respond(status=429, headers={"X-RateLimit-Reset": "not-a-number"}), id="429 with an invalid reset"
        ),
    ],
)
def test_datadog_that_fails_for_a_while(operator: OperatorProcess, shop: Shop, datadog: StandIn, what: Any) -> None:
    """Six are due meanwhile: each is marked when it is over, and nothing else."""
    datadog.fault(what, match=Match(method="PATCH"), times=1 if what.kind == "respond" and what.status == 429 else 8)
    ids = {applied(shop, f"down-{number}") for number in range(6)}
    for name in ids:
        shop.wait(name.removeprefix("deployment-"), "Accepted")
    assert marks(datadog) == {name: {"change_failure": True} for name in ids}


@pytest.mark.parametrize("seconds", [6, 22, 60, 120] if LONG else [6])
def test_an_api_server_that_crashes(
    own_cluster: LocalCluster, shop: Shop, datadog: StandIn, operator: OperatorProcess, seconds: int
) -> None:
    """SIGKILL, away for some seconds, back: the process lives, and the next change is marked in no time."""
    applied(shop, "before")
    shop.wait("before", "Accepted")
    own_cluster.kill_api_server()
    time.sleep(seconds)
    own_cluster.restart_api_server()
    applied(shop, "after")
    begun = time.time()
    shop.wait("after", "Accepted")
    reaction = datadog.requests()[-1].time - begun
    print(f"{seconds} s without an API server, then marked {reaction:.2f} s after the change")  # noqa: T201 - a figure
    assert not LONG or reaction < REACTION_SECONDS
    assert counts(datadog) == {"deployment-before": 1, "deployment-after": 1}


def test_a_place_that_etcd_has_forgotten(
    own_cluster: LocalCluster, proxy: FaultProxy, shop: Shop, datadog: StandIn, operator: OperatorProcess
) -> None:
    """A real 410, after a gap in which one was deleted, one replaced under its name, one edited: a list shows it."""
    for name in ("gone", "replaced", "edited"):
        applied(shop, name)
        shop.wait(name, "Accepted")
    proxy.fault(What.ANSWER, path=WATCH, code=503)
    proxy.cut_streams()
    shop.kubectl("delete", "dora", "gone", "replaced")
    applied(shop, "replaced")
    applied(shop, "edited", failure=False)
    compact(own_cluster)
    own_cluster.kill_api_server()  # its own memory would bridge the gap
    own_cluster.restart_api_server()
    proxy.log.clear()
    proxy.clear()
    for name in ("replaced", "edited"):
        shop.wait(name, "Accepted")
    assert "Restarting the watch-stream" in operator.log()  # kopf says so after a 410 in a stream, and at no other time
    assert any("doradeployments?limit=" in line for line in proxy.log)
    assert counts(datadog) == {"deployment-gone": 1, "deployment-replaced": 2, "deployment-edited": 2}
    assert marks(datadog)["deployment-edited"] == {"change_failure": False}


@pytest.mark.parametrize("seconds", [15, 90] if LONG else [5])
def test_an_api_server_that_hangs(
    own_cluster: LocalCluster, shop: Shop, datadog: StandIn, operator: OperatorProcess, seconds: int
) -> None:
    """SIGSTOP for some seconds: the process lives, and what was changed before is marked once."""
    applied(shop, "before")
    own_cluster.pause_api_server()
    time.sleep(seconds)
    own_cluster.resume_api_server()
    shop.wait("before", "Accepted")
    applied(shop, "after")
    shop.wait("after", "Accepted")
    assert counts(datadog) == {"deployment-before": 1, "deployment-after": 1}


def test_a_stop_while_nothing_answers(
    own_cluster: LocalCluster, shop: Shop, datadog: StandIn, settings: dict[str, str]
) -> None:
    """SIGTERM while Datadog hangs, the API server hangs and the queue is full: gone in time, and nothing is lost."""
    settings = settings | {"DORA_OPERATOR_REQUEST_TIMEOUT_SECONDS": "30"}
    datadog.fault(Hang())
    ids = {applied(shop, f"stop-{number:02}") for number in range(20)}
    with running_operator(own_cluster, datadog.url, **settings) as running:
        datadog.wait_for_requests(8, timeout=30)
        own_cluster.pause_api_server()
        try:
            assert running.terminate(STOP_SECONDS) == 0
        finally:
            own_cluster.resume_api_server()
    datadog.clear_faults()
    with running_operator(own_cluster, datadog.url, **settings):
        for name in sorted(ids):
            shop.wait(name.removeprefix("deployment-"), "Accepted")
    assert marks(datadog) == {name: {"change_failure": True} for name in ids}
    assert sum(counts(datadog).values()) <= len(ids) + 8


def test_an_outage_longer_than_the_lease(
    own_cluster: LocalCluster, shop: Shop, datadog: StandIn, settings: dict[str, str]
) -> None:
    """Nobody else has taken the Lease: the same process leads when the API server is back, and sends what is new."""
    with running_operator(own_cluster, datadog.url, **settings) as leader:
        applied(shop, "before")
        shop.wait("before", "Accepted")
        own_cluster.kill_api_server()
        try:
            eventually(lambda: series(leader.metrics())["dora_operator_leader"] == 0, leader.log, seconds=30)
        finally:
            own_cluster.restart_api_server()
        applied(shop, "after")
        shop.wait("after", "Accepted")
        assert leader.terminate() == 0
    assert counts(datadog) == {"deployment-before": 1, "deployment-after": 1}


def test_an_operator_that_slept(operator: OperatorProcess, shop: Shop, datadog: StandIn) -> None:
    """SIGSTOP of the operator itself: no probe is answered; when it wakes, it marks what it missed, once."""
    applied(shop, "before")
    shop.wait("before", "Accepted")
    operator.process.signal(signal.SIGSTOP)
    applied(shop, "asleep")
    with pytest.raises(OSError, match="timed out"):
        operator.probe()
    operator.process.signal(signal.SIGCONT)
    shop.wait("asleep", "Accepted")
    assert counts(datadog) == {"deployment-before": 1, "deployment-asleep": 1}
