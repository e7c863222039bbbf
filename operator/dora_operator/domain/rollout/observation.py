"""Turn a raw Rollout, its ReplicaSets and, where listed, its Events into one frozen value.

Nothing is decided here and nothing raises: what is missing or mistyped is absent in the result.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any

from dora_operator.domain.answer_text import shorten
from dora_operator.domain.rollout import reading
from dora_operator.domain.rollout.identity import ById, Identity, identify, shared_id

REVISION = "rollout.argoproj.io/revision"
REVISION_HISTORY = "rollout.argoproj.io/revision-history"
WORKLOAD_GENERATION = "rollout.argoproj.io/workload-generation"
POD_TEMPLATE_HASH = "rollouts-pod-template-hash"
ABORTED_PREFIX = "RolloutAborted: "
LONGEST_MESSAGE = 256
_SAYS_REVISION = re.compile(r"^Rollout (?:completed|aborted) update to revision (\d{1,10})\b")


class Told(Enum):
    """The two reasons of Argo's Events that say how a revision ended."""

    COMPLETED = "RolloutCompleted"
    ABORTED = "RolloutAborted"


@dataclass(frozen=True, slots=True)
class RolloutEvent:
    """What an Event of the last hour still says about a revision."""

    told: Told
    revision: int
    message: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """One pod template of the Rollout and all the revision numbers that it has had, ascending."""

    uid: str
    pod_template_hash: str
    numbers: tuple[int, ...]
    created_at: datetime | None
    identity: Identity
    replicas: int
    ready: int


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything that the levels say. `up_to_date`: the status speaks of the newest spec and pod template."""

    namespace: str
    name: str
    uid: str
    revision: int | None
    up_to_date: bool
    abort: bool
    aborted_at: datetime | None
    abort_message: str
    phase: str
    stable_hash: str
    current_hash: str
    replicas: int
    changed_at: datetime | None
    """When the newest revision was completed or, while it is not, when the controller last saw it move."""
    replica_sets: tuple[ReplicaSet, ...]
    events: tuple[RolloutEvent, ...] | None
    """None: nobody listed them."""

    def replica_set(self, pod_template_hash: str) -> ReplicaSet | None:
        """Return the owned ReplicaSet with this hash."""
        return next((each for each in self.replica_sets if each.pod_template_hash == pod_template_hash), None)

    @property
    def stable(self) -> ReplicaSet | None:
        """The ReplicaSet that `stableRS` names."""
        return self.replica_set(self.stable_hash) if self.stable_hash else None


def observe(
    rollout: Mapping[str, Any],
    replica_sets: Iterable[Mapping[str, Any]],
    events: Iterable[Mapping[str, Any]] | None = None,
) -> Observation:
    """Read the levels. ReplicaSets and Events of other owners may be among those given; they are left out."""
    uid = reading.text(rollout, "metadata", "uid")
    return Observation(
        namespace=reading.text(rollout, "metadata", "namespace"),
        name=reading.text(rollout, "metadata", "name"),
        uid=uid,
        revision=reading.integer(rollout, "metadata", "annotations", REVISION),
        up_to_date=_is_up_to_date(rollout),
        abort=reading.flag(rollout, "status", "abort"),
        aborted_at=reading.moment(rollout, "status", "abortedAt"),
        abort_message=_abort_message(rollout),
        phase=reading.text(rollout, "status", "phase"),
        stable_hash=reading.text(rollout, "status", "stableRS"),
        current_hash=reading.text(rollout, "status", "currentPodHash"),
        replicas=_or_else(reading.integer(rollout, "spec", "replicas"), 1),
        changed_at=_changed_at(rollout),
        replica_sets=_owned(uid, replica_sets),
        events=None if events is None else tuple(_events(uid, events)),
    )


def _is_up_to_date(rollout: Mapping[str, Any]) -> bool:
    generation = reading.integer(rollout, "metadata", "generation")
    workload = reading.integer(rollout, "metadata", "annotations", WORKLOAD_GENERATION)
    return (
        generation is not None
        and reading.integer(rollout, "status", "observedGeneration") == generation
        and (workload is None or reading.integer(rollout, "status", "workloadObservedGeneration") == workload)
    )


def _abort_message(rollout: Mapping[str, Any]) -> str:
    message = reading.text(rollout, "status", "message")
    return shorten(message.removeprefix(ABORTED_PREFIX), LONGEST_MESSAGE) if message.startswith(ABORTED_PREFIX) else ""


def _changed_at(rollout: Mapping[str, Any]) -> datetime | None:
    conditions = reading.items(rollout, "status", "conditions")
    for condition in conditions:
        if (condition.get("type"), condition.get("status")) == ("Completed", "True"):
            return reading.moment(condition, "lastTransitionTime")
    moved = [reading.moment(condition, "lastUpdateTime") for condition in conditions]
    return max((each for each in moved if each is not None), default=None)


def _owned(uid: str, candidates: Iterable[Mapping[str, Any]]) -> tuple[ReplicaSet, ...]:
    if not uid:
        return ()
    owned = [_replica_set(each) for each in reading.items(tuple(candidates)) if _is_owned_by(uid, each)]
    return _without_shared_ids([each for each in owned if each.pod_template_hash and each.numbers])


def _is_owned_by(uid: str, candidate: Mapping[str, Any]) -> bool:
    return any(owner.get("uid") == uid for owner in reading.items(candidate, "metadata", "ownerReferences"))


def _replica_set(raw: Mapping[str, Any]) -> ReplicaSet:
    history = reading.text(raw, "metadata", "annotations", REVISION_HISTORY).split(",")
    written = [reading.text(raw, "metadata", "annotations", REVISION), *history]
    # A set: Argo repeats the current number in the history when an annotation of the Rollout changes.
    numbers = {number for number in (reading.counted(each.strip()) for each in written) if number}
    return ReplicaSet(
        uid=reading.text(raw, "metadata", "uid"),
        pod_template_hash=reading.text(raw, "metadata", "labels", POD_TEMPLATE_HASH),
        numbers=tuple(sorted(numbers)),
        created_at=reading.moment(raw, "metadata", "creationTimestamp"),
        identity=identify(reading.mapping(raw, "spec", "template")),
        replicas=_or_else(reading.integer(raw, "spec", "replicas"), 0),
        ready=_or_else(reading.integer(raw, "status", "readyReplicas"), 0),
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


def _events(uid: str, candidates: Iterable[Mapping[str, Any]]) -> Iterable[RolloutEvent]:
    reasons = {told.value: told for told in Told}
    for each in reading.items(tuple(candidates)):
        told = reasons.get(reading.text(each, "reason"))
        says = _SAYS_REVISION.match(reading.text(each, "message"))
        if told and says and uid and reading.text(each, "involvedObject", "uid") == uid:
            yield RolloutEvent(told, int(says[1]), shorten(says.string, LONGEST_MESSAGE), _event_time(each))


def _event_time(event: Mapping[str, Any]) -> datetime | None:
    return (
        reading.moment(event, "lastTimestamp")
        or reading.moment(event, "eventTime")
        or reading.moment(event, "metadata", "creationTimestamp")
    )


def _or_else(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value
