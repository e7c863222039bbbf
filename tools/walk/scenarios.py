"""Two events on the local cluster, with a traced operator on it: an applied DoraDeployment, and an aborted Rollout."""

import gzip
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import earlier
from sandbox import loopback
from sandbox.cluster import LocalCluster
from sandbox.cluster.process import Background
from sandbox.cluster.rollouts import install_crds
from sandbox.datadog import StandIn
from sandbox.running import environment_for
from tools.walk.report import Call, Walk

ROOT = Path(__file__).parents[2]
TRACE = ROOT / "tests/unit/history/traces/canary-manual-abort.jsonl.gz"
READY_SECONDS = 60.0
PATIENCE_SECONDS = 30.0
QUIET_SECONDS = 1.5
"""After a request: its status, its Events, and what the watch reports of them."""
FROM_THE_SERVER = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields")
SERVICE = "checkout"


@dataclass(frozen=True, slots=True)
class Code:
    """An installed operator, and the functions at which its walks begin and end."""

    python: Path = Path(sys.executable)
    crds: Path = ROOT / "crds"
    events: tuple[str, ...] = (
        "handlers/deployments.py:register.deployment_event",
        "handlers/rollouts.py:register.rollout_event",
    )
    patch: str = "clients/datadog.py:DatadogClient.patch"
    write_status: str = "clients/kubernetes.py:KubernetesClient.write_status"


def earlier_code() -> Code:
    """Return the earlier version that the benchmarks measure too."""
    found = earlier.installed()
    return Code(
        python=found.python,
        crds=found.crds,
        events=("handlers/following.py:WatchHealth.take_in",),
        patch="adapters/datadog.py:DatadogApi.patch",
        write_status="adapters/cluster.py:Cluster.write_status",
    )


@dataclass(frozen=True, slots=True)
class Tracing:
    """A running operator that can be traced."""

    process: Background
    output: Path

    def trace(self, act: Callable[[], object], done: Callable[[], object]) -> dict[str, Any]:
        """Record what the operator does from an event until it has done something, and what follows at once."""
        self.output.unlink(missing_ok=True)
        self.process.signal(signal.SIGUSR1)
        act()
        self.process.wait_until(lambda: bool(done()), PATIENCE_SECONDS)
        time.sleep(QUIET_SECONDS)
        self.process.signal(signal.SIGUSR2)
        self.process.wait_until(self.output.exists, PATIENCE_SECONDS)
        found: dict[str, Any] = json.loads(self.output.read_text())
        return found


@contextmanager
def traced_operator(code: Code, cluster: LocalCluster, datadog: StandIn) -> Iterator[Tracing]:
    """Start an operator that can be traced, and wait until it is ready."""
    environment = environment_for(cluster, datadog.url)
    marks = {"start": code.events, "patch": [code.patch], "status": [code.write_status]}
    with tempfile.TemporaryDirectory(prefix="dora-walk-") as name:
        folder = Path(name)
        output = folder / "calls.json"
        tracer = Path(__file__).with_name("tracer.py")
        command = [str(code.python), str(tracer), str(output), json.dumps(marks)]
        process = Background.start("operator", command, folder, environment)
        ready = f"http://127.0.0.1:{environment['DORA_OPERATOR_HEALTH_PORT']}/readyz"
        try:
            process.wait_until(lambda: loopback.is_well(ready), READY_SECONDS)
            yield Tracing(process, output)
        finally:
            process.stop()


def walks(code: Code, times: int) -> Iterator[tuple[Walk, Walk]]:
    """Trace both events some times, and return each walk of an applied resource and of an abort."""
    with LocalCluster.start() as cluster, StandIn() as datadog:
        install_crds(cluster)
        cluster.kubectl("apply", "-f", str(code.crds))
        cluster.kubectl("wait", "--for=condition=Established", "crd", "--all")
        with traced_operator(code, cluster, datadog) as tracing:
            applied(tracing, cluster, datadog, "first")  # opens connections, and imports what is imported late
            for number in range(times):
                yield (
                    applied(tracing, cluster, datadog, f"applied-{number}"),
                    aborted(tracing, cluster, datadog, f"aborted-{number}"),
                )


