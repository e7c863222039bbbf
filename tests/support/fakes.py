"""Small stand-ins for the clients: a cluster in memory, and the whole operator, built by the composition root.

The cluster keeps the rules of the API server that matter here: generations, resource versions, uids, merge patches.
"""

import asyncio
import json
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import httpx

from dora_operator.app import App, Deps, build
from dora_operator.clients.datadog import DatadogClient
from dora_operator.clients.errors import ConflictError, KubernetesError, NotFoundError
from dora_operator.clients.kubernetes import KubernetesClient, Secret, Subject
from dora_operator.domain.events import EventNote
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.history.history import parse
from dora_operator.metrics import Metrics
from dora_operator.settings import Settings
from dora_operator.workers import Workers
from dora_operator.workqueue import Priority
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


Report = Callable[[str, Mapping[str, Any]], None]
"""Takes type and object of a watch event."""


def secret_of(version: str, api_key: str, app_key: str = "app") -> Secret:
    """Return a Secret with keys, as the API server sends it."""
    values = {"api-key": api_key, "app-key": app_key}
    return Secret(version, {name: b64encode(value.encode()).decode() for name, value in values.items()})


@dataclass
class FakeCluster:
    """Objects in memory; `report` is called for each change, as a watch would."""

    objects: dict[ObjectKey, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[ObjectKey, Secret] = field(default_factory=dict)
    events: list[tuple[Subject, EventNote]] = field(default_factory=list)
    replica_sets: list[Mapping[str, Any]] = field(default_factory=list)
    rollout_events: list[Mapping[str, Any]] = field(default_factory=list)
    histories: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    history_writes: int = 0
    history_error: KubernetesError | None = None
    annotations: dict[str, str] = field(default_factory=dict)
    """Of every Namespace."""
    reads: Counter[str] = field(default_factory=Counter)
    status_writes: int = 0
    record_writes: int = 0
    taken_over: set[ObjectKey] = field(default_factory=set)
    """Records of which a user has changed fields."""
    down: bool = False
    lost: bool = False
    """The API server answers 404 for every object, as one that has just started may."""
    report: Report = lambda *_: None
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

    def annotate(self, name: str, namespace: str = NAMESPACE, **annotations: str) -> None:
        """Set annotations of the operator's own group, as `kubectl annotate --overwrite` does."""
        before = self.objects[ObjectKey(namespace, name)]
        named = {f"dora-operator.io/{word.replace('_', '-')}": value for word, value in annotations.items()}
        kept = before["metadata"].get("annotations") or {}
        self._store(before | {"metadata": before["metadata"] | {"annotations": kept | named}})

    def begin_deletion(self, name: str, namespace: str = NAMESPACE) -> None:
        """Delete an object that has a finalizer, as Argo CD does when it prunes: it stays, with a new generation."""
        before = self.objects[ObjectKey(namespace, name)]
        changed = {"deletionTimestamp": NOW.isoformat(), "generation": before["metadata"]["generation"] + 1}
        self._store(before | {"metadata": before["metadata"] | changed})

    def delete(self, name: str, namespace: str = NAMESPACE) -> None:
        """Delete an object."""
        self.report("DELETED", self.objects.pop(ObjectKey(namespace, name)))

    def put_secret(self, name: str, api_key: str, namespace: str = NAMESPACE) -> None:
        """Create or change a Secret."""
        self._versions += 1
        self.secrets[ObjectKey(namespace, name)] = secret_of(str(self._versions), api_key)

    def status(self, name: str, namespace: str = NAMESPACE) -> dict[str, Any]:
        """Return the stored status."""
        found: dict[str, Any] = self.objects[ObjectKey(namespace, name)]["status"]
        return found

    async def write_status(self, key: ObjectKey, uid: str, status: Mapping[str, Any]) -> dict[str, Any]:
        """See KubernetesClient."""
        await asyncio.sleep(0)
        self._check()
        before = self.objects.get(key)
        if self.lost or before is None or before["metadata"]["uid"] != uid:
            raise NotFoundError("not found", 404)
        self.status_writes += 1
        # The watch's echo comes after the answer to the write, as it mostly does on a real API server.
        report, self.report = self.report, lambda *_: None
        body = self._store(before | {"status": merge(before["status"], status)})
        self.report = report
        asyncio.get_running_loop().call_soon(report, "MODIFIED", body)
        return body

    async def read_secret(self, key: ObjectKey) -> Secret:
        """See KubernetesClient."""
        await asyncio.sleep(0)
        self._check()
        if key not in self.secrets:
            raise NotFoundError("not found", 404)
        return self.secrets[key]

    async def post_event(self, subject: Subject, note: EventNote) -> None:
        """See KubernetesClient."""
        self._check()
        if (subject, note) not in self.events:
            self.events.append((subject, note))

    def warnings(self) -> list[tuple[str, str]]:
        """Return names and reasons of the Warning Events."""
        return [(subject.key.name, note.reason) for subject, note in self.events if note.type == "Warning"]

    async def list_replica_sets(self, namespace: str, labels: Mapping[str, str]) -> list[Mapping[str, Any]]:
        """See KubernetesClient."""
        self._check()
        assert namespace
        self.reads["replicasets"] += 1
        wanted = labels.items()
        return [each for each in self.replica_sets if wanted <= (each["metadata"].get("labels") or {}).items()]

    async def list_events(self, subject: Subject) -> list[Mapping[str, Any]]:
        """See KubernetesClient."""
        self._check()
        self.reads["events"] += 1
        return [each for each in self.rollout_events if each["involvedObject"]["uid"] == subject.uid]

    async def read_annotations(self, namespace: str) -> Mapping[str, str]:
        """See KubernetesClient."""
        self._check()
        assert namespace
        self.reads["namespaces"] += 1
        return self.annotations

    async def apply_record(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """See KubernetesClient: one manager owns everything it applied."""
        await asyncio.sleep(0)
        self._check()
        metadata = manifest["metadata"]
        key = ObjectKey(metadata["namespace"], metadata["name"])
        if key in self.taken_over:
            raise ConflictError("conflict", 409)
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
        """See KubernetesClient."""
        self._check()
        if key in self.objects and self.objects[key]["metadata"]["uid"] == uid:
            self.report("DELETED", self.objects.pop(key))

    async def apply_history(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """See KubernetesClient."""
        await asyncio.sleep(0)
        self._check()
        if self.history_error is not None:
            raise self.history_error
        self.history_writes += 1
        body = json.loads(json.dumps(manifest))
        self.histories[body["metadata"]["namespace"], body["metadata"]["name"]] = body
        return body

    def _check(self) -> None:
        if self.down:
            raise KubernetesError("the API server is down")

    def _store(self, body: dict[str, Any]) -> dict[str, Any]:
        self._versions += 1
        body = body | {"metadata": body["metadata"] | {"resourceVersion": str(self._versions)}}
        self.objects[ObjectKey(body["metadata"]["namespace"], body["metadata"]["name"])] = body
        self.report("MODIFIED", body)
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
    """The whole operator without watches, on a clock that tests move."""

    cluster: FakeCluster
    datadog: FakeDatadog
    metrics: Metrics
    now: datetime = NOW
    app: App = field(init=False)

    def deployment_event(self, event_type: str, body: Mapping[str, Any]) -> None:
        """Take an event of the watch of DoraDeployments."""
        _pass_on(self.app.deployments, event_type, body)

    def rollout_event(self, event_type: str, body: Mapping[str, Any]) -> None:
        """Take an event of the watch of Rollouts."""
        _pass_on(self.app.workloads, event_type, body)

    def rollouts_listed(self, *bodies: Mapping[str, Any]) -> None:
        """Take a list of Rollouts."""
        for body in bodies:
            self.app.workloads.observed(body, listed=True)
        self.app.workloads.listed(None, served=True)

    async def settle(self) -> None:
        """Serve every key that is due."""
        quiet = 0
        for _ in range(100_000):
            served = [await self._serve(each) for each in (self.app.workload_workers, self.app.deployment_workers)]
            quiet = 0 if any(served) else quiet + 1
            if quiet:
                await self.app.events.finish(1)
                await asyncio.sleep(0)  # the watch brings what was written last
            if quiet > 1:
                return
        raise AssertionError("the queues never empty")

    async def reconcile(self, key: ObjectKey) -> None:
        """Reconcile one DoraDeployment now, whatever else is due."""
        queue = self.app.deployment_workers.queue
        queue.add(key, Priority.URGENT)
        while (taken := queue.try_take()) != key:
            assert taken is not None
            queue.done(taken)
            queue.add(taken, Priority.LOW)
        await self.app.deployment_workers.serve(key)

    async def _serve(self, workers: Workers) -> bool:
        key = workers.queue.try_take()
        if key is None:
            return False
        await workers.serve(key)
        return True

    async def pass_time(self, seconds: float) -> None:
        """Move the clock and serve what is due then."""
        self.now += timedelta(seconds=seconds)
        await self.settle()

    async def poll_secrets(self) -> None:
        """Poll the awaited Secrets once, whatever their backoff, and serve what follows."""
        self.app.credentials._polls.clear()
        await self.app.poll_secrets()
        await self.settle()

    async def scrape(self) -> str:
        """Return the metrics as text."""
        return (await self.app.exporter.scrape((), lambda: True)).decode()

    def lead(self, led_until: datetime | None = None) -> None:
        """Become the leader, after one that led until then."""
        self.app.deployment_reconciler.begin(led_until)


def _pass_on(sink: Any, event_type: str, body: Mapping[str, Any]) -> None:
    metadata = body["metadata"]
    if event_type == "DELETED":
        sink.deleted(ObjectKey(metadata["namespace"], metadata["name"]), metadata["uid"])
    else:
        sink.observed(body, listed=False)


def settings_for_tests(**changes: Any) -> Settings:
    """Return settings with keys, without the environment's."""
    assert changes.keys() <= Settings.model_fields.keys()
    return Settings(**({"api_key": "own-api", "app_key": "own-app", "read_back": False} | changes))


@asynccontextmanager
async def running_operator(
    cluster: FakeCluster,
    datadog: FakeDatadog,
    *,
    now: datetime = NOW,
    time: Callable[[], datetime] | None = None,
    leads: bool = True,
    led_until: datetime | None = None,
    **settings: Any,
) -> AsyncIterator[Operator]:
    """Start an operator on a cluster: list, then serve what is due; without `time`, on a clock that tests move."""
    operator = Operator(cluster, datadog, Metrics(), now=now)

    def clock() -> datetime:
        return operator.now if time is None else time()

    made = settings_for_tests(**settings)
    async with httpx.AsyncClient(transport=httpx.MockTransport(datadog)) as http:
        client = DatadogClient(http, base_url=None, timeout_seconds=5, metrics=operator.metrics)
        operator.app = build(
            Deps(
                made,
                cast("KubernetesClient", cluster),
                client,
                operator.metrics,
                clock=clock,
                monotonic=lambda: clock().timestamp(),
                jitter=lambda: 0.5,
            )
        )
        cluster.clock, cluster.report = clock, operator.deployment_event
        for history in map(parse, cluster.histories.values()):
            assert history is not None
            operator.app.workloads.store.keep(history)
        for body in cluster.objects.values():
            operator.app.deployments.observed(body, listed=True)
        operator.app.deployments.listed(None, served=True)
        if leads:
            operator.lead(led_until)
            await operator.settle()
        yield operator
        cluster.report = lambda *_: None
