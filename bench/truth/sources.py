"""What each source of deployments sends to Datadog about the same year."""

from dataclasses import dataclass
from enum import StrEnum

from bench.truth.datadog import Row
from bench.truth.stories import MINUTE, Exposure, Kind
from bench.truth.world import ENV, World, timestamp
from sandbox.datadog.values import Event

APPLIED = 5
"""Seconds that an apply takes."""
NOTICED = 20
"""Seconds until a job that waits for the end of a rollout notices it."""
FIRST_SEEN = MINUTE
"""How long after the start of a rollout the newer version serves its first request."""


class Source(StrEnum):
    """Where deployments come from."""

    APM = "APM"
    CI_SUCCESS = "CI posts successes only"
    CI_APPLY = "CI posts at apply"
    CI_END = "CI posts at the end"
    """Of a rollout, however it ended."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How a source reports. What APM makes of rollouts is not documented."""

    redeployments: bool = False
    """APM: a version that serves again is another row: after a rollback, and after a retry."""
    returns: bool = False
    """APM: the stable version that takes all traffic again after an abort is another row, too."""
    at_first_request: bool = False
    """APM: a row finishes, and is sent, at the version's first request; else when its rollout has ended."""
    clock: int = 0
    """By how many seconds the clock of the source is ahead of the cluster's."""
    instant: bool = False
    """CI that posts at the end: started and finished are the time of the request."""


Times = tuple[int, int] | None


def rows_of(world: World, source: Source, habits: Habits) -> list[Row]:
    """Return what a source sends. The id of a row says its place in this list."""
    times = {Source.APM: _seen, Source.CI_SUCCESS: _succeeded, Source.CI_APPLY: _applied, Source.CI_END: _ended}[source]
    rows: list[Row] = []
    for exposure in world.exposures:
        span = times(exposure, habits)
        if span is not None:
            began, ended = (timestamp(at + habits.clock) for at in span)
            row_id = f"row-{len(rows):012}"
            event = Event(exposure.service, began, ended, ENV, exposure.version, row_id, is_fix=exposure.is_fix)
            rows.append(Row(world.taken_in(span[1]), event, source is Source.APM, exposure))
    return rows


def _seen(exposure: Exposure, habits: Habits) -> Times:
    counted = {
        Kind.RELEASE: True,
        Kind.RETRY: habits.redeployments,
        Kind.REDEPLOYMENT: habits.redeployments,
        Kind.RETURN: habits.returns,
        Kind.REVERT: False,
    }
    if not counted[exposure.kind]:
        return None
    first = min(exposure.began + FIRST_SEEN, exposure.ended)
    return exposure.began, first if habits.at_first_request else exposure.ended


def _succeeded(exposure: Exposure, _: Habits) -> Times:
    is_posted = _is_posted(exposure) and exposure.is_promoted
    return (exposure.began, exposure.ended) if is_posted else None


def _applied(exposure: Exposure, _: Habits) -> Times:
    return (exposure.began, exposure.began + APPLIED) if _is_posted(exposure) else None


def _ended(exposure: Exposure, habits: Habits) -> Times:
    if not _is_posted(exposure):
        return None
    noticed = exposure.ended + NOTICED
    return noticed if habits.instant else exposure.began, noticed


def _is_posted(exposure: Exposure) -> bool:
    return exposure.by_pipeline and exposure.kind is not Kind.RETURN
