"""A Rollout as an Argo Rollouts controller writes it, level by level, with its ReplicaSets."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.truth.stories import Action, Word
from bench.truth.world import ENV, moment

NAMESPACE = "shop"
REVISION = "rollout.argoproj.io/revision"
HISTORY = "rollout.argoproj.io/revision-history"
REPLICAS = 4
HISTORY_LIMITS = 2, 10
"""Values of revisionHistoryLimit, by the service."""

Body = dict[str, Any]


@dataclass(slots=True)
class _Template:
    version: str
    created: int
    numbers: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Rollout:
    """One Rollout and its controller. The name is the service."""

    name: str
    cluster: int = 0
    generation: int = 0
    revision: int = 0
    status: Body = field(default_factory=dict)
    templates: dict[str, _Template] = field(default_factory=dict)
    _written: int = 0

    @property
    def uid(self) -> str:
        """Of the object in its cluster."""
        return f"uid-{self.cluster}-{self.name}"

    def act(self, action: Action) -> Iterator[Body]:
        """Take one action; yields the Rollout after each write."""
        at = action.at
        match action.word:
            case Word.DEPLOY:
                yield from self._deploy(action.version, action.config, at)
            case Word.PROMOTE:
                self._state(at, stable=self.status["currentPodHash"], phase="Healthy")
                self._collect()
                yield self.body()
            case Word.ABORT:
                message = f"Rollout aborted update to revision {self.revision}"
                abort = {"abort": True, "abortedAt": _text(at), "message": f"RolloutAborted: {message}"}
                self._state(at, phase="Degraded", **abort)
                yield self.body()
            case Word.RETRY:
                self._state(at, abort=False)
                yield self.body()

    def body(self) -> Body:
        """Return the Rollout as it is now."""
        self._written += 1
        return {
            "metadata": {
                "name": self.name,
                "namespace": NAMESPACE,
                "uid": self.uid,
                "generation": self.generation,
                "resourceVersion": str(self._written),
                "annotations": {REVISION: str(self.revision)},
            },
            "spec": {"replicas": REPLICAS, "selector": {"matchLabels": {"app": self.name}}},
            "status": dict(self.status),
        }

    def replica_sets(self) -> list[Body]:
        """Return its ReplicaSets."""
        return [self._replica_set(pod_hash, template) for pod_hash, template in self.templates.items()]

    def _deploy(self, version: str, config: int, at: int) -> Iterator[Body]:
        pod_hash = f"h{version.replace('.', '')}{'abcdefghij'[config % 10]}"
        self.revision, self.generation = self.revision + 1, self.generation + 1
        template = self.templates.setdefault(pod_hash, _Template(version, at))
        template.numbers.append(self.revision)
        if self.status:  # for one write the annotation is new, and the status is about the revision before
            yield self.body()
        stable = self.status.get("stableRS", pod_hash)
        self._state(at, current=pod_hash, stable=stable, phase="Healthy" if stable == pod_hash else "Progressing")
        yield self.body()

    def _state(self, at: int, **status: Any) -> None:
        hashes = {name: self.status[name] for name in ("stableRS", "currentPodHash") if name in self.status}
        named = {{"stable": "stableRS", "current": "currentPodHash"}.get(name, name): status[name] for name in status}
        self.status = {"observedGeneration": str(self.generation), "phase": "Progressing"} | hashes | named
        is_done = self.status["stableRS"] == self.status["currentPodHash"]
        times = {"lastTransitionTime": _text(at), "lastUpdateTime": _text(at)}
        self.status["conditions"] = [{"type": "Completed", "status": str(is_done)} | times]

    def _collect(self) -> None:
        """Delete the oldest ReplicaSets, as by revisionHistoryLimit."""
        kept = {self.status["stableRS"], self.status["currentPodHash"]}
        old = sorted(self.templates.keys() - kept, key=lambda pod_hash: self.templates[pod_hash].numbers[-1])
        for pod_hash in old[: -HISTORY_LIMITS[len(self.name) % 2]]:
            del self.templates[pod_hash]

    def _replica_set(self, pod_hash: str, template: _Template) -> Body:
        *former, current = template.numbers
        tags = {"service": self.name, "env": ENV, "version": template.version}
        return {
            "metadata": {
                "uid": f"{self.uid}-{pod_hash}",
                "labels": {"app": self.name, "rollouts-pod-template-hash": pod_hash},
                "annotations": {REVISION: str(current), HISTORY: ",".join(map(str, former))},
                "creationTimestamp": _text(template.created),
                "ownerReferences": [{"kind": "Rollout", "uid": self.uid}],
            },
            "spec": {
                "replicas": REPLICAS,
                "template": {"metadata": {"labels": {f"tags.datadoghq.com/{name}": tags[name] for name in tags}}},
            },
            "status": {"readyReplicas": REPLICAS},
        }


def _text(at: int) -> str:
    return moment(at).isoformat(timespec="seconds").replace("+00:00", "Z")
