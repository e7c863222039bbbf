"""Probes and metrics over real HTTP, on loopback."""

import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from dora_operator.adapters.endpoints import CannotListenError, Checks, Endpoints, serving
from dora_operator.handlers.following import WatchHealth
from dora_operator.handlers.observing import Overview
from sandbox.cluster.process import free_ports
from tests.support.fakes import FakeCluster, FakeDatadog, Operator, running_operator
from tests.support.scrape import series

GOOD: Checks = {"one": lambda: None, "two": lambda: None}


def broken() -> str | None:
    """Be a check with a defect."""
    raise RuntimeError("canary")


@asynccontextmanager
async def served(
    health: int | None, metrics: int | None, live: Checks = GOOD, ready: Checks = GOOD
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve, and return a client that knows no port."""
    endpoints = Endpoints(health, metrics, live, ready, lambda: b"a 1\n", "text/plain; version=0.0.4; charset=utf-8")
    async with serving(endpoints), httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.mark.parametrize("path", ["/livez", "/healthz", "/readyz"])
async def test_good_checks_are_named(path: str) -> None:
    """200 and a JSON body."""
    (port,) = free_ports(1)
    async with served(port, None) as client:
        answer = await client.get(f"http://127.0.0.1:{port}{path}")
        assert answer.status_code == 200
        assert answer.json() == {"status": "ok", "checks": {"one": "ok", "two": "ok"}}
        assert (await client.get(f"http://127.0.0.1:{port}/metrics")).status_code == 404


@pytest.mark.parametrize(
    ("path", "status"), [("/livez", 200), ("/healthz", 200), ("/readyz", 503)], ids=["livez", "healthz", "readyz"]
)
async def test_a_check_that_is_not_good_says_why(path: str, status: int) -> None:
    """503 with the words of the check; the other probe is not touched by it."""
    (port,) = free_ports(1)
    async with served(port, None, ready={"one": lambda: "not yet", "two": lambda: None}) as client:
        answer = await client.get(f"http://127.0.0.1:{port}{path}")
    assert answer.status_code == status
    if status == 503:
        assert answer.json() == {"status": "failed", "checks": {"one": "not yet", "two": "ok"}}


async def test_a_check_that_breaks_is_not_good(caplog: pytest.LogCaptureFixture) -> None:
    """503; what broke stands in the log alone."""
    (port,) = free_ports(1)
    async with served(port, None, live={"one": broken}) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/livez")
    assert answer.status_code == 503
    assert "canary" not in answer.text
    assert "the check one broke" in caplog.text


async def test_one_port_or_two() -> None:
    """Equal ports are one server; others are two, and neither shows what belongs to the other; none is none."""
    one, two = free_ports(2)
    async with served(one, one) as client:
        assert (await client.get(f"http://127.0.0.1:{one}/metrics")).text == "a 1\n"
        assert (await client.get(f"http://127.0.0.1:{one}/readyz")).status_code == 200
    async with served(one, two) as client:
        answer = await client.get(f"http://127.0.0.1:{two}/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert (await client.get(f"http://127.0.0.1:{one}/metrics")).status_code == 404
        assert (await client.get(f"http://127.0.0.1:{two}/readyz")).status_code == 404
    async with served(None, 0) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://127.0.0.1:{one}/livez")


async def test_ipv6_is_answered_too() -> None:
    """The kubelet of an IPv6 cluster asks the pod's IPv6 address."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    (port,) = free_ports(1)
    async with served(port, None) as client:
        assert (await client.get(f"http://[::1]:{port}/livez")).status_code == 200


async def test_a_taken_port_is_named() -> None:
    """The error says which port, why and what to do; a server that was begun before is closed."""
    (free,) = free_ports(1)
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListenError, match=rf"port {port}: Address already in use; .*DORA_OPERATOR_METRICS"):
            async with served(free, port):
                pass
    socket.create_server(("", free)).close()


async def test_ready_when_every_list_is_in(caplog: pytest.LogCaptureFixture) -> None:
    """DoraDeployments listed, and Rollouts listed or known not to be installed; the checks are gauges too."""
    caplog.set_level(logging.DEBUG)
    resources, rollouts = (
        WatchHealth("DoraDeployments", lambda: 0.0),
        WatchHealth("Rollouts of namespace shop", lambda: 0.0, may_be_absent=True),
    )
    async with running_operator(FakeCluster(), FakeDatadog()) as operator:
        overview = Overview(operator.engine, operator.rollouts, (resources, rollouts))
        operator.metrics.show(overview.readings)
        assert said(overview) == {"doradeployments-listed": False, "rollouts-listed": False}
        resources.take_in(Trouble("the API server answered 403"))
        resources.take_in(Listed(frozenset(), "7"))
        assert said(overview) == {"doradeployments-listed": True, "rollouts-listed": False}
        assert gauge(operator, "rollouts-listed") == 0
        rollouts.take_in(Listed(frozenset(), installed=False))
        assert said(overview) == {"doradeployments-listed": True, "rollouts-listed": True}
        assert gauge(operator, "rollouts-listed") == 1


async def test_a_silent_watch_is_not_alive() -> None:
    """When a watch says nothing for too long, /livez fails, and its silence is a metric."""
    now = [0.0]
    watch = WatchHealth("DoraDeployments", lambda: now[0])
    async with running_operator(FakeCluster(), FakeDatadog()) as operator:
        overview = Overview(operator.engine, operator.rollouts, (watch,))
        operator.metrics.show(overview.readings)
        assert overview.live()["doradeployments-watched"]() is None
        now[0] = 1000.0
        assert "DoraDeployments" in str(overview.live()["doradeployments-watched"]())
        found = series(operator.metrics.text().decode())
        assert found['dora_operator_watch_silent_seconds{resource="DoraDeployments"}'] == 1000
        assert found['dora_operator_check{check="doradeployments-watched",probe="livez"}'] == 0


def said(overview: Overview) -> dict[str, bool]:
    """Return which checks of readiness are good."""
    return {name: check() is None for name, check in overview.ready().items()}


def gauge(operator: Operator, check: str) -> float:
    """Return a check of readiness as a scrape shows it."""
    found = series(operator.metrics.text().decode())
    return found[f'dora_operator_check{{check="{check}",probe="readyz"}}']
