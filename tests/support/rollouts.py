"""A Rollout as its users drive it on the real cluster, and what Datadog was asked about it."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from sandbox.cluster import LocalCluster
from sandbox.cluster.rollouts import NODE, pace
from sandbox.datadog import StandIn
from sandbox.datadog.recording import Recorded
from tests.support.shop import eventually

QUIET_SECONDS = 1.0
"""How long a test listens for requests that must not come."""
PATIENCE_SECONDS = 40.0
"""Longest wait for controllers that share two processors with everything else."""
NOWHERE = "no-such-node"
"""A node that does not exist: no pod on it ever becomes ready."""
IN_STEPS: dict[str, Any] = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}
"""A canary that waits half-way for `promote`."""

Call = tuple[str, bool, str | None, str | None]
"""A mark: version or id, change failure, type of remediation, its version or id."""


def marked(what: str, remediation: str | None = None, by: str | None = None) -> Call:
    """Return the mark of a failed deployment, maybe with what put it right."""
    return what, True, remediation, by


def cleared(what: str) -> Call:
    """Return the mark of a deployment that is no failure after all."""
    return what, False, None, None


@dataclass(slots=True)
class App:
    """One Rollout, whose name is its Datadog service too."""

    cluster: LocalCluster
    datadog: StandIn
    namespace: str
    name: str
    strategy: dict[str, Any] = field(default_factory=lambda: IN_STEPS)
    spec: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    """Ids of deployments that requests may name instead of the service."""
    pods_after: str = "50ms"
    """How long a pod takes for each step of its life."""
    untagged: tuple[str, ...] = ()
    """Which of service, env and version the pod template does not have as a label."""

    def manifest(self, version: str, annotations: dict[str, str] | None = None, node: str = NODE) -> dict[str, Any]:
        """Return the Rollout that runs a version."""
        metadata = {
            "name": self.name,
            "namespace": self.namespace,
            "labels": self.labels,
            "annotations": self.annotations,
        }
        spec = {"replicas": 1, "selector": {"matchLabels": {"app": self.name}}, "strategy": self.strategy} | self.spec
        if "workloadRef" not in spec:
            spec["template"] = self.template(version, annotations, node)
        return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": metadata, "spec": spec}

    def template(self, version: str, annotations: dict[str, str] | None = None, node: str = NODE) -> dict[str, Any]:
        """Return the pod template of a version."""
        tags = {"service": self.name, "env": "prod", "version": version}
        labels = {f"tags.datadoghq.com/{tag}": value for tag, value in tags.items() if tag not in self.untagged}
        return {
            "metadata": {
                "labels": labels | {"app": self.name},
                "annotations": pace(self.pods_after) | (annotations or {}),
            },
            "spec": {
                "nodeName": node,
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "app", "image": f"{self.name}:{version}"}],
            },
        }

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002 - kubectl's own word
        """Run kubectl in the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *arguments, input=input)

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects in one go."""
        self.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def deploy(self, version: str, /, *, node: str = NODE, **annotations: str) -> None:
        """Apply the Rollout with this version; annotations (of the pod template) are dora-operator.io's."""
        keys = {f"dora-operator.io/{name.replace('_', '-')}": value for name, value in annotations.items()}
        objects = [self.manifest(version, keys, node)]
        if "workloadRef" in self.spec:
            objects.insert(0, self._workload(version, keys, node))
        self.apply(*objects)

    def _workload(self, version: str, annotations: dict[str, str], node: str) -> dict[str, Any]:
        """Return the Deployment whose template the Rollout runs."""
        selector = {"matchLabels": {"app": self.name}}
        spec = {"replicas": 0, "selector": selector, "template": self.template(version, annotations, node)}
        metadata = {"name": self.name, "namespace": self.namespace}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}

    def release(self, *versions: str) -> None:
        """Bring versions out one after the other, each to the end."""
        release(self, versions=versions)

    def exists(self) -> bool:
        """Return whether the Rollout is there."""
        return bool(self.kubectl("get", "rollout", self.name, "--ignore-not-found", "-o", "name"))

    def argo(self, verb: str, *arguments: str) -> None:
        """Run a command of the plugin on the Rollout."""
        words = ("retry", "rollout") if verb == "retry" else (verb,)
        self.cluster.argo("-n", self.namespace, *words, self.name, *arguments)

    def get(self) -> dict[str, Any]:
        """Return the Rollout."""
        found: dict[str, Any] = json.loads(self.kubectl("get", "rollout", self.name, "-o", "json"))
        return found

    def until(self, phase: str) -> None:
        """Wait until the controller has brought the newest spec to a phase; Healthy means promoted as well."""

        def there() -> bool:
            body = self.get()
            status = body.get("status") or {}
            promoted = status.get("stableRS") == status.get("currentPodHash")
            return self._is_current(body, status) and status.get("phase") == phase and (promoted or phase != "Healthy")

        eventually(there, lambda: f"{self.name} is not {phase}: {self.levels()}", PATIENCE_SECONDS)

    def until_scaled_down(self) -> None:
        """Wait until only the current ReplicaSet has pods."""

        def alone() -> bool:
            sizes = self.kubectl("get", "rs", "-l", f"app={self.name}", "-o", "jsonpath={.items[*].spec.replicas}")
            return sizes.split().count("0") == len(sizes.split()) - 1

        eventually(alone, self.levels, PATIENCE_SECONDS)

    def versions(self) -> list[str]:
        """Return the versions that there are ReplicaSets of."""
        path = "{.items[*].metadata.labels.tags\\.datadoghq\\.com/version}"
        return sorted(self.kubectl("get", "rs", "-l", f"app={self.name}", "-o", f"jsonpath={path}").split())

    def _is_current(self, body: dict[str, Any], status: dict[str, Any]) -> bool:
        if str(status.get("observedGeneration")) != str(body["metadata"]["generation"]):
            return False
        if "workloadRef" not in self.spec:
            return True
        generation = self.kubectl("get", "deployment", self.name, "-o", "jsonpath={.metadata.generation}")
        return str(status.get("workloadObservedGeneration")) == generation

    def levels(self) -> str:
        """Return what the controller made of the Rollout, for people."""
        return self.kubectl("get", "rollout,rs,analysisrun", "-o", "yaml")

    def record(self, version: str) -> dict[str, Any]:
        """Return the one DoraDeployment about a version."""
        (found,) = [one for one in self.records() if one["spec"]["deployment"].get("version") == version]
        return found

    def records(self) -> list[dict[str, Any]]:
        """Return the DoraDeployments of the namespace that are about this Rollout."""
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", "dora", "-o", "json"))["items"]
        return [one for one in items if one["spec"].get("sourceRef", {}).get("name") == self.name]

    def ready_reasons(self) -> list[str]:
        """Return the reasons of the condition Ready of these DoraDeployments, sorted."""
        conditions = [one for record in self.records() for one in record.get("status", {}).get("conditions", [])]
        return sorted(one["reason"] for one in conditions if one["type"] == "Ready")

    def events(self, kind: str, name: str | None = None) -> list[tuple[str, str, str]]:
        """Return type, reason and message of the operator's Events on an object."""
        items = json.loads(self.kubectl("get", "events", "-o", "json"))["items"]
        about = [one for one in items if one["involvedObject"]["kind"] == kind]
        ours = [one for one in about if "dora" in json.dumps([one.get("source"), one.get("reportingComponent")])]
        named = [one for one in ours if one["involvedObject"]["name"] == (name or self.name)]
        return [(one["type"], one["reason"], one["message"]) for one in named]

    def event_reasons(self, kind: str, name: str | None = None) -> list[tuple[str, str]]:
        """Return type and reason of the operator's Events on an object, sorted."""
        return sorted((type_, reason) for type_, reason, _ in self.events(kind, name))

    def asked(self) -> list[Call]:
        """Return the marks that Datadog was asked for, in order."""
        return [call for call in map(self._call, self.datadog.requests()) if call is not None]

    def wait_asked(self, *calls: Call) -> None:
        """Wait until Datadog was asked for exactly these marks."""
        eventually(lambda: len(self.asked()) >= len(calls), lambda: self._unlike(calls))
        assert self.asked() == list(calls), self._unlike(calls)

    def _unlike(self, calls: tuple[Call, ...]) -> str:
        return f"{self.name}: asked {self.asked()}, not {list(calls)}\n{self.kubectl('get', 'dora', '-o', 'yaml')}"

    def _call(self, request: Recorded) -> Call | None:
        if request.method != "PATCH":
            return None
        data = request.document()["data"]
        attributes = data["attributes"]
        if attributes.get("service") != self.name and data.get("id") not in self.ids:
            return None
        link = attributes.get("remediation", {})
        what = data.get("id") or attributes["version"]
        return what, attributes["change_failure"], link.get("type"), link.get("id") or link.get("version")


