"""Compare what Datadog shows at the end of the year with the truth."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from bench.truth.datadog import Row
from bench.truth.stories import ABORTED, MINUTE, Failure
from bench.truth.world import World, timestamp
from sandbox.datadog.model import Model
from sandbox.datadog.values import Deployment, Marker

TOLERANCE = 15 * MINUTE
"""A recovery time that is farther from the true one is a wrong link."""

Named = tuple[str, str | None]
"""Service and version."""


@dataclass(slots=True)
class Score:
    """Counts of one year, or of several that were added up."""

    rows: int = 0
    marked: int = 0
    visible_failures: int = 0
    missed: int = 0
    falsely_marked: int = 0
    falsely_detected: int = 0
    """Deployments that did not fail, which Datadog's own detection has marked."""
    wrongly_linked: int = 0
    negative: int = 0
    recoveries: list[float] = field(default_factory=list)
    abort_recoveries: list[float] = field(default_factory=list)
    """Of aborted deployments alone."""
    calls: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Score") -> None:
        """Add another year."""
        for name in ("rows", "marked", "visible_failures", "missed", "falsely_marked", "falsely_detected"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.wrongly_linked += other.wrongly_linked
        self.negative += other.negative
        self.recoveries += other.recoveries
        self.abort_recoveries += other.abort_recoveries
        self.calls += other.calls

    @property
    def rate(self) -> float:
        """The change failure rate that Datadog shows, in percent."""
        return 100 * self.marked / max(1, self.rows)

    @property
    def recovery(self) -> float | None:
        """The median recovery time in minutes."""
        return median(self.recoveries) / MINUTE if self.recoveries else None

    @property
    def abort_recovery(self) -> float | None:
        """The same of aborted deployments."""
        return median(self.abort_recoveries) / MINUTE if self.abort_recoveries else None


@dataclass(frozen=True, slots=True)
class Truth:
    """What the numbers should be, with the finish times of one source."""

    deployments: int
    failures: dict[Named, Failure]
    recovery: dict[Named, float]
    """In seconds."""

    def score(self) -> Score:
        """Return the truth as a score."""
        visible = [named for named, failure in self.failures.items() if not failure.is_hidden]
        aborted = [named for named in visible if self.failures[named].story == ABORTED]
        return Score(
            rows=self.deployments,
            marked=len(visible),
            visible_failures=len(visible),
            recoveries=[self.recovery[named] for named in visible],
            abort_recoveries=[self.recovery[named] for named in aborted],
        )


def truth_of(world: World, rows: Iterable[Row]) -> Truth:
    """Return the truth beside what a source reports."""
    finishes: defaultdict[Named, list[float]] = defaultdict(list)
    for row in rows:
        finishes[row.event.service, row.event.version].append(row.event.finished_at)
    failures: dict[Named, Failure] = {(each.service, each.version): each for each in world.failures}
    recovery = {}
    for named, failure in failures.items():
        end = timestamp(failure.restored)
        finished = max((each for each in finishes[named] if each <= end), default=timestamp(failure.ended))
        recovery[named] = _restored_after(failure, finished) - finished
    return Truth(world.deployments, failures, recovery)


def score(model: Model, truth: Truth, now: float, calls: Counter[str]) -> Score:
    """Return what Datadog shows."""
    found = Score(calls=calls)
    seen: set[Named] = set()
    for deployment in model.visible(now):
        found.rows += 1
        if deployment.shown_failure:
            seen.add((deployment.event.service, deployment.event.version))
            _count(found, deployment, model, truth)
    visible = [named for named, failure in truth.failures.items() if not failure.is_hidden]
    found.visible_failures = len(visible)
    found.missed = sum(named not in seen for named in visible)
    return found


def _count(found: Score, deployment: Deployment, model: Model, truth: Truth) -> None:
    named = (deployment.event.service, deployment.event.version)
    failure = truth.failures.get(named)
    found.marked += 1
    if failure is None:
        is_own = deployment.failure_set_by is not Marker.DETECTION
        found.falsely_marked += is_own
        found.falsely_detected += not is_own
    seconds = model.recovery_seconds(deployment)
    if seconds is None:
        return
    found.recoveries.append(seconds)
    found.negative += seconds < 0
    if failure is None:
        return
    if failure.story == ABORTED:
        found.abort_recoveries.append(seconds)
    finished = deployment.event.finished_at
    found.wrongly_linked += abs(seconds - (_restored_after(failure, finished) - finished)) > TOLERANCE


def _restored_after(failure: Failure, finished: float) -> float:
    """Return the time in seconds since 1970."""
    return timestamp(failure.restored_after(finished - timestamp(0)))
