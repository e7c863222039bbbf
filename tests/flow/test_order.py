"""Unsent failures of workloads go first; namespaces take turns; the read of a late mark waits for no other mark."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest

from dora_operator.domain.fields import ObjectKey
from tests.support.builders import NOW
from tests.support.fakes import FakeCluster, Operator, running_operator
from tests.support.levels import Rollout, play
from tests.support.reading_back import wait
from tests.support.storing import StoringDatadog

LIMIT, PERIOD = 30, 60
BACKLOG = 600
DOWN = httpx.Response(503)
ABORTED = ("deploy h1 1", "promote", "deploy h2 2", "abort")
RECORD = ObjectKey("shop", "checkout-h2")


@dataclass
class Limited(StoringDatadog):
    """Lets 30 requests through in each minute, whatever they are about. Marks by id are accepted at once."""

    marked: list[str] = field(default_factory=list)
    """Ids, or versions, of accepted marks in their order."""
    refused: int = 0
    _used: dict[int, int] = field(default_factory=dict)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Count, then answer."""
        window = int(self.now // PERIOD)
        used = self._used[window] = self._used.get(window, 0) + 1
        self.refused += used > LIMIT
        data = json.loads(request.content)["data"] if request.method == "PATCH" else {}
        by_id = str(data.get("id", "")).startswith("other-")
        answer = httpx.Response(202) if by_id and self.before is _nothing else await super().__call__(request)
        if answer.status_code == httpx.codes.ACCEPTED:
            self.marked.append(data.get("id") or data["attributes"]["version"])
        left = {"X-RateLimit-Remaining": str(max(0, LIMIT - used)), "X-RateLimit-Reset": str(self._seconds_left())}
        return httpx.Response(answer.status_code, headers=left, content=answer.content)

    def _seconds_left(self) -> int:
        return PERIOD - int(self.now % PERIOD)


def _nothing(_: httpx.Request) -> None:
    return None


@dataclass
class Answering(FakeCluster):
    """The answer to the write of a record comes before its watch event, or after it."""

    answers_first: bool = False

    async def apply_record(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """See FakeCluster: its event comes first."""
        if not self.answers_first:
            return await super().apply_record(manifest)
        report, self.report = self.report, lambda *_: None
        body = await super().apply_record(manifest)
        self.report = report
        return body


def backlog(cluster: FakeCluster, count: int = BACKLOG, namespace: str = "shop") -> None:
    """Let marks wait that users asked for."""
    for number in range(count):
        mark = {"deployment": {"id": f"other-{namespace}-{number}"}, "changeFailure": True}
        cluster.apply(f"other-{number}", namespace=namespace, age_seconds=3600, **mark)


async def until_marked(operator: Operator, datadog: Limited, what: str, seconds: float = 400) -> int:
    """Let time pass until a mark is accepted, and return how many were accepted before it, from now on."""
    before, begun = len(datadog.marked), operator.now
    while what not in datadog.marked[before:]:
        assert operator.now - begun < timedelta(seconds=seconds), f"{what} is not marked"
        await operator.pass_time(1)
    return datadog.marked.index(what, before) - before


def limited() -> Limited:
    """Return a Datadog that stores and has a limit."""
    return Limited(before=_nothing)


@pytest.mark.parametrize("answers_first", [True, False], ids=["the answer is first", "the watch is first"])
async def test_an_abort_goes_before_a_backlog_that_is_older_than_a_minute(*, answers_first: bool) -> None:
    """600 marks wait for the limit of 30 a minute; the abort is the first of the next minute."""
    cluster, datadog = Answering(answers_first=answers_first), limited()
    backlog(cluster)
    async with running_operator(cluster, datadog) as operator:
        datadog.operator = operator
        await wait(operator, 130, 10)
        await play(operator, Rollout(), *ABORTED, seconds=1)
        assert await until_marked(operator, datadog, "2") <= 1
    assert datadog.refused == 0


async def test_an_abort_that_failed_is_first_again() -> None:
    """Each 503 costs it one window at most: it is the first of the next one."""
    cluster, datadog = FakeCluster(), limited()
    backlog(cluster)
    failures = [DOWN, DOWN]

    def fail(request: httpx.Request) -> httpx.Response | None:
        is_mark = request.method == "PATCH" and b'"version"' in request.content
        if is_mark and failures:
            return failures.pop()
        return httpx.Response(202) if request.method == "PATCH" and not is_mark else None

    async with running_operator(cluster, datadog) as operator:
        datadog.operator, datadog.before = operator, fail
        await wait(operator, 130, 10)
        await play(operator, Rollout(), *ABORTED, seconds=1)
        assert await until_marked(operator, datadog, "2") < 2 * LIMIT
        assert failures == []


async def test_an_abort_during_an_outage_of_the_api_server_is_first_after_it() -> None:
    """Its record could not be written; when the API server answers again, it goes before the backlog."""
    cluster, datadog, rollout = FakeCluster(), limited(), Rollout()
    backlog(cluster)
    async with running_operator(cluster, datadog) as operator:
        datadog.operator = operator
        await play(operator, rollout, *ABORTED[:3], seconds=1)
        cluster.down = True
        await play(operator, rollout, "abort", seconds=1)
        await wait(operator, 100, 10)
        cluster.down = False
        operator.app.workloads.recovered()
        operator.app.deployments.recovered()
        assert await until_marked(operator, datadog, "2") <= 1


async def test_an_abort_that_was_not_sent_before_a_restart_is_first_after_it() -> None:
    """The class follows from the status, not from what queued it."""
    cluster, datadog = FakeCluster(), limited()
    backlog(cluster)
    async with running_operator(cluster, datadog) as operator:
        datadog.operator = operator
        await play(operator, Rollout(), *ABORTED, seconds=1)
        assert cluster.status(RECORD.name)["source"]["verdict"] == "Aborted"
        assert "2" not in datadog.marked
    later = operator.now + timedelta(seconds=10)
    async with running_operator(cluster, datadog, now=later, leads=False) as operator:
        datadog.operator = operator
        operator.lead()
        assert await until_marked(operator, datadog, "2") <= 1


async def test_namespaces_take_turns() -> None:
    """A namespace with 600 marks delays the one mark of another by a few requests, not by all of its own."""
    cluster, datadog = FakeCluster(), limited()
    backlog(cluster)
    async with running_operator(cluster, datadog) as operator:
        datadog.operator = operator
        await wait(operator, 130, 10)
        backlog(cluster, 1, "pay")
        assert await until_marked(operator, datadog, "other-pay-0") <= 3


async def test_a_late_mark_waits_for_no_other_mark() -> None:
    """Datadog was away for five minutes. The version ran before: the deployment has to be found first."""
    cluster, datadog = FakeCluster(), limited()
    datadog.before = lambda _: DOWN
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        backlog(cluster)
        again = ("promote", "deploy h3 3", "promote", "deploy h4 2", "abort")
        await play(operator, Rollout(), *ABORTED[:3], *again, seconds=60)
        failed = datadog.deployed("2", finished=operator.now)
        await wait(operator, 300, 10)
        datadog.before = _nothing
        assert await until_marked(operator, datadog, failed) <= LIMIT
    assert cluster.status("checkout-h4-4")["target"]["id"] == failed


async def test_a_bucket_of_reads_that_is_used_up_delays_no_mark() -> None:
    """X-RateLimit-Name says that lists have a limit of their own."""
    cluster, datadog = FakeCluster(), StoringDatadog()
    reads = {"X-RateLimit-Name": "dora_read", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "3500"}
    writes = {"X-RateLimit-Name": "dora_write", "X-RateLimit-Remaining": "599", "X-RateLimit-Reset": "60"}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH":
            return httpx.Response(202, headers=writes)
        return httpx.Response(200, headers=reads, json={"data": []})

    datadog.before = answer
    cluster.apply("a", deployment={"service": "checkout", "env": "prod", "version": "1"}, changeFailure=True)
    async with running_operator(cluster, datadog, read_back=True) as operator:
        await wait(operator, 40)
        assert datadog.calls() == ["mark", "list"]
        cluster.apply("b", deployment={"id": "another-deployment"}, changeFailure=True)
        await operator.pass_time(1)
    assert datadog.calls() == ["mark", "list", "mark"]
    assert operator.now < NOW + timedelta(seconds=60)
