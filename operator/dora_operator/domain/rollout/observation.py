"""A raw Rollout and its ReplicaSets as frozen values. The one place that parses them.

Nothing is decided here and nothing raises: what is missing or mistyped is absent in the result.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from dora_operator.domain.fields import GROUP, ObjectKey
from dora_operator.domain.outcome import shorten
from dora_operator.domain.rollout import raw
from dora_operator.domain.rollout.identity import ById, Identity, identify, shared_id

REVISION = "rollout.argoproj.io/revision"
REVISION_HISTORY = "rollout.argoproj.io/revision-history"
WORKLOAD_GENERATION = "rollout.argoproj.io/workload-generation"
POD_TEMPLATE_HASH = "rollouts-pod-template-hash"
ABORTED_PREFIX = "RolloutAborted: "


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """One pod template of the Rollout and all the revision numbers that it has had, ascending."""

    pod_template_hash: str
    numbers: tuple[int, ...]
    created_at: datetime | None
    identity: Identity
    replicas: int
    ready: int


@dataclass(frozen=True, slots=True)
class Rollout:
    """All that decisions and the reconciler read of a Rollout."""

    key: ObjectKey
    uid: str
    resource_version: str
    annotations: dict[str, str]
    """Those of the operator only."""
    match_labels: dict[str, str]
    revision: int | None
    generation: int | None
    observed_generation: int | None
    up_to_date: bool
    """Whether the status is about the newest spec and pod template."""
    abort: bool
    aborted_at: datetime | None
    abort_message: str
    stable_hash: str
    current_hash: str
    replicas: int
    changed_at: datetime | None
    """When the newest revision was completed or, while it is not, when the controller last saw it move."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A Rollout with the objects around it."""

    rollout: Rollout
    replica_sets: tuple[ReplicaSet, ...]
    current: ReplicaSet | None
    """The one that `currentPodHash` names."""
    stable: ReplicaSet | None
    """The one that `stableRS` names."""


def observe(rollout: Rollout, replica_sets: tuple[ReplicaSet, ...]) -> Observation:
    """Put parsed objects together."""
    named = {each.pod_template_hash: each for each in reversed(replica_sets)}
    stable = named.get(rollout.stable_hash) if rollout.stable_hash else None
    return Observation(rollout, replica_sets, named.get(rollout.current_hash), stable)


def parse_rollout(body: Mapping[str, Any]) -> Rollout:
    """Read a raw Rollout."""
    metadata, status = raw.mapping(body, "metadata"), raw.mapping(body, "status")
    generation, observed = raw.integer(metadata, "generation"), raw.integer(status, "observedGeneration")
    return Rollout(
        key=ObjectKey(raw.identifier(metadata, "namespace"), raw.identifier(metadata, "name")),
        uid=raw.identifier(metadata, "uid"),
        resource_version=raw.text(metadata, "resourceVersion"),
        annotations=raw.texts(metadata, "annotations", prefix=f"{GROUP}/"),
        match_labels=raw.texts(body, "spec", "selector", "matchLabels"),
        revision=raw.integer(metadata, "annotations", REVISION),
        generation=generation,
        observed_generation=observed,
        up_to_date=generation is not None and generation == observed and _is_of_newest_template(body),
        abort=raw.flag(status, "abort"),
        aborted_at=raw.moment(status, "abortedAt"),
        abort_message=_abort_message(status),
        stable_hash=raw.identifier(status, "stableRS"),
        current_hash=raw.identifier(status, "currentPodHash"),
        replicas=_or_else(raw.integer(body, "spec", "replicas"), 1),
        changed_at=_changed_at(status),
    )


def parse_replica_sets(uid: str, bodies: Iterable[Mapping[str, Any]]) -> tuple[ReplicaSet, ...]:
    """Read the ReplicaSets that the Rollout with this uid owns; those of other owners are left out."""
    if not uid:
        return ()
    owned = [_replica_set(each) for each in raw.items(tuple(bodies)) if _is_owned_by(uid, each)]
    return _without_shared_ids([each for each in owned if each.pod_template_hash and each.numbers])


def _is_of_newest_template(body: Mapping[str, Any]) -> bool:
    """With workloadRef, the pod template has a generation of its own."""
    workload = raw.integer(body, "metadata", "annotations", WORKLOAD_GENERATION)
    return workload is None or raw.integer(body, "status", "workloadObservedGeneration") == workload


def _abort_message(status: Mapping[str, Any]) -> str:
    message = raw.text(status, "message")
    return shorten(message.removeprefix(ABORTED_PREFIX)) if message.startswith(ABORTED_PREFIX) else ""


def _changed_at(status: Mapping[str, Any]) -> datetime | None:
    conditions = raw.items(status, "conditions")
    for condition in conditions:
        if (condition.get("type"), condition.get("status")) == ("Completed", "True"):
            return raw.moment(condition, "lastTransitionTime")
    moved = [raw.moment(condition, "lastUpdateTime") for condition in conditions]
    return max((each for each in moved if each is not None), default=None)


def _is_owned_by(uid: str, candidate: Mapping[str, Any]) -> bool:
    return any(owner.get("uid") == uid for owner in raw.items(candidate, "metadata", "ownerReferences"))


def _replica_set(body: Mapping[str, Any]) -> ReplicaSet:
    history = raw.text(body, "metadata", "annotations", REVISION_HISTORY).split(",")
    written = [raw.text(body, "metadata", "annotations", REVISION), *history]
    # A set: Argo repeats the current number in the history when an annotation of the Rollout changes.
    numbers = {number for number in (raw.counted(each.strip()) for each in written) if number}
    return ReplicaSet(
        pod_template_hash=raw.identifier(body, "metadata", "labels", POD_TEMPLATE_HASH),
        numbers=tuple(sorted(numbers)),
        created_at=raw.moment(body, "metadata", "creationTimestamp"),
        identity=identify(raw.mapping(body, "spec", "template")),
        replicas=_or_else(raw.integer(body, "spec", "replicas"), 0),
        ready=_or_else(raw.integer(body, "status", "readyReplicas"), 0),
    )


def _without_shared_ids(replica_sets: Sequence[ReplicaSet]) -> tuple[ReplicaSet, ...]:
    versions: defaultdict[str, set[str | None]] = defaultdict(set)
    for each in replica_sets:
        if isinstance(each.identity, ById):
            versions[each.identity.deployment_id].add(each.identity.version)
    shared = {deployment_id for deployment_id, found in versions.items() if len(found) > 1}
    return tuple(
        replace(each, identity=shared_id(each.identity.deployment_id))
        if isinstance(each.identity, ById) and each.identity.deployment_id in shared
        else each
        for each in replica_sets
    )


def _or_else(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value
