"""Whether a wanted request has to be sent now, later, or not at all.

The answer comes from the status alone, so a restart of the operator sends nothing twice and forgets nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from dora_operator.domain.backoff import RetryPolicy
from dora_operator.domain.observed import ConditionType, DoraDeploymentStatus, Target
from dora_operator.domain.plan import Send
from dora_operator.domain.reasons import Reason


@dataclass(frozen=True, slots=True)
class Attempt:
    """Send the request now."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Datadog has accepted exactly this."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Send nothing; look again at `until`, or only after a change where it is None."""

    until: datetime | None


Step = Attempt | Settled | Rest


def next_step(plan: Send, status: DoraDeploymentStatus, generation: int, now: datetime, policy: RetryPolicy) -> Step:
    """Decide about the request of this plan."""
    same_target = plan.target.is_same_as(status.target)
    if same_target and status.accepted == plan.request.state:
        return Settled()
    if not same_target or status.desired != plan.request.state or status.observed_generation != generation:
        return Attempt()  # a change of the user's is tried at once, whatever came before
    if reason_of(status) == Reason.REQUEST_REJECTED:
        return Rest(None)
    until = believed_next_attempt(status, now, policy)
    return Attempt() if until is None else Rest(until)


def believed_next_attempt(status: DoraDeploymentStatus, now: datetime, policy: RetryPolicy) -> datetime | None:
    """Return until when to wait, as a status says; nothing where that is over, or further ahead than any pause."""
    until = status.next_attempt_time
    pending_for = now - (status.pending_since or now)
    latest = now + timedelta(seconds=policy.longest_after(reason_of(status), pending_for))
    return until if until is not None and now < until <= latest else None


def without_what_was_overwritten(
    status: DoraDeploymentStatus, others: Iterable[DoraDeploymentStatus]
) -> DoraDeploymentStatus:
    """Forget an acceptance that is no proof any more: another resource has had something else accepted since.

    That happens to a resource that was held back meanwhile, by suspend for example: it was no rival then.
    """
    if any(overwrites(other, status) for other in others):
        return forgotten(status)
    return status


def forgotten(status: DoraDeploymentStatus) -> DoraDeploymentStatus:
    """Return a status without what Datadog has accepted: it is sent again when it is wanted again."""
    return status.model_copy(update={"accepted": None, "accepted_at": None, "http_status": None})


def taken_over(status: DoraDeploymentStatus, target: Target, record: DoraDeploymentStatus) -> DoraDeploymentStatus:
    """Return the status of a resource that takes over from a record: what that had accepted needs no second request."""
    if status.accepted is not None or record.accepted is None or not target.is_same_as(record.target):
        return status
    inherited = {name: getattr(record, name) for name in ("accepted", "accepted_at", "http_status", "target")}
    return status.model_copy(update=inherited)


def overwrites(other: DoraDeploymentStatus, status: DoraDeploymentStatus) -> bool:
    """Tell whether another resource has had something else accepted than this one, and later."""
    theirs, mine = other.accepted, status.accepted
    if theirs is None or mine is None or other.accepted_at is None or status.accepted_at is None:
        return False
    if other.accepted_at < status.accepted_at or other.target is None or not other.target.is_same_as(status.target):
        return False
    failure = None not in (theirs.change_failure, mine.change_failure) and theirs.change_failure != mine.change_failure
    link = None not in (theirs.remediation, mine.remediation) and theirs.remediation != mine.remediation
    return failure or link


def reason_of(status: DoraDeploymentStatus) -> str | None:
    """Return the reason of Ready, if it was ever written."""
    ready = status.condition(ConditionType.READY)
    return ready.reason if ready else None
