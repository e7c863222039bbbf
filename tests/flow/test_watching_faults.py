"""A watch with a real kopf over an API server with faults: nothing is lost, and no fault ends it."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import kopf
import pytest

from dora_operator.watch import kopf_run
from dora_operator.watch import watch as watch_module
from dora_operator.watch.health import MAX_HANGING
from tests.support.watching import Cluster, FakeSink, change_is_seen, eventually, opened_cluster


@pytest.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    """Return an API server, and the login to it."""
    async with opened_cluster(tmp_path, monkeypatch) as opened:
        yield opened


async def test_a_cut_stream(cluster: Cluster) -> None:
    """The watch goes on where it was, without a list."""
    sink = FakeSink()
    async with cluster.watching(cluster.build(sink)):
        cluster.server.cut()
        await change_is_seen(cluster, sink)
        assert cluster.server.asked["list"] == 1
        assert cluster.restarts() == 0


async def test_a_compacted_version(cluster: Cluster) -> None:
    """An error 410 in the stream: kopf lists again, and the operator's list beside it finds what was deleted."""
    sink = FakeSink()
    cluster.server.apply("rollouts", "gone")
    async with cluster.watching(cluster.build(sink)):
        cluster.server.withholds = True
        cluster.server.delete("rollouts", "gone")
        cluster.server.compact()
        cluster.server.withholds = False
        cluster.server.send_error(410)
        await change_is_seen(cluster, sink)
        await eventually(lambda: sink.names() == ["more", "news"])
        assert cluster.restarts() == 0


@pytest.mark.parametrize("code", [500, 429])
async def test_an_error_in_the_stream(cluster: Cluster, code: int) -> None:
    """It ends kopf, which is started again. kopf would take 5 s to end if its stop flag were not set."""
    sink = FakeSink()
    async with cluster.watching(cluster.build(sink)) as watch:
        cluster.server.send_error(code)
        await change_is_seen(cluster, sink, seconds=4)
        assert cluster.restarts() == 1
        assert watch.health.problem == ""
        assert "recovered" in sink.calls


@pytest.mark.parametrize(("status", "times"), [(410, 3), (400, 1)])
async def test_a_watch_that_is_refused_for_good(cluster: Cluster, status: int, times: int) -> None:
    """It ends kopf each time. What was deleted meanwhile is found."""
    sink = FakeSink()
    cluster.server.apply("rollouts", "gone")
    async with cluster.watching(cluster.build(sink)):
        with cluster.server.refusing(status, "watch", times=times):
            cluster.server.withholds = True
            cluster.server.delete("rollouts", "gone")
            cluster.server.withholds = False
            cluster.server.cut()
            await eventually(lambda: cluster.restarts() == times)
            await change_is_seen(cluster, sink)
        await eventually(lambda: sink.names() == ["more", "news"])


@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_a_watch_that_is_refused_for_a_while(cluster: Cluster, status: int) -> None:
    """The request is repeated by kopf itself; failed keys are retried when it works again."""
    sink = FakeSink()
    async with cluster.watching(cluster.build(sink)) as watch:
        with cluster.server.refusing(status, "watch", times=1, Retry_After="0"):
            cluster.server.cut()
            await eventually(lambda: f"answered {status}" in watch.health.problem)
            await change_is_seen(cluster, sink)
        assert watch.health.problem == ""
        assert cluster.restarts() == 0
        assert "recovered" in sink.calls


async def test_refused_credentials(cluster: Cluster) -> None:
    """A 401 ends kopf. It is started again when the credentials are taken, though nothing newer can be read."""
    sink = FakeSink()
    cluster.server.apply("rollouts", "a")
    async with cluster.watching(cluster.build(sink)) as watch:
        cluster.server.tokens = {"another"}
        cluster.kubeconfig.write_text("{")
        cluster.server.cut()
        await eventually(lambda: "answered 401" in watch.health.problem)
        assert sink.names() == ["a"]
        cluster.server.tokens = {"a-token"}
        await change_is_seen(cluster, sink)


async def test_a_rotated_token(cluster: Cluster) -> None:
    """After a 401 the login is read again, for kopf and for all other requests."""
    sink = FakeSink()
    async with cluster.watching(cluster.build(sink)):
        cluster.login._read_at -= 60
        cluster.server.tokens = {"the-next"}
        cluster.give_token("the-next")
        cluster.server.cut()
        await change_is_seen(cluster, sink)
        assert sink.calls.count("whole list") == 2
        assert await cluster.login.authorization() == "Bearer the-next"


async def test_a_swallowed_event(cluster: Cluster) -> None:
    """The next periodic list finds it, and kopf is started again: it may miss more."""
    sink = FakeSink()
    async with cluster.watching(cluster.build(sink, resync=0.3)):
        cluster.server.withholds = True
        cluster.server.apply("rollouts", "missed")
        cluster.server.withholds = False
        await eventually(lambda: "listed missed" in sink.calls)
        await change_is_seen(cluster, sink)


