"""What each source of deployments sends to Datadog about the same year."""

from dataclasses import dataclass
from enum import StrEnum

from bench.truth.datadog import Row
from bench.truth.stories import MINUTE, Exposure, Kind
from bench.truth.world import ENV, World, timestamp
from sandbox.datadog.values import Event

APPLIED = 5
"""Seconds that an apply takes."""
FIRST_SEEN = MINUTE
"""How long after the start of a rollout the newer version serves its first request."""


class Source(StrEnum):
    """Where deployments come from."""

    APM = "APM sees all"
    CI_SUCCESS = "CI posts successes only"
    CI_APPLY = "CI posts at apply"


@dataclass(frozen=True, slots=True)
class Apm:
    """What APM makes of rollouts; not documented."""

    redeployments: bool = False
    """A version that serves again is another row: after a rollback, and after a retry."""
    returns: bool = False
    """The stable version that takes all traffic again after an abort is another row, too."""
    at_first_request: bool = False
    """A row finishes, and is sent, at the version's first request; else when its rollout has ended."""


def rows_of(world: World, source: Source, apm: Apm) -> list[Row]:
    """Return what a source sends."""
    return [row for each in world.exposures if (row := _row(world, source, apm, each)) is not None]


def _row(world: World, source: Source, apm: Apm, exposure: Exposure) -> Row | None:
    times = {Source.APM: _seen, Source.CI_SUCCESS: _succeeded, Source.CI_APPLY: _applied}[source](exposure, apm)
    if times is None:
        return None
    began, ended = times
    event = Event(exposure.service, timestamp(began), timestamp(ended), ENV, exposure.version)
    return Row(world.taken_in(ended), event, source is Source.APM)


def _seen(exposure: Exposure, apm: Apm) -> tuple[int, int] | None:
    counted = {
        Kind.RELEASE: True,
        Kind.RETRY: apm.redeployments,
        Kind.REDEPLOYMENT: apm.redeployments,
        Kind.RETURN: apm.returns,
        Kind.REVERT: False,
    }
    if not counted[exposure.kind]:
        return None
    first = min(exposure.began + FIRST_SEEN, exposure.ended)
    return exposure.began, first if apm.at_first_request else exposure.ended


def _succeeded(exposure: Exposure, _: Apm) -> tuple[int, int] | None:
    is_posted = exposure.by_pipeline and exposure.is_promoted and exposure.kind is not Kind.RETURN
    return (exposure.began, exposure.ended) if is_posted else None


def _applied(exposure: Exposure, _: Apm) -> tuple[int, int] | None:
    is_posted = exposure.by_pipeline and exposure.kind is not Kind.RETURN
    return (exposure.began, exposure.began + APPLIED) if is_posted else None
