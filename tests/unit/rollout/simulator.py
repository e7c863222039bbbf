"""An Argo Rollouts controller in memory: writes the same objects in the same order as the real one in `traces`.

Every action is a generator that yields after each write, so a test can decide between any two of them. It leaves out
pods, steps, weights and all conditions but Completed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.unit.rollout.operator_stand_in import NOW, Levels

Template = tuple[str, str]
"""Version, and what else differs between two pod templates of one version."""

REVISION = "rollout.argoproj.io/revision"
HISTORY = "rollout.argoproj.io/revision-history"


@dataclass
class Simulator:
    """One Rollout and the controller that acts on it. `levels` are always what the API server would answer."""

    template: Template = ("1.0.0", "a")
    generation: int = 0
    clock: datetime = NOW
    lags: bool = True
    """Whether observedGeneration is written before currentPodHash, as the real controller sometimes does."""
    incarnation: int = 0
    levels: Levels = field(default_factory=Levels)
    status: dict[str, Any] = field(default_factory=dict)
    revision: str = ""
    numbers: dict[Template, list[int]] = field(default_factory=dict)
    """In the order written: the last one is the annotation `revision`, the others its history."""
    created: dict[Template, datetime] = field(default_factory=dict)
    collected: set[str] = field(default_factory=set)
    """Versions without any ReplicaSet left."""

    @property
    def uid(self) -> str:
        """The Rollout's uid; another one after it was deleted and created again."""
        return f"uid-{self.incarnation}"

    @property
    def newest(self) -> int:
        """The newest revision."""
        return max((number for each in self.numbers.values() for number in each), default=0)

    @property
    def is_in_flight(self) -> bool:
        """Whether the current revision is not the stable one."""
        return self.status["stableRS"] != self.status["currentPodHash"]

    @property
    def is_aborted(self) -> bool:
        """Whether the current revision is aborted."""
        return bool(self.status.get("abort"))

    def start(self) -> Iterator[None]:
        """Create the Rollout: its first revision is stable at once."""
        self.incarnation += 1
        self.generation, self.revision, self.status = 0, "", {}
        self.numbers, self.created, self.collected = {}, {}, set()
        yield from self.deploy(self.template)

    def deploy(self, template: Template) -> Iterator[None]:
        """Change the pod template: a new version, a change of configuration, a git revert or an undo."""
        if self.numbers and template == self.template:
            return
        self.template = template
        self.generation += 1
        yield from self._written()
        self.numbers.setdefault(template, []).append(self.newest + 1)
        self.created.setdefault(template, self.clock)
        yield from self._written()
        self.revision = str(self.newest)
        yield from self._written()
        # Seen in the traces: for one write observedGeneration is new, and all else is about the revision before.
        if self.lags and self.status.get("currentPodHash"):
            self.status["observedGeneration"] = str(self.generation)
            yield from self._written()
        self._begin(template)
        yield from self._written()

    def undo(self, number: int) -> Iterator[None]:
        """Go back to the template of a former revision."""
        yield from self.deploy(next(template for template, each in self.numbers.items() if number in each))

    def abort(self, *, by_hand: bool) -> Iterator[None]:
        """Abort: by hand, `abort` is seen before the controller has acted on it."""
        if not self.is_in_flight or self.is_aborted:
            return
        self.status["abort"] = True
        if by_hand:
            yield from self._written()
        message = f"Rollout aborted update to revision {self.revision}"
        self.status |= {"abortedAt": self._time(), "phase": "Degraded", "message": f"RolloutAborted: {message}"}
        yield from self._written()

    def retry(self) -> Iterator[None]:
        """Try the aborted revision again."""
        if not self.is_aborted:
            return
        self.status["abort"] = False
        yield from self._written()
        del self.status["abortedAt"]
        self.status |= {"phase": "Progressing", "message": "more replicas need to be updated"}
        yield from self._written()

    def promote(self) -> Iterator[None]:
        """Complete the current revision."""
        if not self.is_in_flight or self.is_aborted:
            return
        self.status["stableRS"] = self.status["currentPodHash"]
        self._complete(is_complete=True)
        yield from self._written()
        self.status |= {"phase": "Healthy", "message": ""}
        yield from self._written()

    def scale(self) -> Iterator[None]:
        """Change the number of replicas: a new generation, the same revision."""
        self.generation += 1
        yield from self._written()
        self.status["observedGeneration"] = str(self.generation)
        yield from self._written()

    def annotate(self) -> Iterator[None]:
        """Change an annotation of the Rollout: Argo then writes the current revision into the history as well."""
        self.numbers[self.template].append(self.newest)
        yield from self._written()

    def collect(self) -> Iterator[None]:
        """Delete the oldest ReplicaSet of those that are the last of a version neither stable nor current."""
        kept = {self.status["stableRS"], self.status["currentPodHash"]}
        in_use = {template[0] for template in self.numbers if hash_of(template) in kept}
        versions = [version for version, _ in self.numbers]
        old = [each for each in self.numbers if each[0] not in in_use and versions.count(each[0]) == 1]
        if old:
            oldest = min(old, key=lambda template: max(self.numbers[template]))
            del self.numbers[oldest]
            self.collected.add(oldest[0])
            yield from self._written()

    def _begin(self, template: Template) -> None:
        self.status = {
            "observedGeneration": str(self.generation),
            "stableRS": self.status.get("stableRS", hash_of(template)),
            "currentPodHash": hash_of(template),
            "phase": "Progressing",
            "message": "more replicas need to be updated",
            "conditions": self.status.get("conditions", []),
        }
        self._complete(is_complete=not self.is_in_flight)

    def _complete(self, *, is_complete: bool) -> None:
        written = {"type": "Completed", "status": "True" if is_complete else "False"}
        self.status["conditions"] = [written | {"lastTransitionTime": self._time(), "lastUpdateTime": self._time()}]

    def _time(self) -> str:
        return self.clock.isoformat(timespec="seconds").replace("+00:00", "Z")

    def _written(self) -> Iterator[None]:
        # A third of a second: the times of objects are whole seconds, so they tie as in the traces.
        self.clock += timedelta(milliseconds=333)
        metadata = {"name": "checkout", "namespace": "shop", "uid": self.uid, "generation": self.generation}
        self.levels.rollout = {
            "metadata": metadata | {"annotations": {REVISION: self.revision}},
            "spec": {"replicas": 2},
            "status": dict(self.status),
        }
        self.levels.replica_sets = {str(template): self._replica_set(template) for template in self.numbers}
        yield

    def _replica_set(self, template: Template) -> dict[str, Any]:
        *former, current = self.numbers[template]
        history = {HISTORY: ",".join(map(str, former))} if former else {}
        tags = {"service": "checkout", "env": "prod", "version": template[0]}
        return {
            "metadata": {
                "uid": f"{self.uid}-{template}",
                "labels": {"rollouts-pod-template-hash": hash_of(template)},
                "annotations": {REVISION: str(current)} | history,
                "ownerReferences": [{"kind": "Rollout", "uid": self.uid}],
                "creationTimestamp": self.created[template].isoformat(timespec="seconds"),
            },
            "spec": {
                "replicas": 2,
                "template": {"metadata": {"labels": {f"tags.datadoghq.com/{tag}": tags[tag] for tag in tags}}},
            },
            "status": {"readyReplicas": 2},
        }


def hash_of(template: Template) -> str:
    """Return the pod template hash."""
    return "-".join(template).replace(".", "")
