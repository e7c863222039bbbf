"""From a plan or an outcome, and the previous status, to the next status. Also the summary of one for overviews.

Every function returns a whole new status; the caller writes it when it differs from what Kubernetes has. All conditions
follow from one value, the ConditionSummary, so that they can never contradict each other.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

from pydantic import TypeAdapter

from dora_operator.domain.fields import adapter
from dora_operator.domain.history.verdicts import Verdict
from dora_operator.domain.outcome import Accepted, Outcome, TryAgain, shorten
from dora_operator.domain.plan import Hold, Plan, Refuse, Send, Wait
from dora_operator.domain.read_back import DISABLED, PENDING, Finding, Verification
from dora_operator.domain.reasons import ON_PURPOSE, Reason
from dora_operator.domain.request import encode
from dora_operator.domain.resource import (
    HISTORY_LIMIT,
    Condition,
    ConditionStatus,
    ConditionType,
    DoraDeployment,
    DoraDeploymentStatus,
    DryRunRequest,
    HistoryEntry,
    MarkState,
)
from dora_operator.domain.retry import RetryPolicy, next_backoff


class Phase(Enum):
    """Which of the conditions is True, in the terms of kstatus."""

    READY = auto()
    WORKING = auto()
    HELD = auto()
    STALLED = auto()


@dataclass(frozen=True, slots=True)
class ConditionSummary:
    """The state of a resource in one value."""

    phase: Phase
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Override:
    """Whether the spec says something else than the Rollout."""

    is_overridden: bool
    verdict: str


@dataclass(frozen=True, slots=True)
class StatusContext:
    """What a new status needs besides the plan and the previous one."""

    generation: int
    now: datetime
    policy: RetryPolicy
    jitter: float
    """0 to 1."""
    source: Verdict | None = None
    """What the Rollout has decided so far."""
    override: Override | None = None
    finding: Finding | None = None
    """What the newest read of the accepted state means; None: there was none since the last status."""
    reads_back: bool = True


def settled(previous: DoraDeploymentStatus, plan: Send, context: StatusContext) -> DoraDeploymentStatus:
    """Return the status of a resource whose desired state Datadog has accepted before."""
    current = _cleared(_for_plan(previous, plan, context))
    return _with_conditions(current, previous, _accepted_summary(current), context)


def without_request(
    previous: DoraDeploymentStatus, plan: Hold | Wait | Refuse, context: StatusContext
) -> DoraDeploymentStatus:
    current = replace(_for_plan(previous, plan, context), next_attempt_time=None)
    if isinstance(plan, Hold) and current.accepted == current.desired:  # there is nothing that could be held back
        return _with_conditions(_cleared(current), previous, _accepted_summary(current), context)
    if plan.reason is Reason.DRY_RUN and isinstance(plan, Hold):
        current = replace(current, dry_run=_dry_run_request(plan))
    summary = ConditionSummary(_PHASES[type(plan)], plan.reason, plan.message)
    return _with_conditions(current, previous, summary, context)


def with_outcome(
    previous: DoraDeploymentStatus, plan: Send, outcome: Outcome, context: StatusContext
) -> DoraDeploymentStatus:
    current = _for_plan(previous, plan, context)
    if isinstance(outcome, Accepted):
        resent = current.accepted is None and current.accepted_time is not None and previous.desired == current.desired
        is_created = plan.event is not None and current.created_time is None
        if is_created:  # a new deployment, which no read has shown: the schedule begins again
            resent, context = False, replace(context, finding=None)
        now = _whole_seconds(context.now)
        current = replace(
            _cleared(current),
            accepted=current.desired,
            accepted_time=current.accepted_time if resent else now,
            created_time=now if is_created else current.created_time,
            http_status=outcome.http_status,
        )
        return _with_conditions(current, previous, _accepted_summary(current), context)
    attempts = (current.attempts or 0) + 1
    next_attempt_time, phase = None, Phase.STALLED
    if isinstance(outcome, TryAgain):
        pending_for = context.now - (current.pending_since_time or context.now)
        backoff = next_backoff(
            outcome, attempts=attempts, pending_for=pending_for, policy=context.policy, jitter=context.jitter
        )
        next_attempt_time = context.now + timedelta(seconds=backoff.seconds)
        phase = Phase.STALLED if backoff.stalled else Phase.WORKING
    current = replace(
        current,
        attempts=attempts,
        last_error=shorten(outcome.message),
        http_status=outcome.http_status,
        next_attempt_time=next_attempt_time,
    )
    return _with_conditions(current, previous, ConditionSummary(phase, outcome.reason, outcome.message), context)


def postponed(
    previous: DoraDeploymentStatus,
    plan: Send,
    summary: ConditionSummary,
    until: datetime | None,
    context: StatusContext,
) -> DoraDeploymentStatus:
    """Return the status of a resource whose request could not even be tried: no keys, or its account has to wait."""
    current = _for_plan(previous, plan, context)
    current = replace(current, next_attempt_time=until, last_error=shorten(summary.message))
    return _with_conditions(current, previous, summary, context)


def invalid(previous: DoraDeploymentStatus, message: str, context: StatusContext) -> DoraDeploymentStatus:
    current = replace(previous, observed_generation=context.generation, next_attempt_time=None)
    return _with_conditions(current, previous, ConditionSummary(Phase.STALLED, Reason.INVALID_SPEC, message), context)


_PHASES = {Hold: Phase.HELD, Wait: Phase.WORKING, Refuse: Phase.STALLED}
_NO_ATTEMPTS: dict[str, Any] = dict.fromkeys(("attempts", "last_error", "next_attempt_time", "pending_since_time"))


def _for_plan(previous: DoraDeploymentStatus, plan: Plan, context: StatusContext) -> DoraDeploymentStatus:
    """Carry the previous status over to this plan, without what belongs to another target or desired state."""
    desired = plan.request.state if isinstance(plan, Send | Hold) else plan.state
    changes: dict[str, Any] = {}
    same_target = plan.target.is_same_as(previous.target)
    if previous.target is not None and not same_target:
        changes |= dict.fromkeys(("accepted", "accepted_time", "http_status", "read_back", "created_time"))
    if not same_target or previous.desired != desired:
        changes |= _NO_ATTEMPTS
    accepted = changes.get("accepted", previous.accepted)
    if changes.get("pending_since_time", previous.pending_since_time) is None and accepted != desired:
        changes["pending_since_time"] = _whole_seconds(context.now)
    return replace(
        previous,
        observed_generation=context.generation,
        desired=desired,
        dry_run=None,
        source=context.source,
        target=plan.target,
        **changes,
    )


def _cleared(current: DoraDeploymentStatus) -> DoraDeploymentStatus:
    return replace(current, **_NO_ATTEMPTS, dry_run=None)


def _accepted_summary(current: DoraDeploymentStatus) -> ConditionSummary:
    return ConditionSummary(Phase.READY, Reason.ACCEPTED, f"Datadog accepted: {_in_words(current.desired)}")


def _in_words(state: MarkState | None) -> str:
    if state is None:
        return "nothing"
    words = []
    if state.change_failure is not None:
        words.append("change failure" if state.change_failure else "no change failure")
    if state.remediation is not None:
        by = f"id {state.remediation.id}" if state.remediation.id else f"version {state.remediation.version}"
        words.append(f"{state.remediation.type.value} to {by}")
    return ", ".join(words)


def _dry_run_request(plan: Hold) -> DryRunRequest:
    readable = json.dumps(json.loads(encode(plan.request)), ensure_ascii=False, separators=(",", ":"))
    return DryRunRequest(method="PATCH", path=plan.request.path, body=readable)  # escapes would be six times as long


def _with_conditions(
    current: DoraDeploymentStatus, previous: DoraDeploymentStatus, summary: ConditionSummary, context: StatusContext
) -> DoraDeploymentStatus:
    before = {condition.type: condition for condition in previous.conditions or ()}
    verified = _verification(current, previous, before.get(ConditionType.VERIFIED), context)
    if context.finding is not None and current.accepted_time is not None:
        current = replace(current, read_back=context.finding.read_back)
    accepted = summary
    if summary.phase is Phase.READY and verified.reason in NOT_READY:
        summary = ConditionSummary(Phase.WORKING, verified.reason, verified.message)
    conditions = tuple(
        Condition(
            type=kind.value,
            status=status,
            observed_generation=context.generation,
            last_transition_time=_transition(before.get(kind.value), status, context.now),
            reason=reason.value,
            message=message,
        )
        for kind, status, reason, message in _condition_rows(summary, accepted, verified, context.override)
    )
    return replace(current, conditions=conditions, history=_history(summary, current, context.now))


_Row = tuple[ConditionType, ConditionStatus, Reason, str]


NOT_READY = frozenset({Reason.DEPLOYMENT_MISSING, Reason.NOT_APPLIED})
"""Reasons of Verified with which an accepted state is not Ready."""


def _verification(
    current: DoraDeploymentStatus, previous: DoraDeploymentStatus, before: Condition | None, context: StatusContext
) -> Verification:
    """Return what is known of the accepted state. It stays until a read shows something else."""
    if context.finding is not None and current.accepted_time is not None:
        return context.finding.verification
    if not context.reads_back:
        return DISABLED
    is_same_state = current.accepted_time is not None and current.accepted_time == previous.accepted_time
    if before is None or not is_same_state or before.reason == Reason.DISABLED or before.reason not in _REASONS:
        return PENDING
    return Verification(before.status, Reason(before.reason), before.message)


def _condition_rows(
    summary: ConditionSummary, accepted: ConditionSummary, verified: Verification, override: Override | None
) -> list[_Row]:
    rows: list[_Row] = [
        (ConditionType.READY, _TRUTH[summary.phase is Phase.READY], summary.reason, shorten(summary.message, 1024)),
        (
            ConditionType.ACCEPTED,
            _TRUTH[accepted.phase is Phase.READY],
            accepted.reason,
            shorten(accepted.message, 1024),
        ),
        (ConditionType.VERIFIED, verified.status, verified.reason, verified.message),
        (ConditionType.RECONCILING, _TRUTH[summary.phase is Phase.WORKING], summary.reason, ""),
        (ConditionType.STALLED, _TRUTH[summary.phase is Phase.STALLED], summary.reason, ""),
    ]
    if override is not None:
        rows.append(_override_row(override))
    return rows


def _override_row(override: Override) -> _Row:
    if override.is_overridden:
        message = f"the Rollout's verdict is {override.verdict}; spec says otherwise, and spec wins"
        return (ConditionType.OVERRIDDEN, ConditionStatus.TRUE, Reason.SPEC_WINS, message)
    return (ConditionType.OVERRIDDEN, ConditionStatus.FALSE, Reason.FOLLOWS_ROLLOUT, "")


_TRUTH = {True: ConditionStatus.TRUE, False: ConditionStatus.FALSE}


def _transition(before: Condition | None, status: ConditionStatus, now: datetime) -> datetime:
    """The time moves only where the status changed."""
    return before.last_transition_time if before is not None and before.status is status else _whole_seconds(now)


def _history(
    summary: ConditionSummary, current: DoraDeploymentStatus, now: datetime
) -> tuple[HistoryEntry, ...] | None:
    """Return the history, with a new first entry where the outcome changed."""
    desired = current.desired or MarkState()
    entry = HistoryEntry(
        time=_whole_seconds(now),
        reason=summary.reason.value,
        message=shorten(summary.message),
        http_status=current.http_status,
        change_failure=desired.change_failure,
        remediation=desired.remediation,
    )
    past = current.history or ()
    if past and _outcome_of(past[0]) == _outcome_of(entry):
        return current.history
    return (entry, *past)[:HISTORY_LIMIT]


def _outcome_of(entry: HistoryEntry) -> tuple[object, ...]:
    return (entry.reason, entry.change_failure, entry.remediation)


def _whole_seconds(moment: datetime) -> datetime:
    """Return the moment as metav1.Time writes it."""
    return moment.replace(microsecond=0)


def merge_patch(status: DoraDeploymentStatus) -> dict[str, Any]:
    """Return a JSON merge patch that makes Kubernetes' copy equal to `status`: absent fields are removed by null."""
    patch: dict[str, Any] = _STATUS.dump_python(status, mode="json", by_alias=True)
    present = _STATUS.dump_python(status, mode="json", by_alias=True, exclude_none=True)
    # A merge patch replaces lists as a whole, so nothing in them needs a null.
    return patch | {name: value for name, value in present.items() if isinstance(value, list)}


