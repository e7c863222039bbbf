"""Which changes of status deserve a Kubernetes Event. Once per fact: the previous status is the memory.

Outages and rate limits are no Events: they are nobody's mistake, and thousands of resources have them at once.
"""

from dataclasses import dataclass

from dora_operator.domain.observed import ConditionStatus, ConditionType, DoraDeploymentStatus
from dora_operator.domain.reasons import Reason

WARNINGS = frozenset(
    {
        Reason.INVALID_SPEC,
        Reason.CONFLICT,
        Reason.REMEDIATION_MISMATCH,
        Reason.CREDENTIALS_NOT_FOUND,
        Reason.CREDENTIALS_INVALID,
        Reason.CREDENTIALS_NOT_READABLE,
        Reason.UNAUTHORIZED,
        Reason.FORBIDDEN,
        Reason.UNEXPECTED_ANSWER,
        Reason.REQUEST_REJECTED,
    }
)


@dataclass(frozen=True, slots=True)
class WarningEvent:
    """A Warning Event about a DoraDeployment."""

    reason: str
    message: str


def warning_for(before: DoraDeploymentStatus, after: DoraDeploymentStatus) -> WarningEvent | None:
    """Return the Warning that the step from one status to the next deserves, if any."""
    ready = after.condition(ConditionType.READY)
    if ready is None or ready.status is ConditionStatus.TRUE:
        return None
    stalled = after.condition(ConditionType.STALLED)
    if ready.reason not in WARNINGS and (stalled is None or stalled.status is not ConditionStatus.TRUE):
        return None
    earlier = before.condition(ConditionType.READY)
    if earlier is not None and (earlier.reason, _is_stalled(before)) == (ready.reason, _is_stalled(after)):
        return None
    return WarningEvent(ready.reason, ready.message)


def _is_stalled(status: DoraDeploymentStatus) -> bool:
    stalled = status.condition(ConditionType.STALLED)
    return stalled is not None and stalled.status is ConditionStatus.TRUE
