"""A year of many services, with the outages of Datadog and of the operator. The same seed gives the same year."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from bench.truth.stories import DAY, HOUR, MINUTE, YEAR, Action, Exposure, Failure, Kind, in_second_cluster, live

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
    clusters: int = 1

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


def make_world(
    seed: int, services: int, until: int = YEAR, *, clusters: int = 1, long_outages: bool = False
) -> World:
    """Return the year of a seed; with two clusters, each service runs in both under the same tags."""
    names = tuple(f"service-{number}" for number in range(services))
    lives = [live(name, Random(f"{seed} {name}"), until) for name in names]
    if clusters > 1:
        lives += [in_second_cluster(life, Random(f"{seed} {life.service} second")) for life in list(lives)]
    random = Random(f"{seed} outages")
    share = until / YEAR
    datadog_down = _spans(random, max(1, round(DATADOG_OUTAGES * share)), 20 * MINUTE, 3 * HOUR, until)
    operator_down = _spans(random, max(1, round(OPERATOR_OUTAGES * share)), 2 * MINUTE, 30 * MINUTE, until)
    if long_outages:
        operator_down = tuple((begin, begin + 2 * DAY) for begin in (until // 3, 2 * until // 3))
    return World(
        seed=seed,
        services=names,
        actions=tuple(sorted((action for life in lives for action in life.actions), key=lambda action: action.at)),
        exposures=tuple(sorted((one for life in lives for one in life.exposures), key=lambda one: one.ended)),
        failures=tuple(sorted((one for life in lives for one in life.failures), key=lambda one: one.restored)),
        datadog_down=datadog_down,
        operator_down=operator_down,
        until=until,
        clusters=clusters,
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
