"""The settings that change what a workload's history means."""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from dora_operator.domain.history.history import Cause


class RetrySuccess(Enum):
    """What happens to the mark when the marked version is promoted later."""

    MARK_STABLE = "MarkStable"
    KEEP = "Keep"


class AbortRecovery(Enum):
    """What is linked to an aborted deployment as its remediation."""

    NONE = "None"
    NEXT_VERSION = "NextVersion"
    """The next promoted version. This measures the time to the next release."""


class RollbackMarks(Enum):
    """Which deployment a rollback marks. A change of the setting applies to rollbacks that start after it."""

    FIRST_AFTER_TARGET = "FirstAfterTarget"
    REPLACED = "Replaced"


@dataclass(frozen=True, slots=True)
class Policy:
    """What counts, and how it is shown to Datadog."""

    retry_success: RetrySuccess = RetrySuccess.MARK_STABLE
    abort_recovery: AbortRecovery = AbortRecovery.NONE
    rollback_marks: RollbackMarks = RollbackMarks.FIRST_AFTER_TARGET
    lookback: timedelta = timedelta(hours=24)
    """How old an abort may be that the first observation of a workload shows."""
    causes: frozenset[Cause] = frozenset({Cause.ABORT, Cause.UNDO, Cause.ROLLBACK})
    deadline_grace: timedelta = timedelta(0)
    served: bool = False
    """Whether a failure in flight counts only where a new pod had been ready."""
    envs: frozenset[str] | None = None
    """None: all."""
