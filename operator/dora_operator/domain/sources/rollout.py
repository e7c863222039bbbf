"""An Argo Rollout and its ReplicaSets as an Observation. Never raises: what is missing or mistyped is absent.

Argo writes a new revision in steps: ReplicaSet, the Rollout's annotation, observedGeneration, currentPodHash. Between
them the status is about the revision before, and `Observation.revision` is None.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from dora_operator.domain import raw
from dora_operator.domain.fields import GROUP, ObjectKey, SourceKind
from dora_operator.domain.history.history import Cause, History, Workload
from dora_operator.domain.history.identity import Identity, identify
from dora_operator.domain.history.observation import Failing, Observation, Template
from dora_operator.domain.outcome import shorten

API_VERSION = "argoproj.io/v1alpha1"
REVISION = "rollout.argoproj.io/revision"
REVISION_HISTORY = "rollout.argoproj.io/revision-history"
WORKLOAD_GENERATION = "rollout.argoproj.io/workload-generation"
POD_TEMPLATE_HASH = "rollouts-pod-template-hash"
ABORTED_PREFIX = "RolloutAborted: "
_ABORTED_REVISION = re.compile(r"RolloutAborted: Rollout aborted update to revision (\d{1,10})\b")

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rollout:
    """All that the operator keeps of a Rollout."""

    key: ObjectKey
    uid: str
    resource_version: str
    annotations: dict[str, str]
    """Those of the operator only."""
    match_labels: dict[str, str]
    number: int | None
    """The newest revision, by the annotation."""
    is_observed: bool
    """Whether the status is about the newest spec and pod template."""
    current_hash: str
    stable_hash: str
    failing: Failing | None
    completed_time: datetime | None
    began_time: datetime | None
    template_identity: Identity | None
    """What its own pod template names; None with workloadRef."""

    @property
    def workload(self) -> Workload:
        return Workload(kind=SourceKind.ROLLOUT, name=self.key.name, uid=self.uid)


def parse_rollout(body: Raw) -> Rollout:
    metadata, status = raw.mapping(body, "metadata"), raw.mapping(body, "status")
    completed, began = _completed(status)
    template = raw.mapping(body, "spec", "template")
    return Rollout(
        key=ObjectKey(raw.identifier(metadata, "namespace"), raw.identifier(metadata, "name")),
        uid=raw.identifier(metadata, "uid"),
        resource_version=raw.text(metadata, "resourceVersion"),
        annotations=raw.texts(metadata, "annotations", prefix=f"{GROUP}/"),
        match_labels=raw.texts(body, "spec", "selector", "matchLabels"),
        number=raw.integer(metadata, "annotations", REVISION),
        is_observed=_is_observed(body),
        current_hash=raw.identifier(status, "currentPodHash"),
        stable_hash=raw.identifier(status, "stableRS"),
        failing=_failing(body, status),
        completed_time=completed,
        began_time=began,
        template_identity=identify(template) if template else None,
    )


def parse_replica_sets(uid: str, bodies: Iterable[Raw]) -> tuple[Template, ...]:
    """Read the ReplicaSets that the Rollout with this uid owns; those of other owners are left out."""
    owned = [_template(item) for item in raw.items(tuple(bodies)) if uid and _is_owned_by(uid, item)]
    return tuple(template for template in owned if template is not None)


def observe(rollout: Rollout, templates: tuple[Template, ...], history: History | None = None) -> Observation:
    """Put a Rollout and its ReplicaSets together. The history may have the current one already."""
    current = [template for template in templates if template.pod_template_hash == rollout.current_hash]
    known = history.current if history is not None else None
    is_known = known is not None and (known.number, known.pod_template_hash) == (rollout.number, rollout.current_hash)
    agrees = is_known or any(template.numbers[-1] == rollout.number for template in current)
    revision = rollout.number if rollout.is_observed and agrees else None
    if revision is not None and rollout.template_identity is not None:
        # Ephemeral metadata (canaryMetadata and others) changes a ReplicaSet's tags, not those of the Rollout.
        own = [replace(template, identity=rollout.template_identity) for template in current]
        templates = (*(t for t in templates if t.pod_template_hash != rollout.current_hash), *own)
    return Observation(
        workload=rollout.workload,
        templates=templates,
        revision=revision,
        current_hash=rollout.current_hash,
        stable_hash=rollout.stable_hash,
        failing=rollout.failing,
        served=any(template.ready for template in current),
        began_time=rollout.began_time,
        promoted_time=rollout.completed_time,
    )


def observation_of(body: Raw, replica_sets: Iterable[Raw]) -> Observation:
    """Read raw objects of one moment."""
    rollout = parse_rollout(body)
    return observe(rollout, parse_replica_sets(rollout.uid, replica_sets))


def _is_observed(body: Raw) -> bool:
    """Return whether the status is about the newest spec and pod template, and the abort in it about this revision."""
    generation = raw.integer(body, "metadata", "generation")
    observed = [generation is not None and generation == raw.integer(body, "status", "observedGeneration")]
    workload = raw.integer(body, "metadata", "annotations", WORKLOAD_GENERATION)
    if raw.mapping(body, "spec", "workloadRef") and workload is not None:  # the template has its own generation
        observed.append(raw.integer(body, "status", "workloadObservedGeneration") == workload)
    aborted = _ABORTED_REVISION.match(raw.text(body, "status", "message"))
    if raw.flag(body, "status", "abort") and aborted is not None:  # a template that is used again: an earlier abort
        observed.append(int(aborted[1]) == raw.integer(body, "metadata", "annotations", REVISION))
    return all(observed)


def _template(body: Raw) -> Template | None:
    history = raw.text(body, "metadata", "annotations", REVISION_HISTORY).split(",")
    written = [raw.text(body, "metadata", "annotations", REVISION), *history]
    # A set: Argo repeats the current number in the history when an annotation of the Rollout changes.
    numbers = tuple(sorted({number for number in (raw.counted(text.strip()) for text in written) if number}))
    pod_template_hash = raw.identifier(body, "metadata", "labels", POD_TEMPLATE_HASH)
    if not numbers or not pod_template_hash:
        return None
    created = raw.moment(body, "metadata", "creationTimestamp")
    is_ready = bool(raw.integer(body, "status", "readyReplicas"))
    return Template(pod_template_hash, numbers, identify(raw.mapping(body, "spec", "template")), created, is_ready)


def _failing(body: Raw, status: Raw) -> Failing | None:
    """An abort of the current revision, where there is another one to go back to.

    The controller takes back an abort while it promotes in full, and for a rollback within the window: before it has
    carried out such an abort, nothing is known.
    """
    stable, time = raw.identifier(status, "stableRS"), raw.moment(status, "abortedAt")
    if not raw.flag(status, "abort") or stable in {"", raw.identifier(status, "currentPodHash")}:
        return None
    may_be_taken_back = raw.flag(status, "promoteFull") or bool(raw.mapping(body, "spec", "rollbackWindow"))
    if time is None and may_be_taken_back:
        return None
    message = raw.text(status, "message")
    return Failing(Cause.ABORT, shorten(message.removeprefix(ABORTED_PREFIX)) if time else "", time)


def _completed(status: Raw) -> tuple[datetime | None, datetime | None]:
    """Return when the current revision was completed, or when it began after a completed one."""
    completed = [item for item in raw.items(status, "conditions") if item.get("type") == "Completed"]
    time = raw.moment(completed[0], "lastTransitionTime") if completed else None
    return (time, None) if completed and completed[0].get("status") == "True" else (None, time)


def _is_owned_by(uid: str, candidate: Raw) -> bool:
    return any(owner.get("uid") == uid for owner in raw.items(candidate, "metadata", "ownerReferences"))
