"""Many workers at once between a Datadog and an API server that answer when they like: the rules that always hold.

Unlike `harness`, where one thing happens after the other: here the same key, deployment and account are wanted by many.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx

from dora_operator.clients.errors import KubernetesError
from dora_operator.clients.kubernetes import Secret
from dora_operator.domain.fields import ObjectKey
from dora_operator.workers import forever
from tests.support.builders import NOW
from tests.support.fakes import FakeCluster, FakeDatadog, Operator, running_operator

MOST_AT_ONCE = 8
WORKERS = 16
Account = tuple[str, str]


@dataclass
class StormyDatadog(FakeDatadog):
    """Answers late, wrongly or never, and notes each request that should not have been sent then."""

    rng: random.Random = field(default_factory=random.Random)
    failures: float = 0.0
    held: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)
    """What it received, by deployment."""
    closed: dict[Account, float] = field(default_factory=dict)
    """Until when an account has to wait, by an answer to this process."""
    broken: list[str] = field(default_factory=list)
    count: int = 0
    _under_way: Counter[object] = field(default_factory=Counter)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Check, then answer one request."""
        account = request.url.host, request.headers["dd-api-key"]
        deployment, attributes = _read(request, account)
        deployment_key = deployment if deployment[1] == "id" else (deployment[0], *deployment[3:])
        self.count += 1
        self._check(account, deployment_key)
        self._under_way.update([account, deployment_key])
        try:
            return await self._answer(account, deployment, attributes)
        finally:
            self._under_way.subtract([account, deployment_key])

    def _check(self, account: Account, deployment_key: tuple[str, ...]) -> None:
        now = asyncio.get_running_loop().time()
        if now < self.closed.get(account, 0.0):
            self.broken.append(f"{now:.3f}: {account} before its reset at {self.closed[account]:.3f}")
        if self._under_way[account] >= MOST_AT_ONCE:
            self.broken.append(f"{now:.3f}: {account} has too many at once")
        if self._under_way[deployment_key]:
            self.broken.append(f"{now:.3f}: two at once about {deployment_key}")

    async def _answer(
        self, account: Account, deployment: tuple[str, ...], attributes: dict[str, Any]
    ) -> httpx.Response:
        failures = ("503", "429", "429 alone", "404", "refused", "lost", "silent")
        what = self.rng.choice(failures) if self.rng.random() < self.failures else "202"
        await asyncio.sleep(self.rng.choice((0.001, 0.05, 0.3)))
        if what in {"202", "lost"}:
            self.held.setdefault(deployment, {}).update(attributes)
        await asyncio.sleep(self.rng.choice((0.001, 0.05)))
        match what:
            case "202":
                return httpx.Response(202, text='{"data":null}')
            case "429":
                seconds = self.rng.choice((0, 1, 3, 20))
                until = asyncio.get_running_loop().time() + seconds
                self.closed[account] = max(until, self.closed.get(account, 0.0))
                return httpx.Response(429, headers={"X-RateLimit-Reset": str(seconds)})
            case "silent":
                await asyncio.sleep(60)
            case "lost" | "refused":
                raise httpx.ReadError(what)
        return httpx.Response(int(what[:3]), headers={"X-RateLimit-Reset": "not-a-number"})


def _read(request: httpx.Request, account: Account) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return which deployment is meant, as far as one account can distinguish, and its attributes."""
    data = json.loads(request.content)["data"]
    attributes = dict(data["attributes"])
    if "id" in data:
        return (account[0], "id", data["id"]), attributes
    return (
        account[0],
        "version",
        account[1],
        *(attributes.pop(name) for name in ("service", "env", "version")),
    ), attributes


@dataclass
class StormyCluster(FakeCluster):
    """Answers late, and now and then not at all; an answer that is lost has had its effect."""

    rng: random.Random = field(default_factory=random.Random)
    failures: float = 0.0

    async def write_status(self, key: ObjectKey, uid: str, status: Mapping[str, Any]) -> dict[str, Any]:
        """See KubernetesClient."""
        await self._late()
        stored = await super().write_status(key, uid, status)
        await self._late()
        return stored

    async def read_secret(self, key: ObjectKey) -> Secret:
        """See KubernetesClient."""
        await self._late()
        return await super().read_secret(key)

    async def read_annotations(self, namespace: str) -> Mapping[str, str]:
        """See KubernetesClient: the lists are those of one namespace."""
        await self._late()
        return await super().read_annotations(namespace) if namespace == "shop" else {}

    async def _late(self) -> None:
        await asyncio.sleep(self.rng.choice((0.0, 0.002, 0.05)))
        if self.rng.random() < self.failures:
            raise KubernetesError("a failure was requested")


@asynccontextmanager
async def process(cluster: StormyCluster, datadog: StormyDatadog) -> AsyncIterator[Operator]:
    """Run an operator with all its workers; at the end it is killed, whatever is under way."""
    datadog.closed.clear()  # statuses hold what a former one received, where no one has edited these since

    def time() -> datetime:
        return NOW + timedelta(seconds=asyncio.get_running_loop().time())

    async with running_operator(cluster, datadog, time=time, workers=WORKERS) as operator:
        running = [_polling(operator), forever("the workers", operator.app.deployment_workers.run)]
        tasks = [asyncio.create_task(each) for each in running]
        try:
            yield operator
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await operator.app.deployment_workers.finish(0)


async def _polling(operator: Operator) -> None:
    while True:
        await asyncio.sleep(2.0)
        await operator.app.poll_secrets()