def release(*apps: App, versions: tuple[str, ...] = ("1.0.0",)) -> None:
    """Bring versions out one after the other, each to the end, in all apps side by side."""
    for version in versions:
        waiting = [app for app in apps if app.strategy is IN_STEPS and app.exists()]
        for app in apps:
            app.deploy(version)
        for app in waiting:
            app.until("Paused")
            app.argo("promote")
        for app in apps:
            app.until("Healthy")


def expect(*expected: tuple[App, list[Call]]) -> None:
    """Wait until Datadog was asked for exactly these marks, and listen a while that nothing more comes."""
    for app, calls in expected:
        app.wait_asked(*calls)
    time.sleep(QUIET_SECONDS)
    for app, calls in expected:
        assert app.asked() == calls, app.levels()


@dataclass(slots=True)
class AppNamespace:
    """A namespace of one test; its apps have names that no other test uses."""

    cluster: LocalCluster
    datadog: StandIn
    namespace: str

    def app(self, name: str = "app", **how: Any) -> App:
        """Return an app that is not deployed yet."""
        return App(self.cluster, self.datadog, self.namespace, f"{name}-{self.namespace}"[:50].strip("-"), **how)


def canary(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a canary strategy."""
    return {"canary": {"steps": list(steps)} | more}


def namespace_of(request: pytest.FixtureRequest) -> str:
    """Return a namespace's name made from a test's."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name.lower().removeprefix("test_"))
    return name[:40].strip("-")
