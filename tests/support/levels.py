"""A Rollout and its ReplicaSets written by hand, level by level, for flow tests.

Beside the recorded traces and the simulator of the unit tests: a test here says exactly what the API server has.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.support.builders import NOW
from tests.support.fakes import NAMESPACE, Operator

TAGS = "tags.datadoghq.com"


def rfc3339(moment: datetime) -> str:
    """Return a time as Kubernetes writes it."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass
class Template:
    """One ReplicaSet: what it runs, and the numbers that it has had."""

    version: str | None
    numbers: list[int]
    created: datetime
    ready: int = 3


@dataclass
class Rollout:
    """One Rollout as its controller leaves it after each step."""

    uid: str = "uid-1"
    name: str = "checkout"
    replicas: int = 3
    now: datetime = NOW
    revision: int = 0
    generation: int = 0
    status: dict[str, Any] = field(default_factory=dict)
    templates: dict[str, Template] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    _versions: int = 0

    def deploy(self, pod_hash: str, version: str | None = None) -> None:
        """Begin a revision; a known hash is a template used again."""
        self.revision, self.generation = self.revision + 1, self.generation + 1
        template = self.templates.setdefault(pod_hash, Template(version, [], self.now, self.replicas))
        template.numbers.append(self.revision)
        self._stand(current=pod_hash, stable=self.status.get("stableRS", pod_hash))

    def promote(self) -> None:
        """Complete the revision."""
        self._stand(stable=self.status["currentPodHash"], phase="Healthy")

    def abort(self, why: str = "") -> None:
        """Abort it."""
        message = f"RolloutAborted: Rollout aborted update to revision {self.revision}{why}"
        self._stand(abort=True, abortedAt=rfc3339(self.now), phase="Degraded", message=message)

    def retry(self) -> None:
        """Try it again."""
        self._stand(abort=False)

    def annotate(self, name: str, value: str) -> None:
        """Set an annotation."""
        self.annotations[name] = value

    def show(self, operator: Operator) -> None:
        """Let the watch bring it."""
        self._list(operator)
        operator.rollout_event("MODIFIED", self.body())

    def show_listed(self, operator: Operator) -> None:
        """Let the first list after a start bring it."""
        self._list(operator)
        operator.rollouts_listed(self.body())

    def _list(self, operator: Operator) -> None:
        others = [one for one in operator.cluster.replica_sets if not one["metadata"]["uid"].startswith(self.uid)]
        operator.cluster.replica_sets = others + [self._replica_set(each) for each in self.templates]

    def body(self) -> dict[str, Any]:
        """Return the Rollout."""
        self._versions += 1
        return {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": {
                "name": self.name,
                "namespace": NAMESPACE,
                "uid": self.uid,
                "generation": self.generation,
                "resourceVersion": str(self._versions),
                "annotations": self.annotations | {"rollout.argoproj.io/revision": str(self.revision)},
            },
            "spec": {"replicas": self.replicas, "selector": {"matchLabels": {"app": self.name}}},
            "status": self.status,
        }

    def _stand(self, **status: Any) -> None:
        hashes = {name: self.status[name] for name in ("stableRS", "currentPodHash") if name in self.status}
        named = {{"stable": "stableRS", "current": "currentPodHash"}.get(name, name): status[name] for name in status}
        self.status = {"observedGeneration": str(self.generation), "phase": "Progressing"} | hashes | named
        done = self.status["stableRS"] == self.status["currentPodHash"]
        at = {"lastTransitionTime": rfc3339(self.now), "lastUpdateTime": rfc3339(self.now)}
        self.status["conditions"] = [{"type": "Completed", "status": str(done)} | at]

    def _replica_set(self, pod_hash: str) -> dict[str, Any]:
        template = self.templates[pod_hash]
        *former, current = template.numbers
        tags = {f"{TAGS}/service": self.name, f"{TAGS}/env": "prod", f"{TAGS}/version": template.version}
        labels = {name: value for name, value in tags.items() if template.version is not None}
        return {
            "metadata": {
                "uid": f"{self.uid}-{pod_hash}",
                "labels": {"app": self.name, "rollouts-pod-template-hash": pod_hash},
                "annotations": {
                    "rollout.argoproj.io/revision": str(current),
                    "rollout.argoproj.io/revision-history": ",".join(map(str, former)),
                },
                "creationTimestamp": rfc3339(template.created),
                "ownerReferences": [{"kind": "Rollout", "uid": self.uid}],
            },
            "spec": {"replicas": self.replicas, "template": {"metadata": {"labels": labels}}},
            "status": {"readyReplicas": template.ready},
        }


async def play(operator: Operator, rollout: Rollout, *steps: str, seconds: float = 5) -> None:
    """Take steps such as "deploy h2 2" and "abort", and let the operator see each."""
    for step in steps:
        word, *arguments = step.split()
        operator.now = rollout.now = operator.now + timedelta(seconds=seconds)
        getattr(rollout, word)(*arguments)
        rollout.show(operator)
        await operator.settle()