async def test_a_swallowed_deletion(cluster: Cluster) -> None:
    """As for any other event."""
    sink = FakeSink()
    cluster.server.apply("rollouts", "gone")
    async with cluster.watching(cluster.build(sink, resync=0.3)):
        cluster.server.withholds = True
        cluster.server.delete("rollouts", "gone")
        cluster.server.withholds = False
        await eventually(lambda: sink.names() == [])


async def test_periodic_lists(cluster: Cluster) -> None:
    """Nothing is lost between two runs of kopf, and none of them counts as a failure."""
    sink = FakeSink()
    async with cluster.watching(cluster.build(sink, resync=0.05)):
        for number in range(30):
            cluster.server.apply("rollouts", f"r{number}")
            await eventually(lambda: len(sink.names()) > number)  # noqa: B023
        await eventually(lambda: sink.calls.count("whole list") > 10)
        assert cluster.restarts() == 0


async def test_a_silent_stream(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ended by kopf's inactivity timeout."""
    sink = FakeSink()
    monkeypatch.setattr(kopf_run, "INACTIVITY_SECONDS", 0.4)
    async with cluster.watching(cluster.build(sink)):
        cluster.server.silent = True
        asked = cluster.server.asked["watch"]
        cluster.server.cut()
        await eventually(lambda: cluster.server.asked["watch"] > asked)
        cluster.server.silent = False
        await change_is_seen(cluster, sink)
        assert cluster.restarts() == 0


async def test_a_kopf_that_hangs(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that sends no requests any more is replaced, without waiting for its end."""
    sink = FakeSink()
    monkeypatch.setattr(kopf_run, "SILENT_SECONDS", 0.4)
    async with cluster.watching(cluster.build(sink)) as watch:
        await eventually(lambda: cluster.restarts() == 1)
        assert "sends no requests" in watch.health.problem
        await eventually(lambda: "recovered" in sink.calls)
        await change_is_seen(cluster, sink)


async def test_threads_of_kopf_that_never_end(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are counted, and no more are started than a process can bear: then it is not alive."""
    block = threading.Event()

    async def hang(**_: object) -> None:
        block.wait()

    monkeypatch.setattr(kopf, "operator", hang)
    monkeypatch.setattr(watch_module, "LIST_SECONDS", 0.05)
    monkeypatch.setattr(kopf_run, "UNSERVED_SECONDS", 0.1)
    sink = FakeSink()
    try:
        async with cluster.watching(cluster.build(sink), ready=False) as watch:
            await eventually(lambda: watch.health.not_alive() is not None)
            lists = sink.calls.count("whole list")
            await eventually(lambda: sink.calls.count("whole list") > lists + 1)
            assert sum(thread.name == "kopf Rollouts" for thread in threading.enumerate()) == MAX_HANGING + 1
            block.set()
            await eventually(lambda: watch.health.not_alive() is None)
    finally:
        block.set()


async def test_kopf_is_replaced_in_its_first_moments(cluster: Cluster) -> None:
    """Wherever in its start it is ended, its thread ends, and sends nothing more."""
    watch = cluster.build(FakeSink())
    for number in range(25):
        watch._start_kopf()
        await asyncio.sleep(number * 0.004)
        watch._runs[-1].give_up()
        watch._runs = watch._runs[-1:]
    await eventually(lambda: not any(thread.name == "kopf Rollouts" for thread in threading.enumerate()))
    assert not cluster.server.watches("rollouts")


async def test_a_task_of_kopf_that_misses_its_end(cluster: Cluster) -> None:
    """Its requests are repeated for ever: after the end, a request ends its task."""
    run = cluster.build(FakeSink())._start_kopf()
    await eventually(lambda: cluster.server.watches("rollouts"))
    run.give_up()
    async with cluster.login.open_session(run._middleware) as session:
        with pytest.raises(asyncio.CancelledError):
            await session.get(cluster.server.url)
    await eventually(lambda: not run.thread.is_alive())


async def test_kopf_ends_during_a_burst(cluster: Cluster) -> None:
    """Nothing is lost: neither the last versions nor the deletions."""
    sink = FakeSink()
    async with cluster.watching(cluster.build(sink)):
        for number in range(300):
            cluster.server.apply("rollouts", f"r{number % 60}")
            if number % 75 == 40:
                cluster.server.send_error(500)
            if number % 10 == 0:
                await asyncio.sleep(0)
                cluster.server.delete("rollouts", f"r{number % 60}")
        wanted = {
            key: (body["metadata"]["uid"], body["metadata"]["resourceVersion"])
            for key, body in cluster.server["rollouts"].objects.items()
        }
        await eventually(lambda: sink.objects == wanted)
        assert cluster.restarts() >= 1


async def test_both_kinds_fail_at_once(cluster: Cluster) -> None:
    """Neither watch leaves the other one hanging."""
    rollouts, deployments = FakeSink(), FakeSink()
    async with (
        cluster.watching(cluster.build(rollouts)),
        cluster.watching(cluster.build(deployments, "doradeployments")),
    ):
        cluster.server.send_error(500)
        await change_is_seen(cluster, rollouts)
        await change_is_seen(cluster, deployments, plural="doradeployments")
        assert cluster.restarts() == cluster.restarts("doradeployments") == 1
