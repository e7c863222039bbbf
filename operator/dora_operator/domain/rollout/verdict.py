"""What a decision about a Rollout takes and returns: policy, verdicts, skipped revisions, memory.

A verdict is one model in every place: what `decide` returns and what `status.source` shows, which only the operator can
write. No rule is here.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import Any, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from dora_operator.domain.fields import (
    API_VERSION,
    ATOMIC,
    KIND,
    OnMissing,
    RemediationLink,
    RemediationType,
    SourceKind,
    Text,
    is_deployment_id,
    is_tag,
    to_api,
)
from dora_operator.domain.rollout.identity import ById, ByVersion, Identified

ROLLOUT_LABEL = "dora-operator.io/rollout"
IGNORE_ANNOTATION = "dora-operator.io/ignore"
ON_MISSING_ANNOTATION = "dora-operator.io/on-missing"
LONGEST_NAME = 253
LONGEST_LABEL = 63
DIGEST = 10
"""Characters of the digest that replaces what was cut off or is not allowed in a name."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class VerdictKind(StrEnum):
    """What happened to a revision. The words are API: they are in status and annotations."""

    ABORTED = "Aborted"
    """Argo aborted its update."""
    UNDONE = "Undone"
    """The Rollout went back to an older version before this one was promoted."""
    ROLLED_BACK = "RolledBack"
    """It was promoted, and the Rollout goes or went back to an older version."""
    REVERTED = "Reverted"
    """An older version replaced it. Whether it was promoted before is not known any more, so nothing is linked."""
    RECOVERED = "Recovered"
    """It was marked, but then promoted: no failure."""
    KEPT = "Kept"
    """As Recovered, but the setting `retrySuccess: Keep` leaves the mark as it is."""


@dataclass(frozen=True, slots=True, kw_only=True, config=ATOMIC)
class Verdict:
    """What the mark of one deployment in Datadog should be, and why."""

    kind: SourceKind = Field(default=SourceKind.ROLLOUT, description="Kind of the workload.")
    name: Text = Field(description="Name of the workload.")
    uid: Text = Field(description="UID of the workload.")
    revision: int = Field(description="The revision that failed, or that recovered.")
    pod_template_hash: Text = Field(
        description="Pod template hash under which this deployment was first recorded; part of the record's name."
    )
    service: Text | None = Field(default=None, description="Service of the revision, by its labels.")
    env: Text | None = Field(default=None, description="Environment of the revision, by its labels.")
    version: Text | None = Field(default=None, description="Version of the revision, by its labels.")
    deployment_id: Text | None = Field(default=None, description="Datadog id that the pod template names.")
    verdict: VerdictKind = Field(
        description="What the workload did to this version: Aborted, Undone, RolledBack, Reverted, Recovered or Kept."
    )
    decided_by_revision: int = Field(
        description="Revision whose abort, start or promotion decided this. A later one overrules an earlier one."
    )
    message: Text | None = Field(default=None, description="What happened, in Argo's words where it has some.")
    time: datetime | None = Field(default=None, description="When it happened, by the times in the objects.")
    remediation: RemediationLink | None = Field(
        default=None, description="The deployment that ended the failure, by exactly one of id and version."
    )
    started_time: datetime | None = Field(
        default=None, description="When the revision began: the creation of its ReplicaSet."
    )
    on_missing: OnMissing | None = Field(
        default=None, description="Wait or Create, by the workload's annotation dora-operator.io/on-missing."
    )

    @model_validator(mode="after")
    def _names_a_deployment(self) -> Self:
        tags = (self.service, self.env, self.version)
        named = tags if self.deployment_id is None else [tag for tag in tags if tag is not None]
        is_known = self.deployment_id is None or is_deployment_id(self.deployment_id)
        if not is_known or not all(map(is_tag, named)):
            raise ValueError("a verdict is about a deployment, by id or by service, env and version")
        return self

    @property
    def identity(self) -> Identified:
        """The deployment that it is about."""
        if self.deployment_id is not None:
            return ById(self.deployment_id, self.service, self.env, self.version)
        return ByVersion(self.service or "", self.env or "", self.version or "")

    @property
    def change_failure(self) -> bool:
        """What Datadog should know."""
        return self.verdict is not VerdictKind.RECOVERED


def is_ignored(annotations: Mapping[str, str]) -> bool:
    """Return whether the annotations of a Rollout or a Namespace opt out."""
    return annotations.get(IGNORE_ANNOTATION) == "true"


def asks_again(recorded: Verdict | None, wanted: Verdict) -> bool:
    """Return whether `wanted` is a new fact for Datadog, not only a time or a message that came later."""
    return recorded is None or _request_of(recorded) != _request_of(wanted)


def _request_of(verdict: Verdict) -> tuple[str, Identified, bool, RemediationLink | None, int]:
    # The revision: the same version failing again is another deployment event, though the request reads the same.
    failed = verdict.uid, verdict.identity
    return *failed, verdict.change_failure, verdict.remediation, verdict.revision


