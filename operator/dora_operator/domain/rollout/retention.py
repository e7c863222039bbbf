"""Which of the operator's own records are deleted: settled ones that are old, or of which a Rollout has too many.

Never one that is younger than the lookback: the Rollout would show the same fact again.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class SettledRecord:
    """A record that Datadog has accepted."""

    namespace: str
    name: str
    rollout: str
    accepted_at: datetime


@dataclass(frozen=True, slots=True)
class Retention:
    """How long, and how many. Both count only settled records; an unsent report is kept for ever."""

    age: timedelta = timedelta(days=90)
    per_rollout: int = 20


def expired(
    records: Iterable[SettledRecord], retention: Retention, lookback: timedelta, now: datetime
) -> list[SettledRecord]:
    """Return the records to delete, oldest first."""
    by_rollout: dict[tuple[str, str], list[SettledRecord]] = defaultdict(list)
    for record in records:
        by_rollout[record.namespace, record.rollout].append(record)
    found: list[SettledRecord] = []
    for members in by_rollout.values():
        newest_first = sorted(members, key=lambda record: (record.accepted_at, record.name), reverse=True)
        for place, record in enumerate(newest_first):
            age = now - record.accepted_at
            if age > lookback and (place >= retention.per_rollout or age > retention.age):
                found.append(record)
    return sorted(found, key=lambda record: (record.accepted_at, record.name))
