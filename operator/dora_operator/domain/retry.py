"""When the request of a plan is sent: now, at a time, or not at all; and how long to wait after a failure.

Delays grow and are capped; tries have no end, because a lost report is the worst outcome. The answer comes from the
status alone, so a restart of the operator sends nothing twice and forgets nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from dora_operator.domain.outcome import LONGEST_RESET, Pace, TryAgain
from dora_operator.domain.plan import Send, contradicts
from dora_operator.domain.reasons import CREDENTIAL_REASONS, INGESTION_REASONS, Reason
from dora_operator.domain.resource import ConditionType, DoraDeploymentStatus, Target

MAX_AFTER_RESET = 6.0
"""Seconds that a try is delayed after the beginning of a new window, at most."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Delays in seconds. The defaults are the operator's; tests use shorter ones."""

    first: float = 1.0
    longest: float = 300.0
    slowly: float = 300.0
    """After 401 and 403; a changed Secret is tried at once."""
    ingestion_first: float = 5.0
    ingestion_longest: float = 60.0
    ingestion_deadline: float = 3600.0
    """How long a deployment may be unknown to Datadog before the resource counts as stalled."""
    after_deadline: float = 3600.0

    def longest_after(self, reason: str | None, pending_for: timedelta) -> float:
        """Return the longest delay there can be. A status that says more was written with a wrong clock."""
        if reason == Reason.RATE_LIMITED:
            return max(self.longest, LONGEST_RESET + MAX_AFTER_RESET)
        if reason in CREDENTIAL_REASONS:
            return self.slowly
        if reason in INGESTION_REASONS:
            is_late = pending_for >= timedelta(seconds=self.ingestion_deadline)
            return self.after_deadline if is_late else self.ingestion_longest
        return self.longest


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds until the next try, and whether only a change by the user is likely to help."""

    seconds: float
    stalled: bool = False


def next_backoff(
    outcome: TryAgain, *, attempts: int, pending_for: timedelta, policy: RetryPolicy, jitter: float
) -> Backoff:
    """Return the delay after the `attempts`-th failure in a row (1 and up); jitter is 0 to 1."""
    match outcome.pace:
        case Pace.BACKOFF:
            return Backoff(_spread(_doubling(policy.first, policy.longest, attempts), jitter))
        case Pace.SLOWLY:
            return Backoff(_spread(policy.slowly, jitter))
        case Pace.AT_RESET:
            if outcome.reset_seconds is None:
                return Backoff(_spread(_doubling(policy.ingestion_first, policy.longest, attempts), jitter))
            # Never before the window, not at the same moment as other clients, and not at once for ever.
            again = _doubling(0.1, MAX_AFTER_RESET - 1, attempts - 2)
            return Backoff(outcome.reset_seconds + again + min(0.9, 0.1 * outcome.reset_seconds) * jitter)
        case Pace.INGESTION:
            if pending_for >= timedelta(seconds=policy.ingestion_deadline):
                return Backoff(_spread(policy.after_deadline, jitter), stalled=True)
            return Backoff(_spread(_doubling(policy.ingestion_first, policy.ingestion_longest, attempts), jitter))
        case _:
            assert_never(outcome.pace)


def _doubling(first: float, longest: float, attempts: int) -> float:
    doublings = min(max(attempts, 1) - 1, 30)  # 2**30 is beyond any cap, and keeps the float finite
    return min(longest, first * 2.0**doublings)


def _spread(seconds: float, jitter: float) -> float:
    """Between half and all of it: many resources that failed together do not come back together."""
    return seconds * (0.5 + 0.5 * jitter)


@dataclass(frozen=True, slots=True)
class SendNow:
    """Send the request now."""


@dataclass(frozen=True, slots=True)
class NothingDue:
    """Datadog has accepted exactly this."""


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Send nothing; decide again at `until`, or only after a change where it is None."""

    until: datetime | None


NextAction = SendNow | NothingDue | WaitUntil


def next_action(
    plan: Send, status: DoraDeploymentStatus, generation: int, now: datetime, policy: RetryPolicy
) -> NextAction:
    """Decide about the request of this plan. `forced` decides whether a force sync precedes that."""
    same_target = plan.target.is_same_as(status.target)
    if same_target and status.accepted == plan.request.state:
        return NothingDue()
    if not same_target or status.desired != plan.request.state or status.observed_generation != generation:
        return SendNow()  # a change by the user is tried at once, whatever came before
    if status.reason(ConditionType.READY) == Reason.REQUEST_REJECTED:
        return WaitUntil(None)
    until = believed_next_attempt(status, now, policy)
    return SendNow() if until is None else WaitUntil(until)


def forced(status: DoraDeploymentStatus, force_sync: str | None) -> DoraDeploymentStatus | None:
    """Return the status with which a force sync is tried, or None where none is asked for, or it was handled.

    Nothing counts as accepted any more, so after a failure the desired state is sent again as any other. Every status
    that follows has the handled value, so that it is not handled twice.
    """
    if force_sync is None or force_sync == status.last_force_sync:
        return None
    forgotten = status if status.accepted is None else forget_acceptance(status)
    return replace(forgotten, last_force_sync=force_sync)


def believed_next_attempt(status: DoraDeploymentStatus, now: datetime, policy: RetryPolicy) -> datetime | None:
    """Return until when to wait, as a status says; None where that is over, or longer than any delay can be."""
    until = status.next_attempt_time
    pending_for = now - (status.pending_since_time or now)
    latest = now + timedelta(seconds=policy.longest_after(status.reason(ConditionType.READY), pending_for))
    return until if until is not None and now < until <= latest else None


def without_overwritten(status: DoraDeploymentStatus, others: Iterable[DoraDeploymentStatus]) -> DoraDeploymentStatus:
    """Forget an acceptance that is no proof any more: another resource has had something else accepted since.

    That happens to a resource that sent nothing meanwhile, by suspend for example: it was no rival then.
    """
    if any(overwrites(other, status) for other in others):
        return forget_acceptance(status)
    return status


def forget_acceptance(status: DoraDeploymentStatus) -> DoraDeploymentStatus:
    """Return a status without what Datadog has accepted: it is sent again when it is wanted again."""
    return replace(status, accepted=None, accepted_time=None, http_status=None)


def adopt_acceptance(
    status: DoraDeploymentStatus, target: Target, record_status: DoraDeploymentStatus
) -> DoraDeploymentStatus:
    """Return the status of a resource that replaces a record: what the record had accepted is not sent again."""
    if status.accepted is not None or record_status.accepted is None or not target.is_same_as(record_status.target):
        return status
    return replace(
        status,
        accepted=record_status.accepted,
        accepted_time=record_status.accepted_time,
        http_status=record_status.http_status,
        target=record_status.target,
    )


def overwrites(other: DoraDeploymentStatus, status: DoraDeploymentStatus) -> bool:
    """Return whether another resource has had something else accepted than this one, and later."""
    if other.accepted is None or status.accepted is None or other.accepted_time is None or status.accepted_time is None:
        return False
    if other.accepted_time < status.accepted_time or other.target is None or not other.target.is_same_as(status.target):
        return False
    return contradicts(other.accepted, status.accepted)