def link_to(kind: RemediationType, fixed: Identified) -> RemediationLink:
    """Return the link to the deployment that ended a failure."""
    if isinstance(fixed, ById):
        return RemediationLink(type=kind, id=fixed.deployment_id)
    return RemediationLink(type=kind, version=fixed.version)


class RetrySuccess(Enum):
    """What happens to the mark when the marked version is promoted later."""

    MARK_STABLE = "MarkStable"
    KEEP = "Keep"


class AbortRecovery(Enum):
    """What is linked to an aborted deployment as its remediation."""

    NONE = "None"
    """Nothing: the service was restored at the abort, and no deployment in Datadog stands for that."""
    NEXT_VERSION = "NextVersion"
    """The next promoted version. This measures the time to the next release."""


class RollbackMarks(Enum):
    """Which deployment a rollback marks."""

    FIRST_AFTER_TARGET = "FirstAfterTarget"
    REPLACED = "Replaced"


@plain_dataclass(frozen=True, slots=True)
class Policy:
    """The operator-wide settings that change what a Rollout means."""

    retry_success: RetrySuccess = RetrySuccess.MARK_STABLE
    abort_recovery: AbortRecovery = AbortRecovery.NONE
    rollback_marks: RollbackMarks = RollbackMarks.FIRST_AFTER_TARGET
    lookback: timedelta = timedelta(hours=24)


class SkipReason(Enum):
    """Why a failed revision is not marked. The words are API: reasons of Events and a label of a metric."""

    NOT_IDENTIFIED = "NotIdentified"
    SAME_AS_STABLE = "SameVersionAsStable"
    ID_ALREADY_DEPLOYED = "DeploymentIdAlreadyDeployed"
    ROLLBACK_UNCLEAR = "RollbackUnclear"


@plain_dataclass(frozen=True, slots=True)
class Skipped:
    """A failed revision that is not marked. Equal values are one fact: show it once."""

    reason: SkipReason
    revision: int
    decided_by_revision: int
    message: str


@plain_dataclass(frozen=True, slots=True)
class Memory:
    """What this process saw of a Rollout: which revisions were promoted, and which were replaced without it.

    Losing it (a restart) never makes a decision wrong. It can only leave open how revisions ended that were replaced
    before the restart; `Decision.wants_events` shows that.
    """

    rollout_uid: str = ""
    seen: int = 0
    """The newest revision that was seen."""
    promoted: frozenset[int] = frozenset()
    unpromoted: frozenset[int] = frozenset()
    events_read: int = 0
    """The newest revision at which Events were read: they are read once for each revision at most."""


@plain_dataclass(frozen=True, slots=True)
class Decision:
    """What is wanted. Deciding again with `verdicts` as the records changes nothing."""

    verdicts: tuple[Verdict, ...] = ()
    """All that should be on record for this Rollout, one for each Datadog deployment."""
    changes: tuple[Verdict, ...] = ()
    """Those of `verdicts` to write now, aborts first."""
    skipped: tuple[Skipped, ...] = ()
    memory: Memory = field(default_factory=Memory)
    wants_events: bool = False
    """List the Rollout's Events, observe and decide again before acting: they may show what the levels no longer do."""


def record_manifest(namespace: str, verdict: Verdict) -> dict[str, Any]:
    """Return the DoraDeployment that carries a failure to Datadog.

    It has no owner: a deleted Rollout must not delete a report. Its spec alone says what Datadog should know, so that a
    kill before its status is written loses nothing.
    """
    # With an id and no version label, the pod hash names the revision.
    version = verdict.version or verdict.pod_template_hash
    spec: dict[str, Any] = {
        "deployment": _deployment(verdict.identity),
        "changeFailure": verdict.change_failure,
        "sourceRef": {"kind": verdict.kind.value, "name": verdict.name, "version": version},
    }
    if verdict.remediation is not None:
        spec["remediation"] = to_api(verdict.remediation)
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": resource_name(verdict.name, verdict.pod_template_hash),
            "namespace": namespace,
            "labels": {ROLLOUT_LABEL: label_value(verdict.name)},
        },
        "spec": spec,
    }


def resource_name(rollout: str, pod_template_hash: str) -> str:
    """Return the name of the DoraDeployment of one pod template: always the same, never too long."""
    return _fitting(f"{rollout}-{pod_template_hash}", LONGEST_NAME)


def label_value(rollout: str) -> str:
    """Return the Rollout's name as a label value; a digest keeps long ones apart."""
    return _fitting(rollout, LONGEST_LABEL)


def _fitting(name: str, longest: int) -> str:
    if len(name) <= longest and _NAME.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]
    kept = re.sub(r"[^a-z0-9]+", "-", name.lower())[: longest - DIGEST - 1].strip("-")
    return f"{kept}-{digest}" if kept else digest


def _deployment(identity: Identified) -> dict[str, str]:
    if isinstance(identity, ById):
        return {"id": identity.deployment_id}
    return {"service": identity.service, "env": identity.env, "version": identity.version}
