"""The DoraDeployment: its status as pydantic models from which the CRD is made, and the parsing of raw objects.

Its spec is in `spec`. What is sent is decided in `plan`, what is written to status in `status`.
"""

from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from dora_operator.domain.fields import (
    API_VERSION,
    ATOMIC,
    CONFIG,
    GROUP,
    KIND,
    PLURAL,
    VERSION,
    LongText,
    ObjectKey,
    RemediationLink,
    Text,
    adapter,
)
from dora_operator.domain.history.verdicts import Verdict
from dora_operator.domain.outcome import shorten
from dora_operator.domain.reasons import WAITING
from dora_operator.domain.records import ROLLOUT_LABEL
from dora_operator.domain.spec import DoraDeploymentSpec

__all__ = ["API_VERSION", "GROUP", "KIND", "PLURAL", "VERSION"]  # beside all that is defined here

HISTORY_LIMIT = 10
FORCE_SYNC_ANNOTATION = f"{GROUP}/force-sync"
"""Each new value sends the desired state once more, and reads it back."""
_Model = TypeVar("_Model")


class ConditionType(StrEnum):
    """The conditions of a DoraDeployment, in the order in which they are written."""

    READY = "Ready"
    ACCEPTED = "Accepted"
    VERIFIED = "Verified"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    OVERRIDDEN = "Overridden"
    """Written only where a workload has decided something about the deployment."""


class ConditionStatus(StrEnum):
    """metav1.ConditionStatus."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True, config=ATOMIC)
class Condition:
    """A metav1.Condition."""

    type: Annotated[
        str,
        StringConstraints(
            max_length=316,
            pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
            r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        ),
    ] = Field(description="Type of the condition.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    observed_generation: int = Field(description="The generation of the spec that this condition is about.")
    last_transition_time: datetime = Field(description="When status last changed.")
    reason: Annotated[
        str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    ] = Field(description="Stable reason for programs; the reference lists all reasons.")
    message: LongText = Field(description="Explanation for people.")


@dataclass(frozen=True, slots=True, kw_only=True, config=ATOMIC)
class MarkState:
    """Change failure and remediation of a deployment, as wanted or as accepted."""

    change_failure: bool | None = Field(default=None, description="Whether the deployment is a change failure.")
    remediation: RemediationLink | None = Field(default=None, description="The deployment that corrected it.")


class TargetKind(StrEnum):
    """Which of Datadog's two calls is used."""

    ID = "ID"
    VERSION = "Version"


@dataclass(frozen=True, slots=True, kw_only=True, config=ATOMIC)
class Target:
    """The Datadog deployment and the account that the desired state is for."""

    by: TargetKind = Field(description="ID or Version: which of Datadog's two calls is used.")
    id: Text | None = Field(default=None, description="Id of the deployment in Datadog.")
    service: Text | None = Field(default=None, description="Datadog service.")
    env: Text | None = Field(default=None, description="Datadog environment.")
    version: Text | None = Field(default=None, description="Version of the deployment.")
    revision: int | None = Field(
        default=None,
        description="Revision of the workload that is meant; distinguishes deployments of the same version.",
    )
    source_uid: Text | None = Field(
        default=None, description="UID of the workload that counts the revisions; a new object counts from 1."
    )
    site: Text = Field(description="Datadog site.")
    credentials_secret: Text | None = Field(
        default=None, description="Secret whose keys are used; absent for the operator's own keys."
    )

    def is_same_as(self, other: "Target | None") -> bool:
        """Return whether both mean the same deployment, also where only one of them knows the revision, id or tags."""
        if other is None or (self.site, self.credentials_secret) != (other.site, other.credentials_secret):
            return False
        known = None not in (self.revision, other.revision)
        if known and (self.revision, self.source_uid) != (other.revision, other.source_uid):
            return False
        if None not in (self.id, other.id):
            return self.id == other.id
        return self.service is not None and self.tags == other.tags

    @property
    def tags(self) -> tuple[str | None, str | None, str | None]:
        return self.service, self.env, self.version

    def with_known(self, known: "Target | None") -> "Target":
        """Return the target with the id and the tags that an earlier read has shown."""
        if known is None or not self.is_same_as(known):
            return self
        return replace(
            self,
            by=TargetKind.ID if self.id or known.id else self.by,
            id=self.id or known.id,
            service=self.service or known.service,
            env=self.env or known.env,
            version=self.version or known.version,
        )


@dataclass(frozen=True, slots=True, kw_only=True, config=ATOMIC)
class ReadBack:
    """The deployment as Datadog returned it last."""

    time: datetime = Field(description="When it was read. A read that shows no change is not written.")
    id: Text = Field(description="Id of the deployment in Datadog.")
    source: Text | None = Field(
        default=None, description="Source of the deployment in Datadog, such as apm_deployments."
    )
    change_failure: bool | None = Field(
        default=None, description="Whether Datadog counts it as a change failure; absent while it is not evaluated."
    )
    remediation: RemediationLink | None = Field(default=None, description="The remediation that Datadog shows.")
    recovery_time_seconds: int | None = Field(default=None, description="The recovery time that Datadog computed.")
    finished_time: datetime | None = Field(default=None, description="When the deployment finished.")


@dataclass(frozen=True, slots=True, kw_only=True, config=ATOMIC)
class DryRunRequest:
    """The request that would be sent. Never with keys."""

    method: Text = Field(description="HTTP method.")
    path: LongText = Field(description="Path on the API host of status.target.site.")
    body: Annotated[str, StringConstraints(max_length=4096)] = Field(description="JSON body.")


@dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class HistoryEntry:
    """One change of outcome."""

    time: datetime = Field(description="When the outcome changed.")
    reason: Text = Field(description="Reason of Ready since then.")
    message: Text | None = Field(default=None, description="Message of Ready, shortened.")
    http_status: int | None = Field(default=None, description="HTTP status of Datadog's answer.")
    change_failure: bool | None = Field(default=None, description="The desired changeFailure.")
    remediation: RemediationLink | None = Field(default=None, description="The desired remediation.")


@dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class DoraDeploymentStatus:
    """Observed state. Only the operator writes it, and only when something changed."""

    observed_generation: int | None = Field(default=None, description="The generation of the spec last acted on.")
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] | None = Field(
        default=None,
        description="Ready, Accepted, Verified, Reconciling, Stalled; Overridden where a workload decided something.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    desired: MarkState | None = Field(default=None, description="What Datadog should know.")
    accepted: MarkState | None = Field(default=None, description="What Datadog last accepted with 202.")
    accepted_time: datetime | None = Field(default=None, description="When Datadog last answered 202.")
    created_time: datetime | None = Field(
        default=None, description="When the operator posted the missing deployment event, with onMissing: Create."
    )
    http_status: int | None = Field(default=None, description="HTTP status of Datadog's last answer.")
    target: Target | None = Field(default=None, description="The Datadog deployment and account that are meant.")
    source: Verdict | None = Field(default=None, description="What the workload of sourceRef did to this version.")
    read_back: ReadBack | None = Field(
        default=None, description="What Datadog really stored, as the last read that showed a change found it."
    )
    attempts: int | None = Field(
        default=None, description="Number of requests for the desired state that have failed since the last success."
    )
    pending_since_time: datetime | None = Field(
        default=None, description="Since when the desired state is not accepted; absent once it is."
    )
    next_attempt_time: datetime | None = Field(default=None, description="When the next request is due.")
    last_error: Text | None = Field(default=None, description="Last error, cleaned and shortened.")
    dry_run: DryRunRequest | None = Field(default=None, description="What would be sent, while dry run is on.")
    last_force_sync: Text | None = Field(
        default=None,
        description="Value of the annotation dora-operator.io/force-sync that was handled last. A new value sends the "
        "desired state again.",
    )
    history: Annotated[tuple[HistoryEntry, ...], Field(max_length=HISTORY_LIMIT)] | None = Field(
        default=None,
        description="The last 10 changes of outcome, newest first.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )

    def condition(self, kind: ConditionType) -> Condition | None:
        return next((condition for condition in self.conditions or () if condition.type == kind), None)

    def reason(self, kind: ConditionType) -> str | None:
        condition = self.condition(kind)
        return condition.reason if condition is not None else None


EMPTY_STATUS = DoraDeploymentStatus()


@plain_dataclass(frozen=True, slots=True)
class DoraDeployment:
    """All that decisions read of a DoraDeployment."""

    key: ObjectKey
    uid: str
    generation: int
    resource_version: str
    created_time: datetime
    spec: DoraDeploymentSpec | None
    """None: it cannot be understood."""
    status: DoraDeploymentStatus = EMPTY_STATUS
    """Empty where it cannot be understood."""
    is_record: bool = False
    """Whether the operator created it for a verdict, by its label."""
    force_sync: str | None = None
    """The value of the annotation that asks to send the desired state again."""
    is_deleted: bool = False
    """Whether it was deleted, and stays until others remove their finalizers: nothing is sent or written for it."""

    @property
    def is_due(self) -> bool:
        """Whether something may be wanted of Datadog that it has not accepted."""
        status = self.status
        if status.observed_generation != self.generation or status.desired is None:
            return True
        ready = status.condition(ConditionType.READY)
        return ready is None or (ready.status is not ConditionStatus.TRUE and ready.reason not in WAITING)


def has_unsent_failure(status: DoraDeploymentStatus, pending: Verdict | None) -> bool:
    """Return whether a workload's failure has not been accepted by Datadog, whatever else the resource waits for."""
    verdict = pending or status.source
    is_accepted = status.accepted is not None and status.accepted.change_failure is True
    return verdict is not None and verdict.change_failure and not is_accepted


def parse(body: Mapping[str, Any]) -> DoraDeployment:
    """Read a raw object. Metadata is as the API server writes it; spec and status may be anything."""
    metadata = body["metadata"]
    force_sync = (metadata.get("annotations") or {}).get(FORCE_SYNC_ANNOTATION)
    return DoraDeployment(
        key=ObjectKey(metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        generation=int(metadata.get("generation", 0)),
        resource_version=metadata["resourceVersion"],
        created_time=datetime.fromisoformat(metadata["creationTimestamp"]),
        spec=_read(_SPEC, body.get("spec")),
        status=_status(body.get("status") or {}),
        is_record=ROLLOUT_LABEL in (metadata.get("labels") or {}),
        force_sync=(shorten(force_sync) or None) if force_sync is not None else None,
        is_deleted="deletionTimestamp" in metadata,
    )


_SPEC: TypeAdapter[DoraDeploymentSpec] = adapter(DoraDeploymentSpec)
_STATUS: TypeAdapter[DoraDeploymentStatus] = adapter(DoraDeploymentStatus)


def _read(model: TypeAdapter[_Model], document: object) -> _Model | None:
    try:
        return model.validate_python(document)
    except ValidationError:
        return None


def _status(document: object) -> DoraDeploymentStatus:
    """Read a status. Another version of the operator may have written it: fields that it does not understand are left.

    What Datadog has accepted must not be forgotten because a condition has a new reason.
    """
    status = _read(_STATUS, document)
    if status is not None or not isinstance(document, Mapping):
        return status or EMPTY_STATUS
    readable = {name: value for name, value in document.items() if _read(_STATUS, {name: value}) is not None}
    return _read(_STATUS, readable) or EMPTY_STATUS
