"""Compare what Datadog shows at the end of the year with the truth, row by row."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from statistics import median

from bench.truth.datadog import Row
from bench.truth.stories import MINUTE, Failure, Kind
from bench.truth.world import World, timestamp
from dora_operator.domain.lookup import OWN_PREFIX
from sandbox.datadog.model import Model
from sandbox.datadog.values import Deployment, Marker

TOLERANCE = 15 * MINUTE
"""A recovery time that is farther from the true one is a wrong link."""
STARTS = 10 * MINUTE
"""How far the start of the operator's own event may be from that of the deployment that it stands for."""


@dataclass(slots=True)
class Score:
    """Counts of one year, or of several that were added up."""

    rows: int = 0
    own_events: int = 0
    """Rows that the operator has posted."""
    marked: int = 0
    visible_failures: int = 0
    missed: int = 0
    """Visible failures of which no row is marked."""
    false_marks: int = 0
    """Marked rows of deployments that did not fail; those that detection marks because of an own event, too."""
    falsely_detected: int = 0
    """The same, marked by Datadog's own detection."""
    second_marks: int = 0
    """Marked rows of a failure that has a marked row already, where detection has marked neither."""
    duplicates: int = 0
    """Own events beside the real row of the same deployment, or of a deployment that did not fail."""
    hidden_marked: int = 0
    wrongly_linked: int = 0
    negative: int = 0
    recovered: int = 0
    """Visible failures with a recovery time."""
    recoveries: list[float] = field(default_factory=list)
    """In seconds, of every marked row."""
    calls: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Score") -> None:
        """Add another year."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    @property
    def rate(self) -> float:
        """The change failure rate that Datadog shows, in percent."""
        return 100 * self.marked / max(1, self.rows)

    @property
    def recovery(self) -> float | None:
        """The median recovery time in minutes."""
        return median(self.recoveries) / MINUTE if self.recoveries else None


@dataclass(frozen=True, slots=True)
class Truth:
    """What the numbers should be, with the rows and finish times of one source."""

    deployments: int
    failures: Sequence[Failure]
    failure_of_row: dict[str, int]
    """By the id of a row: the place of its failure."""
    recovery: Sequence[float]
    """In seconds, of each failure."""
    counts_hidden: bool
    """Datadog has rules that find what the cluster does not show."""

    def score(self) -> Score:
        """Return the truth as a score."""
        counted = [n for n, failure in enumerate(self.failures) if self.counts_hidden or not failure.is_hidden]
        return Score(
            rows=self.deployments,
            marked=len(counted),
            visible_failures=len(counted),
            recovered=len(counted),
            recoveries=[self.recovery[n] for n in counted],
        )

    def failure_of(self, deployment: Deployment) -> int | None:
        """Return the place of the failure that a deployment is; an own event stands for the one of its start."""
        if not is_own(deployment.id):
            return self.failure_of_row.get(deployment.id)
        event = deployment.event
        for number, failure in enumerate(self.failures):
            starts = [abs(timestamp(began) - event.started_at) for began in failure.attempts]
            is_same = (failure.service, failure.version) == (event.service, event.version)
            if is_same and min(starts) <= STARTS:
                return number
        return None


def is_own(deployment_id: str | None) -> bool:
    """Return whether the operator has posted a deployment."""
    return deployment_id is not None and deployment_id.startswith(OWN_PREFIX)


def truth_of(world: World, rows: Iterable[Row], *, counts_hidden: bool) -> Truth:
    """Return the truth beside what a source reports."""
    failures = world.failures
    places = {
        (failure.cluster, failure.service, failure.version, began): number
        for number, failure in enumerate(failures)
        for began in failure.attempts
    }
    failure_of_row: dict[str, int] = {}
    finishes: defaultdict[int, list[float]] = defaultdict(list)
    for row in rows:
        exposure = row.exposure
        is_deployed = exposure.kind in {Kind.RELEASE, Kind.RETRY, Kind.REDEPLOYMENT}
        number = places.get((exposure.cluster, exposure.service, exposure.version, exposure.began))
        if number is not None and is_deployed and row.event.id is not None:
            failure_of_row[row.event.id] = number
            finishes[number].append(row.event.finished_at)
    recovery = []
    for number, failure in enumerate(failures):
        end = timestamp(failure.restored)
        finished = max((at for at in finishes[number] if at <= end), default=timestamp(failure.ended))
        recovery.append(_restored_after(failure, finished) - finished)
    return Truth(world.deployments, failures, failure_of_row, recovery, counts_hidden)


def score(model: Model, truth: Truth, now: float, calls: Counter[str]) -> Score:
    """Return what Datadog shows."""
    shown = Score(calls=calls)
    marked: dict[int, Marker | None] = {}
    real = set(truth.failure_of_row.values())
    for deployment in model.visible(now):
        shown.rows += 1
        number = truth.failure_of(deployment)
        if is_own(deployment.id):
            shown.own_events += 1
            shown.duplicates += number is None or number in real
        if deployment.shown_failure:
            _count(shown, deployment, model, truth, number, marked)
    visible = [n for n, failure in enumerate(truth.failures) if truth.counts_hidden or not failure.is_hidden]
    shown.visible_failures = len(visible)
    shown.missed = sum(number not in marked for number in visible)
    return shown


def _count(
    shown: Score,
    deployment: Deployment,
    model: Model,
    truth: Truth,
    number: int | None,
    marked: dict[int, Marker | None],
) -> None:
    shown.marked += 1
    seconds = model.recovery_seconds(deployment)
    if seconds is not None:
        shown.recoveries.append(seconds)
        shown.negative += seconds < 0
    if number is None:
        link = deployment.remediation.id if deployment.remediation is not None else None
        is_by_own_event = is_own(deployment.id) or is_own(link)
        is_detected = deployment.failure_set_by is Marker.DETECTION and not is_by_own_event
        shown.falsely_detected += is_detected
        shown.false_marks += not is_detected
        return
    failure = truth.failures[number]
    markers = {deployment.failure_set_by, marked.get(number)}
    shown.second_marks += number in marked and Marker.DETECTION not in markers
    shown.hidden_marked += failure.is_hidden and number not in marked
    if number not in marked and (truth.counts_hidden or not failure.is_hidden):
        shown.recovered += seconds is not None
    marked.setdefault(number, deployment.failure_set_by)
    if seconds is not None:
        finished = deployment.event.finished_at
        shown.wrongly_linked += abs(seconds - (_restored_after(failure, finished) - finished)) > TOLERANCE


def _restored_after(failure: Failure, finished: float) -> float:
    """Return the time in seconds since 1970."""
    return timestamp(failure.restored_after(finished - timestamp(0)))
