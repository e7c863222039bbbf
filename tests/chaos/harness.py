"""An operator that is killed at chosen outgoing requests, and a record of what Datadog received.

Kill means: everything in memory is gone, between two requests or between a request's effect and its answer. A new
operator starts on the same cluster, as Kubernetes would start it.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from dora_operator.clients.kubernetes import Secret, Subject
from dora_operator.domain.events import EventNote
from dora_operator.domain.fields import ObjectKey
from tests.support.builders import NOW
from tests.support.fakes import FakeCluster, FakeDatadog, Operator, running_operator
from tests.support.tally import COLUMNS

ACCEPTED = httpx.Response(202, text='{"data":null}')


class KilledError(BaseException):
    """The process is gone. No handler of the operator's own may catch it."""


@dataclass
class Killer:
    """Counts outgoing requests, and kills before or after one of them."""

    at: frozenset[int] = frozenset()
    """Which requests, counted from 1 over all lives; negative: before it is sent, else after its effect."""
    count: int = 0
    kills: int = 0
    log: list[str] = field(default_factory=list)
    is_dead: bool = False
    """Killed in a task that nothing waits for: the next request shows it."""

    def before(self, what: str) -> int:
        """Count a request, and kill before it is sent."""
        self.count += 1
        self.log.append(what)
        if self.is_dead:
            self.is_dead = False
            raise KilledError
        self._kill_at(-self.count)
        return self.count

    def after(self, number: int) -> None:
        """Kill after its effect, before its answer."""
        self._kill_at(number)

    def _kill_at(self, number: int) -> None:
        if number in self.at:
            self.kills += 1
            raise KilledError


@dataclass
class KilledCluster(FakeCluster):
    """A cluster whose every request may be the operator's last."""

    killer: Killer = field(default_factory=Killer)

    async def write_status(self, key: ObjectKey, uid: str, status: Mapping[str, Any]) -> dict[str, Any]:
        """See KubernetesClient."""
        number = self.killer.before(f"status {key.name}")
        stored = await super().write_status(key, uid, status)
        self.killer.after(number)
        return stored

    async def post_event(self, subject: Subject, note: EventNote) -> None:
        """See KubernetesClient."""
        try:
            number = self.killer.before(f"event {note.reason}")
            await super().post_event(subject, note)
            self.killer.after(number)
        except KilledError:
            self.killer.is_dead = True

    async def apply_record(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """See KubernetesClient."""
        number = self.killer.before(f"record {manifest['metadata']['name']}")
        stored = await super().apply_record(manifest)
        self.killer.after(number)
        return stored

    async def delete_record(self, key: ObjectKey, uid: str) -> None:
        """See KubernetesClient."""
        number = self.killer.before(f"delete {key.name}")
        await super().delete_record(key, uid)
        self.killer.after(number)

    async def read_secret(self, key: ObjectKey) -> Secret:
        """See KubernetesClient."""
        number = self.killer.before(f"secret {key.name}")
        found = await super().read_secret(key)
        self.killer.after(number)
        return found

    async def list_replica_sets(self, namespace: str, labels: Mapping[str, str]) -> list[Mapping[str, Any]]:
        """See KubernetesClient."""
        number = self.killer.before("replicasets")
        found = await super().list_replica_sets(namespace, labels)
        self.killer.after(number)
        return found

    async def read_annotations(self, namespace: str) -> Mapping[str, str]:
        """See KubernetesClient."""
        number = self.killer.before("namespace")
        found = await super().read_annotations(namespace)
        self.killer.after(number)
        return found


@dataclass
class KilledDatadog(FakeDatadog):
    """A Datadog whose every request may be the operator's last, and that fails on demand."""

    killer: Killer = field(default_factory=Killer)
    failure: Callable[[], httpx.Response | Exception | None] = lambda: None
    applied: list[httpx.Request] = field(default_factory=list)
    """What took effect, in order."""

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        number = self.killer.before(f"{request.method} {request.url.path}")
        failure = self.failure()
        self.answers = [failure or ACCEPTED]
        if failure is None:
            self.applied.append(request)
        answer = await super().__call__(request)
        self.killer.after(number)
        return answer

    def marks(self) -> dict[str, dict[str, Any]]:
        """Return what Datadog holds in the end, by deployment."""
        held: dict[str, dict[str, Any]] = {}
        for request in self.applied:
            data = json.loads(request.content)["data"]
            attributes = dict(data["attributes"])
            names = {name: attributes.pop(name) for name in ("service", "env", "version") if name in attributes}
            key = data.get("id") or json.dumps(names, sort_keys=True)
            held.setdefault(key, {}).update(attributes)
        return held


@dataclass
class Environment:
    """A cluster and a Datadog that outlive operators."""

    killer: Killer
    settings: dict[str, Any] = field(default_factory=dict)
    cluster: KilledCluster = field(init=False)
    datadog: KilledDatadog = field(init=False)
    rollouts: dict[ObjectKey, dict[str, Any]] = field(default_factory=dict)
    now: datetime = NOW

    def __post_init__(self) -> None:
        """Make both."""
        self.cluster = KilledCluster(killer=self.killer)
        self.datadog = KilledDatadog(killer=self.killer)

    async def live(self, steps: list[Callable[[Operator], Awaitable[None]]]) -> None:
        """Take the steps one after the other; a step that is interrupted counts as taken: the environment took it."""
        position = 0
        for _ in range(len(steps) + len(self.killer.at) + 2):
            try:
                async with self._operator() as operator:
                    self._list(operator)
                    await operator.settle()
                    while position < len(steps):
                        step, position = steps[position], position + 1
                        await step(operator)
                        self.now = operator.now
                        await operator.settle()
                    await operator.pass_time(400)
                    return
            except KilledError:
                self.cluster.report = lambda *_: None
        raise AssertionError("more lives than kills")

    def _operator(self) -> AbstractAsyncContextManager[Operator]:
        return running_operator(self.cluster, self.datadog, now=self.now, **self.settings)

    def _list(self, operator: Operator) -> None:
        operator.rollouts_listed(*self.rollouts.values())


@dataclass
class Tally:
    """What many runs came to, for the table at the end."""

    runs: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    repeats: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, environment: Environment, *, undisturbed: int, wrong: bool) -> None:
        """Count one run."""
        self.runs[name] += 1
        self.kills[name] += environment.killer.kills
        self.requests[name] += len(environment.datadog.requests)
        self.repeats[name] += max(0, len(environment.datadog.requests) - undisturbed)
        self.wrong[name] += wrong

    def taken(self) -> dict[str, dict[str, int]]:
        """Return the counts by run and column, and start again from nothing."""
        columns = (self.runs, self.kills, self.requests, self.repeats, self.wrong)
        named = dict(zip(COLUMNS, columns, strict=True))
        found = {name: {head: column[name] for head, column in named.items()} for name in self.runs}
        for column in columns:
            column.clear()
        return found


TALLY = Tally()