def applied(tracing: Tracing, cluster: LocalCluster, datadog: StandIn, namespace: str) -> Walk:
    """Apply a DoraDeployment, and trace it until its status is written."""
    create(cluster, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    body = {
        "apiVersion": "dora-operator.io/v1alpha1",
        "kind": "DoraDeployment",
        "metadata": {"name": SERVICE, "namespace": namespace},
        "spec": {"deployment": {"id": f"id-of-{namespace}"}, "changeFailure": True},
    }
    datadog.clear_requests()
    found = tracing.trace(lambda: create(cluster, body), datadog.requests)
    return _walk("an applied DoraDeployment, until its status is written", found, found["ended"]["status"])


def aborted(tracing: Tracing, cluster: LocalCluster, datadog: StandIn, namespace: str) -> Walk:
    """Abort a Rollout as it was recorded, and trace it until its PATCH is sent."""
    create(cluster, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    before, after, replica_sets = recorded_abort(service=namespace)
    rollout = create(cluster, _in(namespace, before))
    owner = {"apiVersion": rollout["apiVersion"], "kind": rollout["kind"], "name": SERVICE, "controller": True}
    for each in replica_sets:
        each["metadata"]["ownerReferences"] = [owner | {"uid": rollout["metadata"]["uid"]}]
        create(cluster, _in(namespace, each))
    generation = str(rollout["metadata"]["generation"])
    _set_status(cluster, namespace, before["status"] | {"observedGeneration": generation})
    time.sleep(QUIET_SECONDS)
    datadog.clear_requests()
    status = after["status"] | {"observedGeneration": generation}
    found = tracing.trace(lambda: _set_status(cluster, namespace, status), datadog.requests)
    return _walk("an aborted Rollout, until its PATCH is sent", found, found["waited"]["patch"])


def create(cluster: LocalCluster, body: dict[str, Any]) -> dict[str, Any]:
    """Create an object, and return it."""
    found: dict[str, Any] = json.loads(cluster.kubectl("create", "-o", "json", "-f", "-", input=json.dumps(body)))
    return found


def _set_status(cluster: LocalCluster, namespace: str, status: dict[str, Any]) -> None:
    patch = json.dumps({"status": status})
    cluster.kubectl("-n", namespace, "patch", "rollout", SERVICE, "--subresource=status", "--type=merge", "-p", patch)


def _in(namespace: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return an object as it is created: in this namespace, without what the API server fills in."""
    metadata = {name: value for name, value in body["metadata"].items() if name not in FROM_THE_SERVER}
    return {name: value for name, value in body.items() if name != "status"} | {
        "metadata": metadata | {"namespace": namespace}
    }


def recorded_abort(service: str = SERVICE) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Return the Rollout before and after it was aborted, and its ReplicaSets at that time."""
    label = f'"tags.datadoghq.com/service": "{SERVICE}"'
    before: dict[str, Any] = {}
    replica_sets: dict[str, dict[str, Any]] = {}
    with gzip.open(TRACE, "rt") as lines:
        for line in lines:
            body = json.loads(line.replace(label, label.replace(SERVICE, service)))["object"]
            if body["kind"] == "ReplicaSet":
                replica_sets[body["metadata"]["name"]] = body
            if body["kind"] == "Rollout" and body.get("status", {}).get("abort"):
                return before, body, list(replica_sets.values())
            if body["kind"] == "Rollout":
                before = body
    raise AssertionError(f"nothing is aborted in {TRACE}")


def _walk(name: str, found: dict[str, Any], end: int) -> Walk:
    """Return the calls until a mark."""
    return Walk(name, [Call(*call) for call in found["calls"][:end]], found["event"])
