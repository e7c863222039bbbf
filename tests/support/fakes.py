"""Small stand-ins for the ports: a cluster in memory, and a whole operator around it without kopf.

The cluster keeps the rules of the API server that matter here: generations, resource versions, uids, merge patches.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import httpx

from dora_operator.adapters.datadog import DatadogApi
from dora_operator.adapters.metered import MeteredDatadog
from dora_operator.adapters.metrics import PrometheusMeter
from dora_operator.domain.allowed import Allowed
from dora_operator.domain.backoff import RetryPolicy
from dora_operator.domain.notices import EventNote
from dora_operator.domain.object_key import ObjectKey
from dora_operator.domain.reasons import Reason
from dora_operator.domain.rollout.retention import Retention
from dora_operator.domain.rollout.verdict import Policy
from dora_operator.domain.sites import Site
from dora_operator.handlers.engine import Engine
from dora_operator.handlers.observing import Overview
from dora_operator.handlers.rollouts import RolloutEngine
from dora_operator.handlers.workers import Workers
from dora_operator.inventory import Inventory
from dora_operator.meter import Meter
from dora_operator.ports import (
    ClusterUnavailableError,
    Keys,
    NoKeys,
    NotOursError,
    ObjectGoneError,
    SecretView,
    Subject,
)
from dora_operator.reconcile.accounts import Accounts
from dora_operator.reconcile.board import VerdictBoard
from dora_operator.reconcile.cases import Cases
from dora_operator.reconcile.events import EventQueue
from dora_operator.reconcile.known_rollouts import KnownRollouts
from dora_operator.reconcile.namespaces import Namespaces
from dora_operator.reconcile.reconciler import Reconciler
from dora_operator.reconcile.recording import Recorder
from dora_operator.reconcile.records import Records
from dora_operator.reconcile.restoring import Restorer
from dora_operator.reconcile.rollouts import RolloutReconciler
from dora_operator.reconcile.secret_watch import SecretWatch
from dora_operator.reconcile.sending import Sender
from dora_operator.reconcile.surroundings import Options
from dora_operator.reconcile.writer import StatusWriter
from dora_operator.sightings import Found, Gone, Listed, Seen, Sighting
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
    events: list[tuple[Subject, EventNote]] = field(default_factory=list)
    replica_sets: list[Mapping[str, Any]] = field(default_factory=list)
    rollout_events: list[Mapping[str, Any]] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    """Of every Namespace."""
    reads: Counter[str] = field(default_factory=Counter)
    status_writes: int = 0
    record_writes: int = 0
    taken_over: set[ObjectKey] = field(default_factory=set)
    """Records whose fields a user has changed."""
    down: bool = False
    lost: bool = False
    """Whether the API server says of every object that it is not there, as one that has just started may."""
    watch: Callable[[Sighting], None] = lambda _: None
    clock: Callable[[], datetime] = lambda: NOW
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
            self._store({"metadata": metadata, "spec": spec, "status": {"observedGeneration": -1}})
        elif before["spec"] != spec:
            generation = before["metadata"]["generation"] + 1
            self._store(before | {"spec": spec, "metadata": before["metadata"] | {"generation": generation}})

    def delete(self, name: str, namespace: str = NAMESPACE) -> None:
        """Delete an object."""
        self.watch(Gone(self.objects.pop(ObjectKey(namespace, name))))

    def put_secret(self, name: str, api_key: str, namespace: str = NAMESPACE) -> None:
        """Create or change a Secret."""
        self._versions += 1
        self.secrets[ObjectKey(namespace, name)] = SecretView(str(self._versions), Keys(api_key, "app"))

    def status(self, name: str, namespace: str = NAMESPACE) -> dict[str, Any]:
        """Return the stored status."""
        found: dict[str, Any] = self.objects[ObjectKey(namespace, name)]["status"]
        return found

    async def watch_deployments(self, namespace: str | None, selector: str) -> AsyncIterator[Sighting]:
        """Implement the port: what is brought comes through `watch`."""
        raise NotImplementedError(namespace, selector)
        yield

    def listing(self) -> tuple[Sighting, ...]:
        """Return a whole list."""
        return *map(Found, self.objects.values()), Listed(frozenset(self.objects), str(self._versions))

    async def write_status(self, key: ObjectKey, uid: str, status: Mapping[str, Any]) -> Mapping[str, Any]:
        """Implement the port."""
        await asyncio.sleep(0)
        self._check()
        before = self.objects.get(key)
        if self.lost or before is None or before["metadata"]["uid"] != uid:
            raise ObjectGoneError
        self.status_writes += 1
        # The watch's echo comes after the answer to the write, as it mostly does on a real API server.
        watch, self.watch = self.watch, lambda _: None
        body = self._store(before | {"status": merge(before["status"], status)})
        self.watch = watch
        asyncio.get_running_loop().call_soon(watch, Seen(body))
        return body

    async def read_secret(self, key: ObjectKey) -> SecretView:
        """Implement the port."""
        await asyncio.sleep(0)
        self._check()
        return self.secrets.get(key, SecretView("", NoKeys(Reason.CREDENTIALS_NOT_FOUND, f"no Secret {key}")))

    async def post_event(self, about: Subject, note: EventNote) -> None:
        """Implement the port."""
        self._check()
        if (about, note) not in self.events:
            self.events.append((about, note))

    def warnings(self) -> list[tuple[str, str]]:
        """Return names and reasons of the Warning Events."""
        return [(about.key.name, note.reason) for about, note in self.events if note.type == "Warning"]

    async def list_replica_sets(self, namespace: str, labels: Mapping[str, str]) -> list[Mapping[str, Any]]:
        """Implement the port."""
        self._check()
        assert namespace
        self.reads["replicasets"] += 1
        wanted = labels.items()
        return [each for each in self.replica_sets if wanted <= (each["metadata"].get("labels") or {}).items()]

    async def list_events(self, about: Subject) -> list[Mapping[str, Any]]:
        """Implement the port."""
        self._check()
        self.reads["events"] += 1
        return [each for each in self.rollout_events if each["involvedObject"]["uid"] == about.uid]

    async def read_annotations(self, namespace: str) -> Mapping[str, str]:
        """Implement the port."""
        self._check()
        assert namespace
        self.reads["namespaces"] += 1
        return self.annotations

    async def apply_record(self, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        """Implement the port: one manager owns everything it applied."""
        await asyncio.sleep(0)
        self._check()
        metadata = manifest["metadata"]
        key = ObjectKey(metadata["namespace"], metadata["name"])
        if key in self.taken_over:
            raise NotOursError
        self.record_writes += 1
        before = self.objects.get(key)
        if before is None:
            born = {"uid": f"{key.name}-{self._versions}", "generation": 1}
            born["creationTimestamp"] = self.clock().isoformat()
            body = {"metadata": {**metadata, **born}, "spec": manifest["spec"], "status": {"observedGeneration": -1}}
            return self._store(body)
        grown = before["metadata"]["generation"] + int(before["spec"] != manifest["spec"])
        return self._store(
            before | {"metadata": {**before["metadata"], **metadata, "generation": grown}, "spec": manifest["spec"]},
        )

    async def delete_record(self, key: ObjectKey, uid: str) -> None:
        """Implement the port."""
        self._check()
        if key in self.objects and self.objects[key]["metadata"]["uid"] == uid:
            self.watch(Gone(self.objects.pop(key)))

    async def watch_rollouts(self, namespace: str | None, selector: str) -> AsyncIterator[Sighting]:
        """Implement the port: tests bring Rollouts in themselves."""
        raise NotImplementedError(namespace, selector)
        yield

    def _check(self) -> None:
        if self.down:
            raise ClusterUnavailableError("the API server is down")

    def _store(self, body: dict[str, Any]) -> dict[str, Any]:
        self._versions += 1
        body = body | {"metadata": body["metadata"] | {"resourceVersion": str(self._versions)}}
        self.objects[ObjectKey(body["metadata"]["namespace"], body["metadata"]["name"])] = body
        self.watch(Seen(body))
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
    rollouts: RolloutEngine
    events: EventQueue
    meter: PrometheusMeter
    now: datetime = NOW

    async def settle(self) -> None:
        """Serve every key that is due."""
        quiet = 0
        for _ in range(10_000):
            served = [await self._serve(workers) for workers in (self.rollouts.workers, self.engine.workers)]
            quiet = 0 if any(served) else quiet + 1
            if quiet:
                await self.events.finish(1)
                await asyncio.sleep(0)  # the watch brings what was written last
            if quiet > 1:
                return
        raise AssertionError("the queues never empty")

    async def _serve(self, workers: Workers[ObjectKey]) -> bool:
        key = workers.queue.try_take()
        if key is None:
            return False
        await workers.serve(key)
        workers.queue.done(key)
        return True

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
    rollouts_watched: bool = True,
    policy: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
    rollout_policy: Policy = Policy(),  # noqa: B008 - frozen
    now: datetime = NOW,
    around: Callable[[Meter], Meter] = lambda meter: meter,
    time: Callable[[], datetime] | None = None,
    leads: bool = True,
) -> AsyncIterator[Operator]:
    """Start an operator on a cluster: list, then serve what is due; without `time`, on a clock that tests move."""
    async with httpx.MockTransport(datadog) as transport:
        api = DatadogApi(transport, base_url=None, timeout_seconds=5)
        inventory, secrets, board = Inventory(), SecretWatch(cluster), VerdictBoard()
        events, accounts = EventQueue(cluster), Accounts(cluster, own_keys)
        operator: Operator

        def clock() -> datetime:
            return operator.now if time is None else time()

        meter = PrometheusMeter(clock)
        told = around(meter)
        metered = MeteredDatadog(api, told, own_keys, lambda: clock().timestamp())

        names, options = Namespaces(cluster, clock), Options(Site.US1, dry_run, policy, keeps_records=rollouts_watched)
        reconciler = Reconciler(
            inventory=inventory,
            cases=Cases(inventory, names, board, options),
            sender=Sender(inventory, accounts, metered, clock),
            secrets=secrets,
            board=board,
            writer=StatusWriter(cluster, events, inventory, Site.US1, meter),
            options=options,
            clock=clock,
            random=lambda: 0.5,
        )
        engine = Engine(inventory, _queue(clock), reconciler, secrets, cluster, clock, Site.US1, meter=told)
        known = KnownRollouts()
        restorer = Restorer(
            metered, accounts, names, Allowed(), Site.US1, own_keys, clock, lambda: 0.5, policy, dry_run
        )
        records = Records(inventory, cluster, Retention(), rollout_policy.lookback, clock)
        recorder = Recorder(inventory, board, cluster, clock, {}, events.tell, meter)
        looks = RolloutReconciler(
            known, cluster, names, events, recorder, restorer, records, rollout_policy, clock, meter
        )
        rollouts = RolloutEngine(known, _queue(clock), looks, engine, cluster, clock, meter)
        engine.wake_rollout = rollouts.wake
        operator = Operator(cluster, datadog, engine, rollouts, events, meter, now=now)
        meter.show(Overview(engine, rollouts).readings)
        cluster.clock = clock
        cluster.watch = partial(engine.take_in, namespace=None)
        for sighting in cluster.listing():
            cluster.watch(sighting)
        if leads:
            engine.begin()
            await operator.settle()
        yield operator
        cluster.watch = lambda _: None


def _queue(clock: Callable[[], datetime]) -> WorkQueue[ObjectKey, Any]:
    return WorkQueue(lambda: clock().timestamp())
