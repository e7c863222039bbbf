"""What reading back costs: lists for many marks of one service, nothing for settled resources, nothing for a mark."""

import asyncio
import copy
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from dora_operator.domain.fields import ObjectKey
from sandbox import virtual
from tests.flow.test_read_back_faults import running
from tests.support.builders import NOW
from tests.support.fakes import NAMESPACE, FakeCluster, Operator, running_operator
from tests.support.levels import Rollout, play
from tests.support.reading_back import DAY, VERSION, condition, wait
from tests.support.storing import StoringDatadog

MARKS = 1000
MOST_LISTS = 30
"""In the first hour of a thousand marks of one service and env."""
LATENCY = {"PATCH": 0.118, "POST": 4.0}
"""Seconds; lists are far slower than any that was recorded."""


@pytest.fixture
def datadog() -> StoringDatadog:
    """Return a Datadog that stores."""
    return StoringDatadog()


NOT_EVALUATED = {"evaluation_delay": DAY, "marks_before_evaluation": False}


@pytest.mark.parametrize(
    ("present", "settings", "reason", "times"),
    [
        pytest.param(True, {}, "ReadBack", 1, id="all are there"),
        pytest.param(False, {}, "DeploymentMissing", 1, id="all are missing"),
        pytest.param(True, NOT_EVALUATED, "NotEvaluated", 3, id="not evaluated: sent again after the later reads"),
        pytest.param(True, {"permissions": ["dora_metrics_write"]}, "ReadForbidden", 1, id="the keys may not read"),
    ],
)
async def test_a_thousand_marks_of_one_service_in_the_first_hour(
    cluster: FakeCluster,
    present: bool,  # noqa: FBT001
    settings: dict[str, Any],
    reason: str,
    times: int,
) -> None:
    """They are accepted over a minute, as a rate limit may spread them: at most 30 lists, and each gets its reads."""
    datadog = StoringDatadog(settings=settings)
    async with running(cluster, datadog) as operator:
        for number in range(MARKS):
            version = f"v{number}"
            if present:
                datadog.deployed(version, finished=NOW - timedelta(seconds=number))
            cluster.apply(f"a{number}", deployment=VERSION | {"version": version}, changeFailure=True)
            if number % 50 == 0:
                await operator.pass_time(3)
        await wait(operator, 200)
        await wait(operator, 500, 20)
        await wait(operator, 3600 - 760, 100)
        found = {condition(cluster, f"a{number}")[1] for number in range(MARKS)}
    assert found == {reason}
    assert datadog.calls("mark") == ["mark"] * MARKS * times
    assert 1 <= len(datadog.calls("list", "get")) <= MOST_LISTS


async def settled(cluster: FakeCluster, datadog: StoringDatadog, seconds: float, count: int) -> Operator:
    """Verify one mark and let time pass; then so many resources have its status."""
    deployment_id = datadog.deployed("2")
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running(cluster, datadog) as operator:
        await wait(operator, 60)
        await wait(operator, seconds - 60, 600)
    assert condition(cluster, "a") == ("True", "ReadBack")
    (body,) = cluster.objects.values()
    for number in range(count):
        tags, twin = {"service": f"s{number % 100}", "version": f"v{number}"}, copy.copy(body)
        twin["metadata"] = body["metadata"] | {"name": f"a{number}", "uid": f"uid-{number}"}
        twin["spec"] = body["spec"] | {"deployment": VERSION | tags}
        status, known = body["status"], {"id": f"{deployment_id}-{number}"}
        twin["status"] = status | {"target": status["target"] | tags | known, "readBack": status["readBack"] | known}
        cluster.objects[ObjectKey(NAMESPACE, f"a{number}")] = twin
    return operator


