"""An Argo Rollout and its ReplicaSets as an Observation. Never raises: what is missing or mistyped is absent.

Argo writes a new revision in steps: ReplicaSet, the Rollout's annotation, observedGeneration, currentPodHash. Between
them the status is about the revision before, and `Observation.revision` is None.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from dora_operator.domain.fields import SourceKind
from dora_operator.domain.history.history import Cause, Workload
from dora_operator.domain.history.identity import identify
from dora_operator.domain.history.observation import Failing, Observation, Template
from dora_operator.domain.outcome import shorten
from dora_operator.domain.rollout import raw

API_VERSION = "argoproj.io/v1alpha1"
REVISION = "rollout.argoproj.io/revision"
REVISION_HISTORY = "rollout.argoproj.io/revision-history"
WORKLOAD_GENERATION = "rollout.argoproj.io/workload-generation"
POD_TEMPLATE_HASH = "rollouts-pod-template-hash"
ABORTED_PREFIX = "RolloutAborted: "
_ABORTED_REVISION = re.compile(r"RolloutAborted: Rollout aborted update to revision (\d{1,10})\b")

Raw = Mapping[str, Any]


def observe(rollout: Raw, replica_sets: Iterable[Raw]) -> Observation:
    """Read a Rollout and the ReplicaSets that it owns; those of other owners are left out."""
    metadata, status = raw.mapping(rollout, "metadata"), raw.mapping(rollout, "status")
    uid, current = raw.identifier(metadata, "uid"), raw.identifier(status, "currentPodHash")
    owned = [item for item in raw.items(tuple(replica_sets)) if uid and _is_owned_by(uid, item)]
    templates = [template for item in owned if (template := _template(item)) is not None]
    revision = _revision(rollout, [template for template in templates if template.pod_template_hash == current])
    completed, began = _completed(status)
    return Observation(
        workload=Workload(kind=SourceKind.ROLLOUT, name=raw.identifier(metadata, "name"), uid=uid),
        templates=tuple(_with_own_tags(rollout, revision, current, template) for template in templates),
        revision=revision,
        current_hash=current,
        stable_hash=raw.identifier(status, "stableRS"),
        failing=_failing(rollout, status),
        served=any(_is_ready(item, current) for item in owned),
        began_time=began,
        promoted_time=completed,
    )


def _revision(rollout: Raw, current: list[Template]) -> int | None:
    """Return the revision that spec, status, annotation and ReplicaSet agree on, and the abort that is shown."""
    number = raw.integer(rollout, "metadata", "annotations", REVISION)
    generation = raw.integer(rollout, "metadata", "generation")
    is_observed = generation is not None and generation == raw.integer(rollout, "status", "observedGeneration")
    if raw.mapping(rollout, "spec", "workloadRef"):  # the pod template has a generation of its own
        workload = raw.integer(rollout, "metadata", "annotations", WORKLOAD_GENERATION)
        is_observed &= workload is None or raw.integer(rollout, "status", "workloadObservedGeneration") == workload
    aborted = _ABORTED_REVISION.match(raw.text(rollout, "status", "message"))
    if raw.flag(rollout, "status", "abort") and aborted is not None:
        is_observed &= int(aborted[1]) == number  # of a template that is used again, the abort is an earlier one
    return number if is_observed and any(template.numbers[-1] == number for template in current) else None


def _template(body: Raw) -> Template | None:
    history = raw.text(body, "metadata", "annotations", REVISION_HISTORY).split(",")
    written = [raw.text(body, "metadata", "annotations", REVISION), *history]
    # A set: Argo repeats the current number in the history when an annotation of the Rollout changes.
    numbers = tuple(sorted({number for number in (raw.counted(text.strip()) for text in written) if number}))
    pod_template_hash = raw.identifier(body, "metadata", "labels", POD_TEMPLATE_HASH)
    if not numbers or not pod_template_hash:
        return None
    created = raw.moment(body, "metadata", "creationTimestamp")
    return Template(pod_template_hash, numbers, identify(raw.mapping(body, "spec", "template")), created)


def _with_own_tags(rollout: Raw, revision: int | None, current: str, template: Template) -> Template:
    """Ephemeral metadata (canaryMetadata and others) changes a ReplicaSet's tags, not those of the Rollout."""
    own = raw.mapping(rollout, "spec", "template")
    is_own = revision is not None and template.pod_template_hash == current and bool(own)
    return replace(template, identity=identify(own)) if is_own else template


def _failing(rollout: Raw, status: Raw) -> Failing | None:
    """An abort of the current revision, where there is another one to go back to.

    The controller takes back an abort while it promotes in full, and for a rollback within the window: before it has
    carried out such an abort, nothing is known.
    """
    stable, time = raw.identifier(status, "stableRS"), raw.moment(status, "abortedAt")
    if not raw.flag(status, "abort") or stable in {"", raw.identifier(status, "currentPodHash")}:
        return None
    may_be_taken_back = raw.flag(status, "promoteFull") or bool(raw.mapping(rollout, "spec", "rollbackWindow"))
    if time is None and may_be_taken_back:
        return None
    message = raw.text(status, "message")
    return Failing(Cause.ABORT, shorten(message.removeprefix(ABORTED_PREFIX)) if time else "", time)


def _completed(status: Raw) -> tuple[datetime | None, datetime | None]:
    """Return when the current revision was completed, or when it began after a completed one."""
    completed = [item for item in raw.items(status, "conditions") if item.get("type") == "Completed"]
    time = raw.moment(completed[0], "lastTransitionTime") if completed else None
    return (time, None) if completed and completed[0].get("status") == "True" else (None, time)


def _is_ready(body: Raw, current: str) -> bool:
    is_current = raw.identifier(body, "metadata", "labels", POD_TEMPLATE_HASH) == current != ""
    return is_current and bool(raw.integer(body, "status", "readyReplicas"))


def _is_owned_by(uid: str, candidate: Raw) -> bool:
    return any(owner.get("uid") == uid for owner in raw.items(candidate, "metadata", "ownerReferences"))
