"""When the state that Datadog has accepted is read back.

The times follow from the time of the 202, so a read that shows no change writes nothing, and a restart forgets nothing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import ConditionType, DoraDeploymentStatus

DAY = 86_400.0
MAX_READS = 7
"""At most so many reads of one accepted state."""
LINK_READS = 4
"""How many scheduled reads a link waits for, beside the one at once."""
LONGEST_AMBIGUITY = timedelta(seconds=60)
"""A read that was due so shortly before the last process ended is made: that process may not have made it."""
UNREAD = frozenset({None, Reason.PENDING, Reason.READ_FORBIDDEN})
"""Reasons of Verified with which no read was made."""
APPLIED = frozenset(
    {
        Reason.READ_BACK,
        Reason.CHANGED_IN_DATADOG,
        Reason.RECOVERY_NEGATIVE,
        Reason.RECOVERY_MISSING,
        Reason.REMEDIATION_BY_DATADOG,
    }
)
"""Reasons of Verified with which a read has shown the mark as it was sent."""


def next_read(
    status: DoraDeploymentStatus,
    schedule: Sequence[float],
    *,
    led_until: datetime,
    last_read: datetime | None = None,
    create_after: float | None = None,
) -> datetime | None:
    """Return the time of the next read of an accepted state, or None where no more is due.

    The times follow from the acceptance; `create_after`: seconds until a missing deployment may be created. `last_read`
    is known by this process; what an earlier one has read with no change was not written, and counts as made unless it
    was due shortly before that one ended at `led_until`, or later.
    """
    if status.accepted is None or status.accepted_time is None:
        return None
    times = _times(status, schedule, create_after)
    known = [time for time in (last_read, status.read_back.time if status.read_back else None) if time is not None]
    known = [time for time in known if time >= status.accepted_time]
    is_unread = not known and status.reason(ConditionType.VERIFIED) in UNREAD
    before = status.accepted_time
    for due in times:
        ambiguity = min(LONGEST_AMBIGUITY, (due - before) / 2)
        before = due
        if any(due <= time for time in known):
            continue
        if is_unread or due > led_until - ambiguity:
            return due
    return None


def next_link_read(since: datetime | None, schedule: Sequence[float], last_read: datetime | None) -> datetime | None:
    """Return when the deployment of a remediation is searched next: at once, then a few times; None: no more."""
    if since is None:
        return None
    times = [since, *(since + timedelta(seconds=seconds) for seconds in schedule[:LINK_READS])]
    return next((time for time in times if last_read is None or last_read < time), None)


def reads_due(status: DoraDeploymentStatus, schedule: Sequence[float], now: datetime) -> int:
    """Return how many reads of the schedule are due by now: a late one stands for all of them."""
    since = (now - (status.accepted_time or now)).total_seconds()
    return sum(seconds <= since for seconds in schedule)


def _times(status: DoraDeploymentStatus, schedule: Sequence[float], create_after: float | None) -> list[datetime]:
    assert status.accepted_time is not None
    offsets = list(schedule)
    verified = status.reason(ConditionType.VERIFIED)
    if verified in {Reason.DEPLOYMENT_MISSING, Reason.NOT_APPLIED}:  # what the last read sends again is read too
        offsets.append(offsets[-1] + DAY)
    if verified == Reason.DEPLOYMENT_MISSING and create_after is not None:
        offsets = sorted({*offsets, create_after})
    times = [status.accepted_time + timedelta(seconds=seconds) for seconds in offsets[:MAX_READS]]
    return times[-1:] if verified in APPLIED else times
