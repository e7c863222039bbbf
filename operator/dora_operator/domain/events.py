"""Which changes of status become a Kubernetes Event. Once per fact: the previous status is the memory.

Outages and rate limits are no Events: no user can fix them, and thousands of resources have them at once. Nor is the
success of what a person applied: the conditions and the history of the resource say it. What the operator did by
itself, because of a Rollout, is an Event.
"""

from dataclasses import dataclass
from typing import Literal

from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import ConditionStatus, ConditionType, DoraDeploymentStatus

WARNINGS = frozenset(
    {
        Reason.INVALID_SPEC,
        Reason.CONFLICT,
        Reason.NOT_ALLOWED,
        Reason.REMEDIATION_MISMATCH,
        Reason.CREDENTIALS_NOT_FOUND,
        Reason.CREDENTIALS_INVALID,
        Reason.CREDENTIALS_NOT_READABLE,
        Reason.UNAUTHORIZED,
        Reason.FORBIDDEN,
        Reason.UNEXPECTED_ANSWER,
        Reason.REQUEST_REJECTED,
        Reason.DEPLOYMENT_MISSING,
        Reason.AMBIGUOUS,
        Reason.NOT_APPLIED,
    }
)
VERIFIED_WARNINGS = frozenset({Reason.CHANGED_IN_DATADOG, Reason.RECOVERY_NEGATIVE, Reason.READ_FORBIDDEN})
"""Reasons of Verified that deserve a Warning although the resource is Ready."""
MARKED, CLEARED, LINKED = "Marked", "Cleared", "Linked"
"""Reasons of Normal Events: Datadog accepted what a Rollout decided, a failure, its withdrawal or a remediation."""

NOT_WRITTEN = "RecordNotWritten"
"""Reason of the Warning Event on a Rollout whose verdict is not recorded because a user owns the record's name."""


@dataclass(frozen=True, slots=True)
class EventNote:
    """What a Kubernetes Event says."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    fact: str = ""
    """What distinguishes this fact from another with the same message; empty for a fact that has one Event for ever."""


def event_for(before: DoraDeploymentStatus, after: DoraDeploymentStatus) -> EventNote | None:
    return _success(before, after) or _warning(before, after) or _verified_warning(before, after)


def _verified_warning(before: DoraDeploymentStatus, after: DoraDeploymentStatus) -> EventNote | None:
    verified, earlier = after.condition(ConditionType.VERIFIED), before.condition(ConditionType.VERIFIED)
    if verified is None or verified.reason not in VERIFIED_WARNINGS:
        return None
    if earlier is not None and earlier.reason == verified.reason:
        return None
    return EventNote("Warning", verified.reason, verified.message)


def _success(before: DoraDeploymentStatus, after: DoraDeploymentStatus) -> EventNote | None:
    ready, accepted = after.condition(ConditionType.READY), after.accepted
    if after.source is None or ready is None or accepted is None:
        return None
    if (before.accepted, before.accepted_time) == (accepted, after.accepted_time):
        return None
    reason = MARKED if accepted.change_failure else CLEARED
    if accepted.remediation is not None and before.accepted != accepted:
        reason = LINKED
    at = after.accepted_time.isoformat() if after.accepted_time is not None else ""
    return EventNote("Normal", reason, f"{ready.message}, for {_named(after)}", at)


def _named(status: DoraDeploymentStatus) -> str:
    target = status.target
    if target is None:
        return "nothing"
    return f"deployment {target.id}" if target.id else f"{target.service} {target.version} in {target.env}"


def _warning(before: DoraDeploymentStatus, after: DoraDeploymentStatus) -> EventNote | None:
    ready = after.condition(ConditionType.READY)
    if ready is None or ready.status is ConditionStatus.TRUE:
        return None
    stalled = after.condition(ConditionType.STALLED)
    if ready.reason not in WARNINGS and (stalled is None or stalled.status is not ConditionStatus.TRUE):
        return None
    earlier = before.condition(ConditionType.READY)
    if earlier is not None and (earlier.reason, _is_stalled(before)) == (ready.reason, _is_stalled(after)):
        return None
    return EventNote("Warning", ready.reason, ready.message)


def _is_stalled(status: DoraDeploymentStatus) -> bool:
    stalled = status.condition(ConditionType.STALLED)
    return stalled is not None and stalled.status is ConditionStatus.TRUE