@pytest.mark.parametrize(
    ("seconds", "count"),
    [
        pytest.param(2 * DAY, 10_000, id="ten thousand whose reads were all made"),
        pytest.param(3600.0, 1000, id="a thousand whose last read is to come"),
    ],
)
async def test_verified_resources_cost_nothing(
    cluster: FakeCluster, datadog: StoringDatadog, seconds: float, count: int
) -> None:
    """Neither a read nor a write over ten idle minutes, and neither after a restart."""
    operator = await settled(cluster, datadog, seconds, count)
    datadog.requests.clear()
    cluster.status_writes = 0
    ended: datetime | None = None
    for _ in range(2):
        async with running(cluster, datadog, now=operator.now, led_until=ended) as operator:
            assert max(operator.app.deployment_workers.queue.ages(), default=-1) < 0  # nothing is due
            await wait(operator, 600, 60)
            ended = operator.now
            assert operator.app.deployments.store.get(ObjectKey(NAMESPACE, "a777")) is not None
    assert datadog.calls() == []
    assert cluster.status_writes == 0


@pytest.mark.parametrize("recovery", ["None", "NextVersion"])
async def test_reading_back_adds_nothing_before_a_mark(recovery: str) -> None:
    """From an abort to its PATCH: the same requests to Kubernetes and to Datadog, with read-back and without."""
    before = {}
    for read_back in (True, False):
        cluster, datadog = FakeCluster(), StoringDatadog()
        datadog.deployed("2", finished=NOW + timedelta(seconds=18))
        writes: list[tuple[int, int, dict[str, int]]] = []

        def note(request: Any, cluster: FakeCluster = cluster, writes: Any = writes) -> None:
            if request.method == "PATCH":
                writes.append((cluster.record_writes, cluster.status_writes, dict(cluster.reads)))

        datadog.before = note
        async with running_operator(cluster, datadog, read_back=read_back, abort_recovery=recovery) as operator:
            datadog.operator = operator
            await play(operator, Rollout(), "deploy h1 1", "promote", "deploy h2 2", "abort")
        before[read_back] = writes[0], datadog.calls()[: datadog.calls().index("mark")]
    assert before[True] == before[False]
    assert before[True][1] == []


@dataclass
class SlowDatadog(StoringDatadog):
    """Stores, after a while, and notes when each mark was answered."""

    answered: dict[str, float] = field(default_factory=dict)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        await asyncio.sleep(LATENCY[request.method])
        answer = await super().__call__(request)
        if request.method == "PATCH":
            version = json.loads(request.content)["data"]["attributes"]["version"]
            self.answered[version] = asyncio.get_running_loop().time()
        return answer


async def answered(*, read_back: bool) -> tuple[dict[str, float], int]:
    """Return when the marks of a burst were answered that comes while reads are under way, and how many these are."""
    cluster, datadog, loop = FakeCluster(), SlowDatadog(), asyncio.get_running_loop()
    for number in range(200):
        datadog.deployed(f"v{number}", service=f"s{number}")
    async with running_operator(
        cluster, datadog, time=lambda: NOW + timedelta(seconds=loop.time()), read_back=read_back
    ) as operator:
        datadog.operator = operator
        working = asyncio.create_task(operator.app.deployment_workers.run())
        for first, until in ((0, 40.0), (100, 100.0)):
            for number in range(first, first + 100):
                tags = {"service": f"s{number}", "version": f"v{number}"}
                cluster.apply(f"a{number}", deployment=VERSION | tags, changeFailure=True)
            await asyncio.sleep(until - loop.time())
        reads = len(datadog.calls("list"))
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await operator.app.deployment_workers.finish(0)
    return datadog.answered, reads


def test_a_mark_does_not_wait_for_a_read() -> None:
    """A hundred marks at once while reads take 4 s each: each is answered at the same time as without read-back."""
    (times, reads), (without, none) = virtual.run(answered(read_back=True)), virtual.run(answered(read_back=False))
    assert reads > 0 == none
    assert len(times) == 200
    assert times == pytest.approx(without, abs=0.01)
