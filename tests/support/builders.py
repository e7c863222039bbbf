"""Short ways to make the values that many tests need. No assertions here."""

from datetime import UTC, datetime, timedelta
from typing import Any

from dora_operator.domain.fields import RemediationLink, RemediationType, adapter
from dora_operator.domain.history.history import Cause, VerdictKind
from dora_operator.domain.history.verdicts import Verdict
from dora_operator.domain.plan import Plan, PlanInput, Rival, Send, desired_state, make_plan
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import (
    Condition,
    ConditionStatus,
    DoraDeployment,
    DoraDeploymentStatus,
    MarkState,
    Target,
    TargetKind,
    parse,
)
from dora_operator.domain.retry import RetryPolicy
from dora_operator.domain.sites import Site
from dora_operator.domain.spec import DoraDeploymentSpec
from dora_operator.domain.status import StatusContext
from dora_operator.domain.stored import ReadProblem, StoredDeployment

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
DEPLOYMENT_ID = "43vkaZNgiso"
OTHER_ID = "X9RMqDwK-4c"
BY_ID = {"id": DEPLOYMENT_ID}
BY_VERSION = {"service": "checkout", "env": "prod", "version": "1.5.0"}
SITE = "datadoghq.com"
TAGS = {"service": "checkout", "env": "prod", "version": "2"}
TARGET = Target(by=TargetKind.VERSION, site=SITE, **TAGS)
PINNED = Target(by=TargetKind.ID, id="deployment-one", site=SITE, **TAGS)
"""The target after a read has shown its id."""
STATUSES = {
    Reason.READ_BACK: ConditionStatus.TRUE,
    Reason.DEPLOYMENT_MISSING: ConditionStatus.FALSE,
    Reason.NOT_APPLIED: ConditionStatus.FALSE,
    Reason.CHANGED_IN_DATADOG: ConditionStatus.FALSE,
    Reason.RECOVERY_NEGATIVE: ConditionStatus.FALSE,
    Reason.RECOVERY_MISSING: ConditionStatus.FALSE,
    Reason.REMEDIATION_BY_DATADOG: ConditionStatus.FALSE,
}
"""DESIGN, section 7: with every other reason Verified is Unknown."""
FAILURE = MarkState(change_failure=True)
UNAVAILABLE = ReadProblem(Reason.READ_UNAVAILABLE, "Datadog could not be read (503)")
FORBIDDEN = ReadProblem(Reason.READ_FORBIDDEN, "give it dora_metrics_read")


def spec(**fields: Any) -> DoraDeploymentSpec:
    """Build a spec from API fields; by id where no deployment is given."""
    built: DoraDeploymentSpec = adapter(DoraDeploymentSpec).validate_python({"deployment": BY_ID} | fields)
    return built


def deployment(
    spec: dict[str, Any] | None = None, status: Any = None, *, generation: int = 1, **metadata: Any
) -> DoraDeployment:
    """Parse a raw DoraDeployment; by id where no deployment is given."""
    own = {"namespace": "shop", "name": "mine", "uid": "uid-mine", "resourceVersion": "1", "generation": generation}
    body = {"metadata": own | {"creationTimestamp": "2026-11-23T10:00:00Z"} | metadata}
    return parse(body | {"spec": {"deployment": BY_ID} | (spec or {}), "status": status})


def verdict(**fields: Any) -> Verdict:
    """Build the verdict on an aborted revision."""
    defaults: dict[str, Any] = {
        "name": "checkout",
        "uid": "uid-1",
        "revision": 2,
        "pod_template_hash": "7bddf7c8fc",
        "verdict": VerdictKind.ABORTED,
        "cause": Cause.ABORT,
        "is_first": True,
    }
    return Verdict(**(defaults | (BY_VERSION if "deployment_id" not in fields else {}) | fields))


def context(**fields: Any) -> PlanInput:
    """Build a context with sane defaults."""
    defaults = {"namespace": "shop", "name": "mine", "created_at": NOW, "default_site": Site.US1}
    return PlanInput(**(defaults | fields))


def planned(fields: dict[str, Any], given: dict[str, Any] | None = None) -> Plan:
    """Return the plan of a spec in a context."""
    return make_plan(spec(**fields), context(**(given or {})))


def rival(name: str, created_at: datetime, **fields: Any) -> Rival:
    """Build another resource for the same deployment."""
    return Rival("shop", name, created_at, desired_state(spec(**fields), None))


def send(**fields: Any) -> Send:
    """Build the plan of a spec that is to be sent."""
    plan = planned({"changeFailure": True} | fields)
    assert isinstance(plan, Send)
    return plan


def link(**fields: str) -> RemediationLink:
    """Build a rollback as it is sent, by id or by version."""
    return RemediationLink(type=RemediationType.ROLLBACK, **fields)


def after(seconds: float) -> datetime:
    """Return the time so long after NOW."""
    return NOW + timedelta(seconds=seconds)


def stored(deployment_id: str = "deployment-one", finished: float | None = 0, **fields: Any) -> StoredDeployment:
    """Return a deployment of version 2 that is marked, as Datadog has it."""
    at = after(finished) if finished is not None else None
    marked = {"has_mark": True, "change_failure": True}
    return StoredDeployment(deployment_id, **(TAGS | {"finished_at": at} | marked | fields))


def read_status(
    reason: Reason | None = None, accepted: MarkState | None = FAILURE, **fields: Any
) -> DoraDeploymentStatus:
    """Return the status of a state that was accepted at NOW, and verified with a reason."""
    verified = Condition(
        type="Verified",
        status=STATUSES.get(reason, ConditionStatus.UNKNOWN) if reason is not None else ConditionStatus.UNKNOWN,
        observed_generation=1,
        last_transition_time=NOW,
        reason=reason.value if reason is not None else "Pending",
        message="as it was found before",
    )
    conditions = (verified,) if reason is not None else None
    made = {"accepted": accepted, "accepted_time": NOW, "conditions": conditions} | fields
    return DoraDeploymentStatus(observed_generation=1, **made)


def status_context(generation: int = 1, now: datetime = NOW, jitter: float = 0.5) -> StatusContext:
    """Build what a status is made from besides the plan."""
    return StatusContext(generation, now, RetryPolicy(), jitter)


def conditions(status: DoraDeploymentStatus) -> dict[str, str]:
    """Return the status of each condition."""
    return {condition.type: condition.status.value for condition in status.conditions or ()}


def reason(status: DoraDeploymentStatus) -> str:
    """Return the reason of Ready."""
    return next(condition.reason for condition in status.conditions or () if condition.type == "Ready")
