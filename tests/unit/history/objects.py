"""Raw Rollouts and ReplicaSets, and observations, for tables."""

from datetime import UTC, datetime, timedelta
from typing import Any

from dora_operator.domain.fields import SourceKind
from dora_operator.domain.history.advance import advance
from dora_operator.domain.history.history import Cause, History, Workload
from dora_operator.domain.history.identity import Identity
from dora_operator.domain.history.observation import Failing, Observation, Template
from dora_operator.domain.history.policy import Policy

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
WORKLOAD = Workload(kind=SourceKind.ROLLOUT, name="checkout", uid="uid-1")


def template(name: str, *numbers: int, **tags: str | None) -> Template:
    """Return a template: `V1/b` is version V1 with the hash `V1/b`."""
    usual: dict[str, Any] = {"service": "checkout", "env": "prod", "version": name.split("/", maxsplit=1)[0]}
    return Template(name, numbers, Identity(**(usual | tags)), NOW - timedelta(hours=1) + timedelta(minutes=numbers[0]))


def observation(current: str, stable: str, *templates: Template, **fields: Any) -> Observation:
    """Return an observation of a settled workload."""
    number = next(t.numbers[-1] for t in templates if t.pod_template_hash == current)
    values: dict[str, Any] = {"workload": WORKLOAD, "revision": number, "current_hash": current, "stable_hash": stable}
    return Observation(templates=templates, **(values | fields))


def aborted(message: str = "", **fields: Any) -> Failing:
    """Return an abort that was carried out."""
    return Failing(Cause.ABORT, message, fields.get("time", NOW))


def after(*observations: Observation, policy: Policy | None = None) -> History:
    """Return the history after observations, one minute apart."""
    history = None
    for minute, seen in enumerate(observations):
        history = advance(history, seen, NOW + timedelta(minutes=minute), policy or Policy())
    assert history is not None
    return history


def rollout(**fields: Any) -> dict[str, Any]:
    """Return a raw Rollout in flight from V1 to V2: revision 2. Fields: status, annotations, spec, generation."""
    status = {"observedGeneration": "5", "currentPodHash": "V2", "stableRS": "V1"} | fields.get("status", {})
    annotations = {"rollout.argoproj.io/revision": "2"} | fields.get("annotations", {})
    metadata = {
        "name": "checkout",
        "uid": "uid-1",
        "generation": fields.get("generation", 5),
        "annotations": annotations,
    }
    return {"metadata": metadata, "spec": fields.get("spec", {}), "status": status}


def replica_set(name: str, revision: str, history: str = "", **fields: Any) -> dict[str, Any]:
    """Return a raw ReplicaSet. Fields: uid, labels, annotations, ready."""
    tags = {"service": "checkout", "env": "prod", "version": name.split("/", maxsplit=1)[0]}
    labels = {f"tags.datadoghq.com/{tag}": value for tag, value in (tags | fields.get("labels", {})).items()}
    annotations = {"rollout.argoproj.io/revision": revision, "rollout.argoproj.io/revision-history": history}
    return {
        "metadata": {
            "labels": {"rollouts-pod-template-hash": name},
            "annotations": annotations,
            "creationTimestamp": "2026-11-23T03:00:00Z",
            "ownerReferences": [{"uid": fields.get("uid", "uid-1")}],
        },
        "spec": {"template": {"metadata": {"labels": labels, "annotations": fields.get("annotations", {})}}},
        "status": {"readyReplicas": fields.get("ready", 0)},
    }
