"""Probes and metrics over real HTTP, on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from dora_operator.health import MAX_AGE_SECONDS, SLICE, CannotListenError, Checks, Shared, live, ready, serving
from dora_operator.watch.health import WatchHealth
from sandbox.cluster.process import free_ports
from tests.support.fakes import FakeCluster, FakeDatadog, running_operator, settings_for_tests
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

    async def text() -> bytes:
        return b"a 1\n"

    settings = settings_for_tests(health_port=health, metrics_port=metrics)
    async with serving(settings, live, ready, text), httpx.AsyncClient(trust_env=False) as client:
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
    """503; the log alone says how it failed."""
    (port,) = free_ports(1)
    async with served(port, None, live={"one": broken}) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/livez")
    assert answer.status_code == 503
    assert "canary" not in answer.text
    assert "the check one failed" in caplog.text


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


async def test_ready_when_every_kind_is_listed() -> None:
    """DoraDeployments listed, and Rollouts listed or known not to be installed; the checks are gauges too."""
    deployments = WatchHealth("DoraDeployments", lambda: 0.0)
    rollouts = WatchHealth("Rollouts in shop", lambda: 0.0, may_be_absent=True)
    watches = (deployments, rollouts)
    async with running_operator(FakeCluster(), FakeDatadog()) as operator:
        exporter = operator.app.exporter
        assert passing(ready(watches)) == set()
        deployments.failed("list", "the API server answered 403")
        assert "the API server answered 403" in str(ready(watches)["doradeployments-listed"]())
        deployments.listed = True
        assert passing(ready(watches)) == {"doradeployments-listed"}
        check = 'dora_operator_check{check="rollouts-listed",probe="readyz"}'
        assert series((await exporter.scrape(watches, lambda: True)).decode())[check] == 0
        rollouts.installed(installed=False)
        assert passing(ready(watches)) == {"doradeployments-listed", "rollouts-listed"}
        assert series((await exporter.scrape(watches, lambda: True)).decode())[check] == 1


def test_a_kind_is_ready_when_it_is_listed_in_every_namespace() -> None:
    """One check for each kind; its text names the namespace."""
    watches = tuple(WatchHealth(f"Rollouts in {name}", lambda: 0.0, listed=name == "shop") for name in ("shop", "pay"))
    assert ready(watches)["rollouts-listed"]() == "Rollouts in pay are not listed yet"


def test_a_missing_crd_is_named() -> None:
    """Without its own CRD the operator is not ready, and the text says why."""
    watch = WatchHealth("DoraDeployments", lambda: 0.0)
    watch.installed(installed=False)
    problem = ready((watch,))["doradeployments-listed"]()
    assert problem == "DoraDeployments are not listed yet: their CRD is not installed"


async def test_a_silent_watch_is_not_alive() -> None:
    """When the API server answers a watch nothing for too long, /livez fails, and the silence is a metric."""
    now = [0.0]
    watch = WatchHealth("DoraDeployments", lambda: now[0])
    async with running_operator(FakeCluster(), FakeDatadog()) as operator:
        assert live((watch,))["doradeployments-watched"]() is None
        now[0] = 1000.0
        assert "DoraDeployments" in str(live((watch,))["doradeployments-watched"]())
        found = series((await operator.app.exporter.scrape((watch,), lambda: True)).decode())
        assert found['dora_operator_watch_silent_seconds{resource="DoraDeployments"}'] == 1000
        assert found['dora_operator_check{check="doradeployments-watched",probe="livez"}'] == 0


async def test_all_that_ask_within_a_second_share_one_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many scrape, the metrics are made once, and again when a second is over."""
    made, now = [], [100.0]
    begin = asyncio.Event()

    async def make() -> bytes:
        await begin.wait()
        made.append(now[0])
        return f"{len(made)}".encode()

    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0])
    text = Shared(make)
    waiting = [asyncio.ensure_future(text()) for _ in range(200)]
    await asyncio.sleep(0)
    begin.set()
    assert set(await asyncio.gather(*waiting)) == {b"1"}
    now[0] += MAX_AGE_SECONDS / 2
    assert await text() == b"1"
    now[0] += MAX_AGE_SECONDS / 2
    assert await text() == b"2"


async def test_metrics_that_could_not_be_made_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that wait get the error; a second later the next one gets a text."""
    answers: list[Exception | bytes] = [RuntimeError("a defect"), b"1"]
    now = [100.0]

    async def make() -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0])
    text = Shared(make)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await text()
    now[0] += MAX_AGE_SECONDS
    assert await text() == b"1"


async def test_a_scrape_lets_other_work_go_on() -> None:
    """Between slices of the resources, the loop serves all that is ready."""
    cluster, turns = FakeCluster(), 0
    async with running_operator(cluster, FakeDatadog()) as operator:
        for number in range(4 * SLICE):
            cluster.apply(f"r{number}", deployment={"id": f"deployment-{number}"}, changeFailure=True)
        scrape = asyncio.ensure_future(operator.scrape())
        while not scrape.done():
            turns += 1
            await asyncio.sleep(0)
    assert turns >= 4


@pytest.mark.parametrize("digits", [309, 5000], ids=["beyond a float", "beyond an integer"])
async def test_an_absurd_rate_limit_fails_no_scrape(digits: int) -> None:
    """A header of hundreds of digits is a large number, or none."""
    headers = {"X-RateLimit-Remaining": "9" * digits, "X-RateLimit-Reset": "30"}
    cluster, datadog = FakeCluster(), FakeDatadog(answers=[httpx.Response(202, headers=headers)])
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("checkout", changeFailure=True)
        await operator.settle()
        assert "dora_operator_rate_limit_remaining" in await operator.scrape()


def passing(checks: Checks) -> set[str]:
    """Return the checks that pass."""
    return {name for name, check in checks.items() if check() is None}
