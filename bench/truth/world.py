"""A year of many services, with the outages of Datadog and of the operator. The same seed gives the same year."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from bench.truth.stories import HOUR, MINUTE, YEAR, Action, Exposure, Failure, Kind, live

START = datetime(2026, 1, 5, tzinfo=UTC)
ENV = "prod"
DATADOG_OUTAGES = 6
OPERATOR_OUTAGES = 4
"""In a year."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class World:
    """What really happens."""

    seed: int
    services: tuple[str, ...]
    actions: tuple[Action, ...]
    exposures: tuple[Exposure, ...]
    failures: tuple[Failure, ...]
    datadog_down: tuple[Span, ...]
    operator_down: tuple[Span, ...]
    until: int

    @property
    def deployments(self) -> int:
        """How many deployments there were."""
        return sum(each.kind in {Kind.RELEASE, Kind.REDEPLOYMENT} for each in self.exposures)

    def is_datadog_down(self, at: float) -> bool:
        """Return whether Datadog answers 503."""
        return any(begin <= at < end for begin, end in self.datadog_down)

    def taken_in(self, at: int) -> int:
        """Return when Datadog takes in what a source sends at a time: sources try again until the outage is over."""
        return next((end for begin, end in self.datadog_down if begin <= at < end), at)


def make_world(seed: int, services: int, until: int = YEAR) -> World:
    """Return the year of a seed."""
    names = tuple(f"service-{number}" for number in range(services))
    lives = [live(name, Random(f"{seed} {name}"), until) for name in names]
    random = Random(f"{seed} outages")
    share = until / YEAR
    return World(
        seed=seed,
        services=names,
        actions=tuple(sorted((each for life in lives for each in life.actions), key=lambda each: each.at)),
        exposures=tuple(sorted((each for life in lives for each in life.exposures), key=lambda each: each.ended)),
        failures=tuple(sorted((each for life in lives for each in life.failures), key=lambda each: each.restored)),
        datadog_down=_spans(random, max(1, round(DATADOG_OUTAGES * share)), 20 * MINUTE, 3 * HOUR, until),
        operator_down=_spans(random, max(1, round(OPERATOR_OUTAGES * share)), 2 * MINUTE, 30 * MINUTE, until),
        until=until,
    )


def moment(at: float) -> datetime:
    """Return a time of the year as a date."""
    return START + timedelta(seconds=at)


def timestamp(at: float) -> float:
    """Return a time of the year in seconds since 1970."""
    return START.timestamp() + at


def _spans(random: Random, count: int, shortest: int, longest: int, until: int) -> tuple[Span, ...]:
    begins = sorted(round(random.uniform(0, until)) for _ in range(count))
    spans = [(begin, begin + round(random.uniform(shortest, longest))) for begin in begins]
    return tuple(span for span, later in zip(spans, [*begins[1:], until * 2], strict=True) if span[1] < later)
