"""A watch on the small API server: a sink that remembers, and the real parts around it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import kopf
import pytest
import yaml

from dora_operator.clients.kubernetes import DEPLOYMENTS, ROLLOUTS, Kind, KubernetesClient, open_kubernetes
from dora_operator.clients.login import Login
from dora_operator.domain.fields import ObjectKey
from dora_operator.metrics import Metrics
from dora_operator.store import is_newer
from dora_operator.watch import watch as watch_module
from dora_operator.watch.kopf_run import Receive, Scope
from dora_operator.watch.watch import Watch
from tests.support.api_server import ApiServer, Resource

NOW = datetime(2026, 11, 24, tzinfo=UTC)
KINDS = {kind.plural: kind for kind in (DEPLOYMENTS, ROLLOUTS)}


def resources() -> list[Resource]:
    """Return both kinds that the operator watches."""
    return [Resource(kind.group, kind.plural, kind.kind) for kind in KINDS.values()]


async def eventually(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - of any state, also of other threads
            await asyncio.sleep(0.005)


@dataclass
class FakeSink:
    """Stores objects as the stores do, and remembers the calls."""

    objects: dict[ObjectKey, tuple[str, str]] = field(default_factory=dict)
    bodies: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def observed(self, body: Mapping[str, Any], *, listed: bool) -> bool:
        """Store a newer version."""
        metadata = body["metadata"]
        key, uid, version = (
            ObjectKey(metadata["namespace"], metadata["name"]),
            metadata["uid"],
            metadata["resourceVersion"],
        )
        before = self.objects.get(key)
        if before is not None and before[0] == uid and not is_newer(version, before[1]):
            return False
        self.objects[key] = (uid, version)
        self.bodies[key.name] = body
        self.calls.append(f"{'listed' if listed else 'reported'} {key.name}")
        return True

    def deleted(self, key: ObjectKey, uid: str) -> None:
        """Drop an object."""
        if self.objects.get(key, ("",))[0] == uid:
            del self.objects[key]
            self.calls.append(f"deleted {key.name}")

    def versions(self, namespace: str | None) -> Mapping[ObjectKey, tuple[str, str]]:
        """Return what is stored."""
        return {key: value for key, value in self.objects.items() if namespace in (None, key.namespace)}

    def listed(self, namespace: str | None, *, served: bool) -> None:
        """Remember."""
        self.calls.append(("whole list" if served else "not installed") + (f" of {namespace}" if namespace else ""))

    def skipped(self, namespace: str) -> None:
        """Remember."""
        self.calls.append(f"without {namespace}")

    def recovered(self) -> None:
        """Remember."""
        self.calls.append("recovered")

    def names(self) -> list[str]:
        """Return the names of the stored objects."""
        return sorted(key.name for key in self.objects)


def register(kind: Kind, registry: kopf.OperatorRegistry, receive: Receive) -> None:
    """Register the event handler for a kind."""

    @kopf.on.event(kind.group, kind.version, kind.plural, registry=registry)
    async def on_event(event: kopf.RawEvent, **_: object) -> None:
        receive(event["type"], event["object"])


@dataclass
class Cluster:
    """The API server, and what the operator knows of it."""

    server: ApiServer
    client: KubernetesClient
    kubeconfig: Path
    metrics: Metrics
    login: Login

    def give_token(self, token: str) -> None:
        """Write a token into the kubeconfig."""
        write_kubeconfig(self.kubeconfig, self.server.url, token)

    def build(
        self,
        sink: FakeSink,
        plural: str = "rollouts",
        namespace: str | None = None,
        *,
        selector: str = "",
        resync: float = 3600,
    ) -> Watch:
        """Build a watch."""
        kind = KINDS[plural]
        scope = Scope(kind, namespace, partial(register, kind), selector, may_be_absent=kind is ROLLOUTS)
        return Watch(scope, self.client, self.login, sink, self.metrics, resync)

    @asynccontextmanager
    async def watching(self, watch: Watch, *, ready: bool = True) -> AsyncIterator[Watch]:
        """Run a watch; with `ready`, from when its first list is stored and its kopf watches."""
        running = asyncio.create_task(watch.run())
        try:
            if ready:
                opened = self.server.watches(watch.scope.kind.plural)
                await eventually(lambda: watch.health.listed and self.server.watches(watch.scope.kind.plural) > opened)
            yield watch
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def restarts(self, plural: str = "rollouts") -> float:
        """Return how often watches of a kind were started again."""
        name = "dora_operator_watch_restarts_total"
        return self.metrics.registry.get_sample_value(name, {"resource": KINDS[plural].name}) or 0

    def skipped(self, plural: str = "doradeployments") -> float:
        """Return how many namespaces are skipped."""
        name = "dora_operator_watch_skipped_namespaces"
        return self.metrics.registry.get_sample_value(name, {"resource": KINDS[plural].name}) or 0


def write_kubeconfig(path: Path, url: str, token: str) -> None:
    """Write a kubeconfig with a token."""
    body = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": token}}],
    }
    path.write_text(yaml.safe_dump(body))


@asynccontextmanager
async def opened_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    """Start an API server, and log in to it. Pauses after failures are short."""
    kubeconfig = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(watch_module, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(watch_module, "MAX_PAUSE_SECONDS", 0.2)
    metrics = Metrics()
    async with ApiServer(*resources()).open() as server:
        write_kubeconfig(kubeconfig, server.url, "a-token")
        async with open_kubernetes(metrics, lambda: NOW) as client:
            yield Cluster(server, client, kubeconfig, metrics, Login(client.configuration))


async def change_is_seen(cluster: Cluster, sink: FakeSink, plural: str = "rollouts", *, seconds: float = 10) -> None:
    """Change something: the list or the watch shows it at once. What changes after that, the watch reports."""
    cluster.server.apply(plural, "news")
    await eventually(lambda: "news" in sink.names() and cluster.server.watches(plural), seconds)
    cluster.server.apply(plural, "more")
    await eventually(lambda: "reported more" in sink.calls)
