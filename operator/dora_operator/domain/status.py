"""From a plan or an outcome, and the previous status, to the next status.

Every function returns a whole new status; the caller writes it when it differs from what Kubernetes has.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dora_operator.domain.answer_text import shorten
from dora_operator.domain.backoff import RetryPolicy, next_pause
from dora_operator.domain.conditions import (
    Override,
    Phase,
    Standing,
    conditions_for,
    history_with,
    whole_seconds,
)
from dora_operator.domain.observed import DoraDeploymentStatus, DryRunRequest, MarkState, RolloutObservation
from dora_operator.domain.outcome import Accepted, Outcome, Rejected, TryAgain
from dora_operator.domain.plan import Hold, Plan, Refuse, Send, Wait
from dora_operator.domain.reasons import Reason
from dora_operator.domain.request import encode


@dataclass(frozen=True, slots=True)
class Moment:
    """The outside facts of one decision."""

    generation: int
    now: datetime
    policy: RetryPolicy
    jitter: float
    """0 to 1, from outside."""
    rollout: RolloutObservation | None = None
    """What the Rollout has decided so far."""
    override: Override | None = None


def settled(previous: DoraDeploymentStatus, plan: Send, moment: Moment) -> DoraDeploymentStatus:
    """Return the status of a resource whose desired state Datadog has accepted before."""
    current = _cleared(_for_plan(previous, plan, moment))
    return _standing(current, previous, _accepted_standing(current), moment)


def without_request(previous: DoraDeploymentStatus, plan: Hold | Wait | Refuse, moment: Moment) -> DoraDeploymentStatus:
    """Return the status after a plan that sends nothing."""
    current = _for_plan(previous, plan, moment).model_copy(update={"next_attempt_time": None})
    if isinstance(plan, Hold) and current.accepted == current.desired:  # there is nothing that could be held back
        return _standing(_cleared(current), previous, _accepted_standing(current), moment)
    if plan.reason is Reason.DRY_RUN and isinstance(plan, Hold):
        current = current.model_copy(update={"dry_run": _shown(plan)})
    return _standing(current, previous, Standing(_PHASES[type(plan)], plan.reason, plan.message), moment)


def with_outcome(previous: DoraDeploymentStatus, plan: Send, outcome: Outcome, moment: Moment) -> DoraDeploymentStatus:
    """Return the status after Datadog answered, or did not."""
    current = _for_plan(previous, plan, moment)
    match outcome:
        case Accepted(http_status=http_status):
            update: dict[str, object] = {
                "accepted": current.desired,
                "accepted_at": whole_seconds(moment.now),
                "http_status": http_status,
            }
            current = _cleared(current).model_copy(update=update)
            return _standing(current, previous, _accepted_standing(current), moment)
        case Rejected(reason=reason, message=message, http_status=http_status):
            update = _failed(current, message, http_status)
            standing = Standing(Phase.STALLED, reason, message)
            return _standing(current.model_copy(update=update), previous, standing, moment)
        case TryAgain():
            return _try_again(current, previous, outcome, moment)


def _try_again(
    current: DoraDeploymentStatus, previous: DoraDeploymentStatus, outcome: TryAgain, moment: Moment
) -> DoraDeploymentStatus:
    attempts = (current.attempts or 0) + 1
    pending_for = moment.now - (current.pending_since or moment.now)
    pause = next_pause(outcome, attempts=attempts, pending_for=pending_for, policy=moment.policy, jitter=moment.jitter)
    update = _failed(current, outcome.message, outcome.http_status)
    update["next_attempt_time"] = moment.now + timedelta(seconds=pause.seconds)
    phase = Phase.STALLED if pause.stalled else Phase.WORKING
    standing = Standing(phase, outcome.reason, outcome.message)
    return _standing(current.model_copy(update=update), previous, standing, moment)


def postponed(
    previous: DoraDeploymentStatus, plan: Send, standing: Standing, until: datetime | None, moment: Moment
) -> DoraDeploymentStatus:
    """Return the status of a resource whose request could not even be tried: no keys, or its account has to wait."""
    current = _for_plan(previous, plan, moment)
    update = {"next_attempt_time": until, "last_error": shorten(standing.message)}
    return _standing(current.model_copy(update=update), previous, standing, moment)


def invalid(previous: DoraDeploymentStatus, message: str, moment: Moment) -> DoraDeploymentStatus:
    """Return the status of a resource whose spec cannot be understood."""
    current = previous.model_copy(update={"observed_generation": moment.generation, "next_attempt_time": None})
    return _standing(current, previous, Standing(Phase.STALLED, Reason.INVALID_SPEC, message), moment)


_PHASES = {Hold: Phase.HELD, Wait: Phase.WORKING, Refuse: Phase.STALLED}


def _for_plan(previous: DoraDeploymentStatus, plan: Plan, moment: Moment) -> DoraDeploymentStatus:
    """Carry the previous status over to this plan: what was counted for another desired state starts anew."""
    desired = plan.request.state if isinstance(plan, Send | Hold) else plan.state
    update: dict[str, object] = {"observed_generation": moment.generation, "desired": desired, "dry_run": None}
    update["rollout"] = moment.rollout
    update["target"] = plan.target
    same_target = plan.target.is_same_as(previous.target)
    if previous.target is not None and not same_target:
        update |= {"accepted": None, "accepted_at": None, "http_status": None}
    if not same_target or previous.desired != desired:
        update |= {"attempts": None, "last_error": None, "next_attempt_time": None, "pending_since": None}
    current = previous.model_copy(update=update)
    if current.pending_since is None and current.accepted != desired:
        current = current.model_copy(update={"pending_since": whole_seconds(moment.now)})
    return current


def _cleared(current: DoraDeploymentStatus) -> DoraDeploymentStatus:
    nothing = dict.fromkeys(("attempts", "last_error", "next_attempt_time", "pending_since", "dry_run"))
    return current.model_copy(update=nothing)


def _failed(current: DoraDeploymentStatus, message: str, http_status: int | None) -> dict[str, object]:
    return {
        "attempts": (current.attempts or 0) + 1,
        "last_error": shorten(message),
        "http_status": http_status,
        "next_attempt_time": None,
    }


def _accepted_standing(current: DoraDeploymentStatus) -> Standing:
    return Standing(Phase.READY, Reason.ACCEPTED, f"Datadog accepted: {_words(current.desired)}")


def _words(state: MarkState | None) -> str:
    if state is None:
        return "nothing"
    words = []
    if state.change_failure is not None:
        words.append("change failure" if state.change_failure else "no change failure")
    if state.remediation is not None:
        by = f"id {state.remediation.id}" if state.remediation.id else f"version {state.remediation.version}"
        words.append(f"{state.remediation.type.value} to {by}")
    return ", ".join(words)


def _shown(plan: Hold) -> DryRunRequest:
    readable = json.dumps(json.loads(encode(plan.request)), ensure_ascii=False, separators=(",", ":"))
    return DryRunRequest(method="PATCH", path=plan.request.path, body=readable)  # escapes would be six times as long


def _standing(
    current: DoraDeploymentStatus, previous: DoraDeploymentStatus, standing: Standing, moment: Moment
) -> DoraDeploymentStatus:
    conditions = conditions_for(standing, previous, moment.generation, moment.now, moment.override)
    history = history_with(standing, current, moment.now)
    return current.model_copy(update={"conditions": conditions, "history": history})


def merge_patch(status: DoraDeploymentStatus) -> dict[str, Any]:
    """Return a JSON merge patch that makes Kubernetes' copy equal to `status`: absent fields are removed by null."""
    return _with_nulls(status.model_dump(mode="json", by_alias=True), status.to_api())


def _with_nulls(full: dict[str, Any], lean: dict[str, Any]) -> dict[str, Any]:
    """Lists are replaced whole by a merge patch, so nothing in them needs a null."""
    return {
        name: _with_nulls(value, lean[name]) if isinstance(value, dict) else lean.get(name)
        for name, value in full.items()
    }
