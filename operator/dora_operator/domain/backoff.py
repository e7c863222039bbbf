"""How long to wait before the next try: attempts, deadline and a random number in, seconds out.

Pauses grow and are capped; tries have no end, because a lost report is the worst outcome.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from dora_operator.domain.outcome import Pace, TryAgain
from dora_operator.domain.ratelimit import LONGEST_RESET
from dora_operator.domain.reasons import CREDENTIAL_REASONS, Reason

LONGEST_AFTER_RESET = 6.0
"""Seconds that a try is put off after the beginning of a new window, at most."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Pauses in seconds. The defaults are the operator's; tests use shorter ones."""

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
        """Return the longest pause there can be. What is further ahead was noted by a clock that was wrong."""
        if reason == Reason.RATE_LIMITED:
            return max(self.longest, LONGEST_RESET + LONGEST_AFTER_RESET)
        if reason in CREDENTIAL_REASONS:
            return self.slowly
        if reason == Reason.DEPLOYMENT_NOT_FOUND:
            is_late = pending_for >= timedelta(seconds=self.ingestion_deadline)
            return self.after_deadline if is_late else self.ingestion_longest
        return self.longest


@dataclass(frozen=True, slots=True)
class Pause:
    """When to try again, and whether the user has to look first."""

    seconds: float
    stalled: bool = False


def next_pause(
    outcome: TryAgain, *, attempts: int, pending_for: timedelta, policy: RetryPolicy, jitter: float
) -> Pause:
    """Return the pause after the `attempts`-th failure in a row (1 and up); jitter is 0 to 1."""
    match outcome.pace:
        case Pace.BACKOFF:
            return Pause(_spread(_doubling(policy.first, policy.longest, attempts), jitter))
        case Pace.SLOWLY:
            return Pause(_spread(policy.slowly, jitter))
        case Pace.AT_RESET:
            if outcome.reset_seconds is None:
                return Pause(_spread(_doubling(policy.ingestion_first, policy.longest, attempts), jitter))
            # Never before the window, not in step with other clients after it, and not at once for ever.
            again = _doubling(0.1, LONGEST_AFTER_RESET - 1, attempts - 2)
            return Pause(outcome.reset_seconds + again + min(0.9, 0.1 * outcome.reset_seconds) * jitter)
        case Pace.INGESTION:
            if pending_for >= timedelta(seconds=policy.ingestion_deadline):
                return Pause(_spread(policy.after_deadline, jitter), stalled=True)
            return Pause(_spread(_doubling(policy.ingestion_first, policy.ingestion_longest, attempts), jitter))
        case _:
            assert_never(outcome.pace)


def _doubling(first: float, longest: float, attempts: int) -> float:
    doublings = min(max(attempts, 1) - 1, 30)  # 2**30 is beyond any cap, and keeps the float finite
    return min(longest, first * 2.0**doublings)


def _spread(seconds: float, jitter: float) -> float:
    """Between half and all of it: many resources that failed together do not come back together."""
    return seconds * (0.5 + 0.5 * jitter)
