"""Several workers at once: never two requests for one Datadog deployment, and no defect stops the others."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from dora_operator import workers as workers_module
from dora_operator.domain.fields import ObjectKey
from tests.support.fakes import FakeCluster, FakeDatadog, Operator, running_operator

WORKERS = 8


async def served(operator: Operator) -> None:
    """Wait until nothing is due and nobody works."""
    async with asyncio.timeout(5):
        while operator.app.deployment_workers.queue.busy or len(operator.app.deployment_workers.queue):  # noqa: ASYNC110 - a bounded wait
            await asyncio.sleep(0.005)


class Crowd(FakeDatadog):
    """Answers slowly and counts what is served at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.open: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer after a moment."""
        path = request.url.path
        self.open[path] += 1
        self.most[path] = max(self.most[path], self.open[path])
        self.most["all"] = max(self.most["all"], sum(self.open.values()))
        await asyncio.sleep(0.01)
        self.open[path] -= 1
        return await super().__call__(request)


class SlowCluster(FakeCluster):
    """Takes longer to write a status than Datadog takes to answer."""

    async def write_status(self, key: ObjectKey, uid: str, status: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write after a moment."""
        await asyncio.sleep(0.05)
        return await super().write_status(key, uid, status)


async def ended(tasks: list[asyncio.Task[None]]) -> None:
    """End workers."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_request_at_a_time_for_one_deployment() -> None:
    """Resources of several namespaces that mark the same deployment take turns; others go side by side."""
    cluster, datadog = FakeCluster(), Crowd()
    async with running_operator(cluster, datadog) as operator:
        workers = [asyncio.create_task(operator.app.deployment_workers.run())]
        for number in range(6):
            cluster.apply(f"same-{number}", namespace=f"team-{number}", changeFailure=True)
            cluster.apply(f"other-{number}", deployment={"id": f"deployment-{number}"}, changeFailure=True)
        await served(operator)
        await ended(workers)
    assert len(datadog.requests) == 12
    assert datadog.most["/api/v2/dora/deployments/43vkaZNgiso"] == 1
    assert datadog.most["all"] > 1


async def test_a_backlog_is_examined_twice() -> None:
    """Once to find the account full, once to send: an answer calls as many as have capacity, not many more."""
    cluster, datadog, count = SlowCluster(), Crowd(), 200
    async with running_operator(cluster, datadog) as operator:
        workers = [asyncio.create_task(operator.app.deployment_workers.run())]
        for number in range(count):
            cluster.apply(f"a-{number}", deployment={"id": f"deployment-{number}"}, changeFailure=True)
        await served(operator)
        await ended(workers)
    assert len(datadog.requests) == count
    reconciles = operator.metrics.registry.get_sample_value(
        "dora_operator_reconciles_total", {"kind": "DoraDeployment", "result": "done"}
    )
    assert reconciles is not None
    assert reconciles <= 2.1 * count


async def test_a_defect_of_ours_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """A reconcile that breaks is logged and tried again after a pause; the worker goes on with the others."""
    cluster, datadog = FakeCluster(), FakeDatadog()
    datadog.answers = [RuntimeError("a defect"), *datadog.answers]
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("broken", changeFailure=True)
        cluster.apply("whole", deployment={"id": "X9RMqDwK-4c"}, changeFailure=True)
        await operator.settle()
        assert cluster.status("whole")["accepted"] == {"changeFailure": True}
        assert "DoraDeployment shop/broken: the reconcile failed" in caplog.text
        await operator.pass_time(1)
    assert cluster.status("broken")["accepted"] == {"changeFailure": True}
    assert len(datadog.requests) == 3


async def test_what_never_ends_is_restarted_after_a_defect(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch that breaks with an error of ours is logged and started again."""
    monkeypatch.setattr(workers_module, "RESTART_SECONDS", 0.0)
    runs = []

    async def watch() -> None:
        runs.append(1)
        if len(runs) > 1:
            await asyncio.Event().wait()
        raise KeyError("metadata")

    task = asyncio.create_task(workers_module.forever("the watch", watch))
    async with asyncio.timeout(5):
        while len(runs) < 2:  # noqa: ASYNC110 - a bounded wait
            await asyncio.sleep(0)
    task.cancel()
    assert "the watch ended unexpectedly and is started again" in caplog.text


async def test_a_stop_lets_requests_under_way_finish() -> None:
    """At the end, what Datadog has been asked is waited for and written down."""
    cluster, datadog = FakeCluster(), FakeDatadog(release=asyncio.Event())
    async with running_operator(cluster, datadog, workers=1) as operator:
        workers = [asyncio.create_task(operator.app.deployment_workers.run())]
        cluster.apply("a", changeFailure=True)
        cluster.apply("b", deployment={"id": "X9RMqDwK-4c"}, changeFailure=True)
        async with asyncio.timeout(5):
            while not datadog.requests:  # noqa: ASYNC110 - a bounded wait
                await asyncio.sleep(0.005)
        stopping = asyncio.create_task(operator.app.deployment_workers.finish(5))
        await asyncio.sleep(0.02)
        assert datadog.release is not None
        datadog.release.set()
        await stopping
        await ended(workers)
    assert len(datadog.requests) == 1
    assert cluster.status("a")["accepted"] == {"changeFailure": True}


async def test_nothing_is_taken_after_the_end() -> None:
    """A key that comes while the process ends is left to the next one."""
    cluster, datadog = FakeCluster(), FakeDatadog()
    async with running_operator(cluster, datadog, workers=1) as operator:
        workers = [asyncio.create_task(operator.app.deployment_workers.run())]
        await asyncio.sleep(0)  # the worker waits for a key
        await operator.app.deployment_workers.finish(5)
        cluster.apply("a", changeFailure=True)
        cluster.apply("b", deployment={"id": "X9RMqDwK-4c"}, changeFailure=True)
        async with asyncio.timeout(5):
            await asyncio.gather(*workers)  # it ends by itself
    assert datadog.requests == []
