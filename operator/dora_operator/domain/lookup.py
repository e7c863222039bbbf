"""Which one of Datadog's deployments a revision is: for marks, links, read-back and Create.

A version may have several deployments. Of those the right one began after the version's earlier revision ended and
before its next one began, and its time overlaps the revision's. A deployment that the operator posted itself is never
the answer. Where several fit, none is chosen.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dora_operator.domain.reasons import Reason
from dora_operator.domain.stored import StoredDeployment

OWN_PREFIX = "dora-operator-"
"""Ids of deployments that the operator posts begin with it."""
CLOCKS = timedelta(minutes=5)
"""By how much the clocks of the cluster and of the sender of deployments may differ."""
_EVER = datetime.max.replace(tzinfo=UTC)

Found = StoredDeployment | Reason
"""The deployment, or DeploymentMissing or Ambiguous."""


@dataclass(frozen=True, slots=True)
class Span:
    """When the deployment of a revision can have been. None: not known, or no such revision."""

    started: datetime | None
    ended: datetime | None
    earlier_ended: datetime | None = None
    """When the version's earlier revision ended."""
    next_started: datetime | None = None
    """When the version's next revision began."""


def find(rows: Iterable[StoredDeployment], service: str, env: str, version: str, span: Span) -> Found:
    """Return the deployment of a revision."""
    return _only(fitting(rows, service, env, version, span))


def fitting(
    rows: Iterable[StoredDeployment], service: str, env: str, version: str, span: Span
) -> list[StoredDeployment]:
    """Return the deployments that a revision can be: several where it cannot be said which."""
    return [row for row in candidates(rows, service, env, version) if _fits(row, span)]


def find_last(rows: Iterable[StoredDeployment], service: str, env: str, version: str, at: datetime) -> Found:
    """Return the deployment that a person means who names a version: the one that had finished last then.

    Where none had finished, it is the one that was under way.
    """
    begun = [row for row in candidates(rows, service, env, version) if (_start(row) or _EVER) <= at + CLOCKS]
    finished = [(row.finished_at, row) for row in begun if row.finished_at and row.finished_at <= at + CLOCKS]
    last = max((time for time, _ in finished), default=None)
    return _only([row for time, row in finished if time == last] if finished else begun)


def candidates(rows: Iterable[StoredDeployment], service: str, env: str, version: str) -> list[StoredDeployment]:
    """Return the deployments with these tags, else those whose tags are equal as Datadog normalizes tags."""
    wanted = (service, env, version)
    others = [row for row in rows if not row.id.startswith(OWN_PREFIX)]
    exact = [row for row in others if row.tags == wanted]
    return exact or [row for row in others if _normalized(row.tags) == _normalized(wanted)]


def _normalized(tags: tuple[str | None, ...]) -> tuple[str | None, ...]:
    """Lower case; all but letters, digits and _ - : . / is an underscore (Datadog, "Getting started with tags")."""
    return tuple(
        re.sub(r"_+", "_", re.sub(r"[^\w:./-]", "_", tag.lower())).rstrip("_") if tag else None for tag in tags
    )


def _fits(row: StoredDeployment, span: Span) -> bool:
    began, finished = _start(row), row.finished_at or _EVER
    if began is None:
        return False
    if span.earlier_ended is not None and began <= span.earlier_ended:
        return False
    if span.next_started is not None and began >= span.next_started:
        return False
    is_too_late = span.ended is not None and began > span.ended + CLOCKS
    is_too_early = span.started is not None and finished < span.started - CLOCKS
    return not is_too_late and not is_too_early


def _start(row: StoredDeployment) -> datetime | None:
    return row.started_at or row.finished_at


def _only(rows: list[StoredDeployment]) -> Found:
    if len(rows) > 1:
        return Reason.AMBIGUOUS
    return rows[0] if rows else Reason.DEPLOYMENT_MISSING
