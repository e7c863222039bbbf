"""Small stand-ins for the ports: a cluster in memory, and a whole operator around it without kopf.

The cluster keeps the rules of the API server that matter here: generations, resource versions, uids, merge patches.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx

from dora_operator.adapters.datadog import DatadogApi
from dora_operator.domain.backoff import RetryPolicy
from dora_operator.domain.notices import WarningEvent
from dora_operator.domain.reasons import Reason
from dora_operator.domain.sites import Site
from dora_operator.handlers.engine import Engine
from dora_operator.inventory import Inventory
from dora_operator.ports import ClusterUnavailableError, Keys, NoKeys, ObjectGoneError, ObjectKey, SecretView
from dora_operator.reconcile.accounts import Accounts
from dora_operator.reconcile.reconciler import Reconciler
from dora_operator.reconcile.secret_watch import SecretWatch
from dora_operator.reconcile.surroundings import Options
from dora_operator.reconcile.writer import StatusWriter
from dora_operator.workqueue import WorkQueue
from tests.support.builders import BY_ID, NOW

NAMESPACE = "shop"


def merge(target: Any, patch: Any) -> Any:
    """Apply a merge patch (RFC 7386)."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


@dataclass
class FakeCluster:
    """Objects in memory; `watch` is told of each change as the API server would."""

    objects: dict[ObjectKey, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[ObjectKey, SecretView] = field(default_factory=dict)
    warnings: list[tuple[str, WarningEvent]] = field(default_factory=list)
    status_writes: int = 0
    down: bool = False
    watch: Callable[[str, Mapping[str, Any]], None] = lambda *_: None
    _versions: int = 100

    def apply(self, name: str, *, age_seconds: float = 0, namespace: str = NAMESPACE, **spec: Any) -> None:
        """Create or change an object, as `kubectl apply` does."""
        key = ObjectKey(namespace, name)
        spec = {"deployment": BY_ID} | spec
        before = self.objects.get(key)
        if before is None:
            created = (NOW - timedelta(seconds=age_seconds)).isoformat()
            metadata = {"namespace": namespace, "name": name, "uid": f"{name}-{self._versions}", "generation": 1}
            metadata["creationTimestamp"] = created
            self._store("ADDED", {"metadata": metadata, "spec": spec, "status": {"observedGeneration": -1}})
        elif before["spec"] != spec:
            generation = before["metadata"]["generation"] + 1
            self._store(
                "MODIFIED", before | {"spec": spec, "metadata": before["metadata"] | {"generation": generation}}
            )

    def delete(self, name: str, namespace: str = NAMESPACE) -> None:
        """Delete an object."""
        self.watch("DELETED", self.objects.pop(ObjectKey(namespace, name)))

    def put_secret(self, name: str, api_key: str, namespace: str = NAMESPACE) -> None:
        """Create or change a Secret."""
        self._versions += 1
        self.secrets[ObjectKey(namespace, name)] = SecretView(str(self._versions), Keys(api_key, "app"))

    def status(self, name: str, namespace: str = NAMESPACE) -> dict[str, Any]:
        """Return the stored status."""
        found: dict[str, Any] = self.objects[ObjectKey(namespace, name)]["status"]
        return found

    async def list_deployments(self, namespace: str | None) -> AsyncIterator[Mapping[str, Any]]:
        """Implement the port."""
        self._check()
        for key, item in list(self.objects.items()):
            if namespace in (None, key.namespace):
                yield item

    async def write_status(self, key: ObjectKey, uid: str, status: Mapping[str, Any]) -> Mapping[str, Any]:
        """Implement the port."""
        await asyncio.sleep(0)
        self._check()
        before = self.objects.get(key)
        if before is None or before["metadata"]["uid"] != uid:
            raise ObjectGoneError
        self.status_writes += 1
        return self._store("MODIFIED", before | {"status": merge(before["status"], status)})

    async def read_secret(self, key: ObjectKey) -> SecretView:
        """Implement the port."""
        await asyncio.sleep(0)
        self._check()
        return self.secrets.get(key, SecretView("", NoKeys(Reason.CREDENTIALS_NOT_FOUND, f"no Secret {key}")))

    async def post_warning(self, key: ObjectKey, uid: str, warning: WarningEvent) -> None:
        """Implement the port."""
        assert uid
        self._check()
        self.warnings.append((key.name, warning))

    def _check(self) -> None:
        if self.down:
            raise ClusterUnavailableError("the API server is down")

    def _store(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        self._versions += 1
        body = body | {"metadata": body["metadata"] | {"resourceVersion": str(self._versions)}}
        self.objects[ObjectKey(body["metadata"]["namespace"], body["metadata"]["name"])] = body
        self.watch(kind, body)
        return body


@dataclass
class FakeDatadog:
    """Answers requests from a script; the last answer repeats. Records what arrived."""

    answers: list[httpx.Response | Exception] = field(
        default_factory=lambda: [httpx.Response(202, text='{"data":null}')]
    )
    requests: list[httpx.Request] = field(default_factory=list)
    release: asyncio.Event | None = None
    """Where set, answers wait for it."""
    most_at_once: int = 0
    _now: int = 0

    def __post_init__(self) -> None:
        """Begin with nobody waiting."""
        self._open: dict[str, int] = {}

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request, as an httpx.MockTransport handler."""
        self.requests.append(request)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            if self.release is not None:
                await self.release.wait()
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        finally:
            self._now -= 1
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


@dataclass
class Operator:
    """The whole operator but kopf, on a clock that tests move."""

    cluster: FakeCluster
    datadog: FakeDatadog
    engine: Engine
    now: datetime = NOW

    async def settle(self) -> None:
        """Serve every key that is due."""
        for _ in range(10_000):
            try:
                async with asyncio.timeout(0.005):
                    key = await self.engine.queue.take()
            except TimeoutError:
                return
            await self.engine.visit(key)
            self.engine.queue.done(key)
        raise AssertionError("the queue never empties")

    async def pass_time(self, seconds: float) -> None:
        """Move the clock and serve what is due then."""
        self.now += timedelta(seconds=seconds)
        await self.settle()

    async def look_at_secrets(self) -> None:
        """Do one round of looking at Secrets, and what follows."""
        await self.engine.look_at_secrets_once()
        await self.settle()


@asynccontextmanager
async def running_operator(
    cluster: FakeCluster,
    datadog: FakeDatadog,
    *,
    own_keys: Keys | NoKeys = Keys("own-api", "own-app"),  # noqa: B008 - frozen
    dry_run: bool = False,
    policy: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
) -> AsyncIterator[Operator]:
    """Start an operator on a cluster: list, then serve what is due."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(datadog)) as client:
        api = DatadogApi(client, base_url=None, timeout_seconds=5)
        inventory, secrets = Inventory(), SecretWatch(cluster)
        operator: Operator

        def clock() -> datetime:
            return operator.now

        reconciler = Reconciler(
            inventory=inventory,
            accounts=Accounts(cluster, own_keys),
            secrets=secrets,
            datadog=api,
            writer=StatusWriter(cluster, inventory, Site.US1),
            options=Options(Site.US1, dry_run, policy),
            clock=clock,
            random=lambda: 0.5,
        )
        queue: WorkQueue[ObjectKey] = WorkQueue(lambda: clock().timestamp())
        engine = Engine(inventory, queue, reconciler, secrets, cluster, clock, Site.US1)
        operator = Operator(cluster, datadog, engine)
        cluster.watch = engine.seen
        await engine.list_first(())
        await operator.settle()
        yield operator
        cluster.watch = lambda *_: None
