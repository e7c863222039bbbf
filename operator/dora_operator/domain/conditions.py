"""Conditions and history: the only place that writes them.

All five conditions follow from one value, the standing, so that they can never contradict each other.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from dora_operator.domain.answer_text import shorten
from dora_operator.domain.observed import (
    HISTORY_LIMIT,
    Condition,
    ConditionStatus,
    ConditionType,
    DoraDeploymentStatus,
    HistoryEntry,
    MarkState,
)
from dora_operator.domain.reasons import Reason


class Phase(Enum):
    """Which of the conditions speaks: kstatus' view of the same facts."""

    READY = auto()
    WORKING = auto()
    HELD = auto()
    STALLED = auto()


@dataclass(frozen=True, slots=True)
class Standing:
    """How a resource stands, in one value; all conditions follow from it."""

    phase: Phase
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Override:
    """Whether the spec says something else than the Rollout."""

    is_overridden: bool
    verdict: str


def conditions_for(
    standing: Standing,
    previous: DoraDeploymentStatus,
    generation: int,
    now: datetime,
    override: Override | None = None,
) -> tuple[Condition, ...]:
    """Return all conditions; lastTransitionTime moves only where a status changed."""
    table = [*_from_standing(standing), *([_from_override(override)] if override is not None else [])]
    return tuple(
        Condition(
            type=kind.value,
            status=status,
            observed_generation=generation,
            last_transition_time=_transition(previous.condition(kind), status, now),
            reason=reason.value,
            message=message,
        )
        for kind, status, reason, message in table
    )


_Row = tuple[ConditionType, ConditionStatus, Reason, str]


def _from_standing(standing: Standing) -> list[_Row]:
    ready = standing.phase is Phase.READY
    not_read = "202 proves only that Datadog accepted the request; what it stored was not read back"
    said = shorten(standing.message, 1024)
    return [
        (ConditionType.READY, _truth(value=ready), standing.reason, said),
        (ConditionType.ACCEPTED, _truth(value=ready), standing.reason, said),
        (ConditionType.VERIFIED, ConditionStatus.UNKNOWN, Reason.NOT_READ_BACK, not_read),
        (ConditionType.RECONCILING, _truth(value=standing.phase is Phase.WORKING), standing.reason, ""),
        (ConditionType.STALLED, _truth(value=standing.phase is Phase.STALLED), standing.reason, ""),
    ]


def _from_override(override: Override) -> _Row:
    if override.is_overridden:
        message = f"the Rollout's verdict is {override.verdict}; spec says otherwise, and spec wins"
        return (ConditionType.OVERRIDDEN, ConditionStatus.TRUE, Reason.SPEC_WINS, message)
    return (ConditionType.OVERRIDDEN, ConditionStatus.FALSE, Reason.FOLLOWS_ROLLOUT, "")


def _truth(*, value: bool) -> ConditionStatus:
    return ConditionStatus.TRUE if value else ConditionStatus.FALSE


def _transition(before: Condition | None, status: ConditionStatus, now: datetime) -> datetime:
    return before.last_transition_time if before is not None and before.status is status else whole_seconds(now)


def history_with(standing: Standing, current: DoraDeploymentStatus, now: datetime) -> tuple[HistoryEntry, ...] | None:
    """Return the history, with a new first entry where the outcome changed."""
    desired = current.desired or MarkState()
    entry = HistoryEntry(
        at=whole_seconds(now),
        reason=standing.reason.value,
        message=shorten(standing.message),
        http_status=current.http_status,
        change_failure=desired.change_failure,
        remediation=desired.remediation,
    )
    past = current.history or ()
    if past and _same_outcome(past[0], entry):
        return current.history
    return (entry, *past)[:HISTORY_LIMIT]


def _same_outcome(one: HistoryEntry, other: HistoryEntry) -> bool:
    def told(entry: HistoryEntry) -> tuple[object, ...]:
        return (entry.reason, entry.change_failure, entry.remediation)

    return told(one) == told(other)


def whole_seconds(moment: datetime) -> datetime:
    """Return the moment as metav1.Time writes it."""
    return moment.replace(microsecond=0)