_STATUS: TypeAdapter[DoraDeploymentStatus] = adapter(DoraDeploymentStatus)


NO_CONDITION = "Pending"
"""Shown as reason where no condition has been written yet."""
_REASONS = frozenset(reason.value for reason in Reason)


@dataclass(frozen=True, slots=True)
class Summary:
    """The little that metrics over ten thousand DoraDeployments need of each."""

    ready: str
    """Status of Ready: True, False or Unknown."""
    reason: str
    """Reason of Ready: a `Reason`, or `Pending`, or `Other`."""
    unreported: bool
    """Whether a change failure is wanted that Datadog has not accepted, and that is not held back on purpose."""
    unreported_since: datetime | None = None
    """Since when; None where that is not known yet."""
    unverified_since: datetime | None = None
    """Since when an accepted change failure was never read back as stored, where it was not."""


def summary_of(deployment: DoraDeployment) -> Summary:
    spec, status = deployment.spec, deployment.status
    ready, reason = _ready_of(status)
    is_current = status.observed_generation == deployment.generation and status.desired is not None
    if is_current:
        wanted, held = _is_failure(status.desired), reason in ON_PURPOSE
    else:
        wanted = spec is not None and bool(spec.change_failure)
        held = spec is not None and bool(spec.suspend or spec.dry_run)
    if not wanted or held or _is_failure(status.accepted):
        return Summary(ready, reason, unreported=False, unverified_since=_unverified_since(status))
    since = status.pending_since_time if is_current else None
    if since is None and deployment.generation == 1:
        since = deployment.created_time
    return Summary(ready, reason, unreported=True, unreported_since=since)


_NOT_OPEN = frozenset({Reason.DISABLED, Reason.CHANGED_IN_DATADOG, Reason.RECOVERY_NEGATIVE})
"""Reasons of Verified with which a mark is not waiting: it is not read back at all, or was read back as stored."""


def _unverified_since(status: DoraDeploymentStatus) -> datetime | None:
    verified = status.condition(ConditionType.VERIFIED)
    is_open = verified is None or (verified.status is not ConditionStatus.TRUE and verified.reason not in _NOT_OPEN)
    return status.accepted_time if _is_failure(status.accepted) and is_open else None


def _ready_of(status: DoraDeploymentStatus) -> tuple[str, str]:
    ready = status.condition(ConditionType.READY)
    if ready is None:
        return ConditionStatus.UNKNOWN.value, NO_CONDITION
    return ready.status.value, ready.reason if ready.reason in _REASONS else "Other"


def _is_failure(state: MarkState | None) -> bool:
    return state is not None and state.change_failure is True
