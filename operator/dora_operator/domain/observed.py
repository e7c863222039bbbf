"""The status of a DoraDeployment: pydantic models from which the CRD's status schema is made.

These classes only hold what was observed. What to write into them is decided by `status`.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from dora_operator.domain.model import Model
from dora_operator.domain.spec import RemediationType

MESSAGE_LIMIT = 256
"""Longest text that Datadog or a resource can bring into a status, in characters."""
HISTORY_LIMIT = 10

Text = Annotated[str, StringConstraints(max_length=256)]
LongText = Annotated[str, StringConstraints(max_length=1024)]


class ConditionType(StrEnum):
    """The conditions that every DoraDeployment has, in the order in which they are written."""

    READY = "Ready"
    ACCEPTED = "Accepted"
    VERIFIED = "Verified"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    OVERRIDDEN = "Overridden"
    """Written only where a Rollout has decided something about the deployment."""


class ConditionStatus(StrEnum):
    """metav1.ConditionStatus."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Whole(Model):
    """Part of a status that is written as a whole.

    The API server then keeps one entry in managedFields for it, not one for each field (docs/decisions/0009).
    """

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})


class Condition(Whole):
    """A metav1.Condition."""

    type: Annotated[str, StringConstraints(max_length=316)] = Field(description="Name of the condition.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    observed_generation: int = Field(description="The generation of the spec that this condition speaks of.")
    last_transition_time: datetime = Field(description="When status last changed.")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(
        description="A stable word for programs; the reference lists all of them."
    )
    message: LongText = Field(description="The same for people.")


class RemediationLink(Model):
    """A remediation as it is sent: by id or by version."""

    type: RemediationType = Field(description="rollback or rollforward.")
    id: Text | None = Field(default=None, description="Id of the remediation deployment.")
    version: Text | None = Field(default=None, description="Version of the remediation deployment.")


class MarkState(Whole):
    """What Datadog shall know, or has accepted, about a deployment."""

    change_failure: bool | None = Field(default=None, description="Whether the deployment is a change failure.")
    remediation: RemediationLink | None = Field(default=None, description="The deployment that put it right.")


class TargetKind(StrEnum):
    """Which of the two calls is used."""

    ID = "ID"
    VERSION = "Version"


class Target(Whole):
    """The Datadog deployment and the account that the desired state is for."""

    by: TargetKind = Field(description="ID or Version: which of Datadog's two calls is used.")
    id: Text | None = Field(default=None, description="Id of the deployment in Datadog.")
    service: Text | None = Field(default=None, description="Datadog service.")
    env: Text | None = Field(default=None, description="Datadog environment.")
    version: Text | None = Field(default=None, description="Version of the deployment.")
    revision: int | None = Field(
        default=None, description="Revision of the Rollout that is meant, where a version was deployed more than once."
    )
    rollout_uid: Text | None = Field(
        default=None, description="Rollout that counts these revisions: one that is created again begins anew."
    )
    site: Text = Field(description="Datadog site.")
    credentials_secret: Text | None = Field(
        default=None, description="Secret whose keys are used; absent for the operator's own account."
    )

    def is_same_as(self, other: "Target | None") -> bool:
        """Tell whether both mean the same deployment; learning the revision later makes no other one of it."""
        if other is None or self == other:
            return self == other
        unknown = None in (self.revision, other.revision)
        learnt = {"revision": other.revision, "rollout_uid": other.rollout_uid}
        return unknown and self.model_copy(update=learnt) == other


class RolloutObservation(Whole):
    """What the Rollout of rolloutRef did to this version."""

    name: Text = Field(description="Name of the Rollout.")
    uid: Text | None = Field(default=None, description="UID of the Rollout.")
    revision: int | None = Field(default=None, description="Revision of the Rollout.")
    pod_template_hash: Text | None = Field(default=None, description="Pod template hash of the revision.")
    service: Text | None = Field(default=None, description="Service of the revision, by its labels.")
    env: Text | None = Field(default=None, description="Environment of the revision, by its labels.")
    version: Text | None = Field(default=None, description="Version of the revision.")
    deployment_id: Text | None = Field(default=None, description="Datadog id that the pod template names.")
    cause: int | None = Field(default=None, description="Revision whose abort, start or promotion decided it.")
    verdict: Text | None = Field(
        default=None,
        description="What the Rollout did to this version: Aborted, Undone, RolledBack, Reverted, Recovered or Kept.",
    )
    remediation: RemediationLink | None = Field(default=None, description="The deployment that put it right.")
    message: Text | None = Field(default=None, description="Argo's own words.")
    at: datetime | None = Field(default=None, description="When it happened.")
    restored_at: datetime | None = Field(
        default=None,
        description="When the stable version had all its replicas again, where that is recorded as a deployment.",
    )


class DryRunRequest(Whole):
    """The request that would be sent if nothing held it back. Never with keys."""

    method: Text = Field(description="HTTP method.")
    path: LongText = Field(description="Path on the API host of status.target.site.")
    body: Annotated[str, StringConstraints(max_length=4096)] = Field(description="The JSON body.")


class HistoryEntry(Model):
    """One change of outcome."""

    at: datetime = Field(description="When it was seen.")
    reason: Text = Field(description="Reason of Ready from then on.")
    message: Text | None = Field(default=None, description="Message of Ready, shortened.")
    http_status: int | None = Field(default=None, description="Datadog's answer.")
    change_failure: bool | None = Field(default=None, description="changeFailure that was wanted.")
    remediation: RemediationLink | None = Field(default=None, description="Remediation that was wanted.")


class DoraDeploymentStatus(Model):
    """What really happened, written by the operator alone and only when something changed."""

    observed_generation: int | None = Field(default=None, description="The generation of the spec last acted on.")
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] | None = Field(
        default=None,
        description="Ready, Accepted, Verified, Reconciling, Stalled.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    desired: MarkState | None = Field(default=None, description="What Datadog shall know.")
    accepted: MarkState | None = Field(default=None, description="What Datadog last answered 202 for.")
    accepted_at: datetime | None = Field(default=None, description="When Datadog last answered 202.")
    http_status: int | None = Field(default=None, description="Status of Datadog's last answer.")
    target: Target | None = Field(default=None, description="The Datadog deployment and account that is meant.")
    rollout: RolloutObservation | None = Field(default=None, description="What the Rollout did to this version.")
    attempts: int | None = Field(default=None, description="Requests for the desired state so far without success.")
    pending_since: datetime | None = Field(
        default=None, description="Since when the desired state waits to be accepted; absent when it is."
    )
    next_attempt_time: datetime | None = Field(default=None, description="When the next request is due.")
    last_error: Text | None = Field(default=None, description="What went wrong last, cleaned and shortened.")
    dry_run: DryRunRequest | None = Field(default=None, description="What would be sent, while nothing is sent.")
    history: Annotated[tuple[HistoryEntry, ...], Field(max_length=HISTORY_LIMIT)] | None = Field(
        default=None, description="The last 10 changes of outcome, newest first."
    )

    def condition(self, kind: ConditionType) -> Condition | None:
        """Return the condition of this type, if it was ever written."""
        return next((condition for condition in self.conditions or () if condition.type == kind), None)
