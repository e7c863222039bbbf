"""An Argo Rollouts controller in memory: the same objects in the same order as the real one in the traces.

Every action is a generator that yields after each write, so a test can observe between any two of them. It reuses and
deletes ReplicaSets as the real one does. It leaves out pods, steps, weights and all conditions but Completed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.unit.history.truth import Truth

Template = tuple[str, str]
"""Version, and what else differs between two pod templates of one version."""

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
REVISION = "rollout.argoproj.io/revision"
HISTORY = "rollout.argoproj.io/revision-history"
NOT_LABELLED = "none"
"""A version without a label."""


@dataclass
class Simulator:
    """One Rollout and the controller that acts on it, and beside it the truth about every revision."""

    limit: int = 10
    """revisionHistoryLimit: ReplicaSets that are neither stable nor current."""
    lags: bool = True
    """Whether observedGeneration is written before currentPodHash, as the real controller sometimes does."""
    template: Template = ("1.0.0", "a")
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    """Tags and annotations by version, where they differ from the usual ones."""
    spec: dict[str, Any] = field(default_factory=dict)
    generation: int = 0
    clock: datetime = NOW
    status: dict[str, Any] = field(default_factory=dict)
    newest: int = 0
    annotation: int = 0
    numbers: dict[Template, list[int]] = field(default_factory=dict)
    """In the order written: the last one is the annotation `revision`, the others its history."""
    created: dict[Template, datetime] = field(default_factory=dict)
    templates: dict[int, Template] = field(default_factory=dict)
    """Of every revision, whether its ReplicaSet still exists or not."""
    truth: Truth = field(default_factory=Truth)
    is_pending: bool = False
    """Whether the template was changed and the status is still about the revision before."""
    uid: str = "uid-1"

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
        yield from self._written_new(self.template)
        yield from self._settled()

    def deploy(self, template: Template, *, is_settled: bool = True) -> Iterator[None]:
        """Change the pod template: a new version, a change of configuration, a git revert or an undo.

        `is_settled`: else the template is changed again before the controller writes its status.
        """
        if template != self.template:
            yield from self._written_new(template)
            self.is_pending = True
        if is_settled and self.is_pending:
            yield from self._settled()

    def settle(self) -> Iterator[None]:
        """Let the controller write its status, where it has not done so after the last change of the template."""
        if self.is_pending:
            yield from self._settled()

    def undo(self, number: int) -> Iterator[None]:
        """Go back to the template of a former revision, or of the nearest one."""
        yield from self.deploy(self.templates[min(self.templates, key=lambda n: abs(n - number))])

    def abort(self, *, by_hand: bool = True) -> Iterator[None]:
        """Abort: by hand, `abort` is seen before the controller has acted on it."""
        if not self.is_in_flight or self.is_aborted:
            return
        self.status["abort"] = True
        if by_hand:
            yield from self._written()
        message = f"Rollout aborted update to revision {self.annotation}"
        self.status |= {"abortedAt": self._time(), "phase": "Degraded", "message": f"RolloutAborted: {message}"}
        self.truth.aborts()
        yield from self._written()

    def abort_and_replace(self, template: Template) -> Iterator[None]:
        """Abort by hand, and change the template before the controller has acted on the abort."""
        if self.is_in_flight and not self.is_aborted and template != self.template:
            self.status["abort"] = True
            self.truth.asks_to_abort()
            yield from self._written()
            yield from self.deploy(template)

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
        self.truth.promotes()
        yield from self._written()
        yield from self._pruned()

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

    def rollout(self) -> dict[str, Any]:
        """Return the Rollout as the API server has it."""
        return {
            "kind": "Rollout",
            "metadata": {
                "name": "checkout",
                "namespace": "shop",
                "uid": self.uid,
                "generation": self.generation,
                "annotations": {REVISION: str(self.annotation)} if self.annotation else {},
            },
            "spec": {"template": self._pod_template(self.template)} | self.spec,
            "status": dict(self.status),
        }

    def replica_sets(self) -> list[dict[str, Any]]:
        """Return the ReplicaSets that exist."""
        return [self._replica_set(template) for template in self.numbers]

    def _written_new(self, template: Template) -> Iterator[None]:
        self.template = template
        self.generation += 1
        yield from self._written()
        self.newest += 1
        self.templates[self.newest] = template
        self.numbers.setdefault(template, []).append(self.newest)
        self.created.setdefault(template, self.clock)
        yield from self._written()
        self.annotation = self.newest
        yield from self._written()

    def _settled(self) -> Iterator[None]:
        self.is_pending = False
        # Seen in the traces: for one write observedGeneration is new, and all else is about the revision before.
        if self.lags and self.status.get("currentPodHash"):
            self.status["observedGeneration"] = str(self.generation)
            yield from self._written()
        name = hash_of(self.template)
        self.status = {
            "observedGeneration": str(self.generation),
            "stableRS": self.status.get("stableRS", name),
            "currentPodHash": name,
            "conditions": self.status.get("conditions", []),
        }
        self._complete(is_complete=not self.is_in_flight)
        self.truth.begins(self.newest, self.template[0], is_stable=not self.is_in_flight)
        yield from self._written()
        yield from self._pruned()

    def _pruned(self) -> Iterator[None]:
        kept = {self.status["stableRS"], self.status["currentPodHash"]}
        old = sorted((t for t in self.numbers if hash_of(t) not in kept), key=lambda t: self.created[t])
        for template in old[: max(0, len(old) - self.limit)]:
            del self.numbers[template], self.created[template]
            yield from self._written()

    def _complete(self, *, is_complete: bool) -> None:
        written = {"type": "Completed", "status": "True" if is_complete else "False"}
        self.status["conditions"] = [written | {"lastTransitionTime": self._time()}]

    def _time(self) -> str:
        return self.clock.isoformat(timespec="seconds").replace("+00:00", "Z")

    def _written(self) -> Iterator[None]:
        # A third of a second: the times of objects are whole seconds, so they tie as in the traces.
        self.clock += timedelta(milliseconds=333)
        yield

    def _replica_set(self, template: Template) -> dict[str, Any]:
        *past, current = self.numbers[template]
        history = {HISTORY: ",".join(map(str, past))} if past else {}
        return {
            "metadata": {
                "uid": f"{self.uid}-{template}",
                "labels": {"rollouts-pod-template-hash": hash_of(template)},
                "annotations": {REVISION: str(current)} | history,
                "ownerReferences": [{"kind": "Rollout", "uid": self.uid}],
                "creationTimestamp": self.created[template].isoformat(timespec="seconds"),
            },
            "spec": {"template": self._pod_template(template)},
            "status": {"readyReplicas": 2},
        }

    def _pod_template(self, template: Template) -> dict[str, Any]:
        usual = {"service": "checkout", "env": "prod", "version": template[0]}
        tags = usual | self.tags.get(template[0], {})
        if template[0].startswith(NOT_LABELLED):
            del tags["version"]
        annotations = {"dora-operator.io/deployment-id": tags.pop("id")} if "id" in tags else {}
        labels = {f"tags.datadoghq.com/{tag}": value for tag, value in tags.items()}
        return {"metadata": {"labels": labels, "annotations": annotations}}


def hash_of(template: Template) -> str:
    """Return the pod template hash."""
    return "-".join(template).replace(".", "")
