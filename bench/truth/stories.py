"""What happens to one service in a year, one story after the other. Rates and durations are assumptions."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from random import Random
from typing import Any

MINUTE, HOUR, DAY = 60, 3600, 86_400
YEAR = 365 * DAY
PER_WEEK = (0.2, 0.3, 0.5, 0.8)
"""Releases per week of a service."""
LAST_DAYS = 4 * DAY
"""Nothing begins in them: every story ends in its year."""
ABORTED, HOT_FIX, FIXED_IN_FLIGHT = "aborted", "hot fix", "fixed in flight"
HIDDEN = frozenset({HOT_FIX, FIXED_IN_FLIGHT})
"""Stories of failures that check like two releases in the cluster."""
LATER = 20 * MINUTE
"""How much later a second cluster does the same."""
SECOND_ABORTS = 0.05


class Word(StrEnum):
    """What is done to the Rollout, or what its pods do."""

    DEPLOY = "deploy"
    PROMOTE = "promote"
    ABORT = "abort"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Action:
    """One change of a Rollout."""

    at: int
    service: str
    word: Word
    version: str = ""
    config: int = 0
    """Makes another pod template of the same version."""
    cluster: int = 0


class Kind(StrEnum):
    """Why a version serves."""

    RELEASE = "release"
    RETRY = "retry"
    REDEPLOYMENT = "redeployment"
    """A version is deployed again: brought back after a newer one was promoted, or with another configuration."""
    RETURN = "return"
    """The stable version takes the traffic of an aborted or undone one again. Nobody deploys it."""
    REVERT = "revert"
    """The stable version is applied again after an abort, or instead of one in flight. It has served all the time."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """A version serves, or is applied; what sources of deployments report is made of these."""

    service: str
    version: str
    kind: Kind
    began: int
    ended: int
    """Promoted, aborted, undone or replaced."""
    is_promoted: bool
    by_pipeline: bool = True
    is_fix: bool = False
    """The release says that it corrects the deployment before it."""
    config: int = 0
    cluster: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A deployment that failed."""

    service: str
    version: str
    story: str
    attempts: tuple[int, ...]
    """When its exposures began: more than one, if it was tried again and failed again."""
    ended: int
    """When its deployment ended: the abort, the undo or the promotion."""
    restorations: tuple[int, ...]
    """When service was restored: after each abort of a version that was aborted more than once."""
    restored_by: str
    """The version that restored service."""
    is_hidden: bool = False
    cluster: int = 0

    @property
    def restored(self) -> int:
        """When service was restored for good."""
        return self.restorations[-1]

    def restored_after(self, finished: float) -> int:
        """Return the first restoration after the finish of a deployment."""
        return next((each for each in self.restorations if each >= finished), self.restored)


@dataclass(slots=True)
class Life:
    """One service. Times are whole seconds of the year."""

    service: str
    random: Random
    now: int = 0
    number: int = 0
    configs: Counter[str] = field(default_factory=Counter)
    """How often the configuration of a version was changed."""
    stable: str = ""
    is_traffic_routed: bool = False
    """The stable version keeps its replicas: a return to it takes seconds."""
    actions: list[Action] = field(default_factory=list)
    exposures: list[Exposure] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def within(self, least: float, most: float) -> int:
        """Let a random time pass, and return the moment."""
        self.now += round(self.random.uniform(least, most))
        return self.now

    def act(self, word: Word, version: str = "", config: int = 0) -> None:
        """Do something to the Rollout now."""
        self.actions.append(Action(self.now, self.service, word, version, config))

    def expose(self, version: str, kind: Kind, began: int, **more: Any) -> None:
        """Note what has served until now, and whether it was promoted; `more`: see Exposure."""
        self.exposures.append(Exposure(self.service, version, kind, began, self.now, **more))

    def fail(
        self, version: str, story: str, attempts: tuple[int, ...], ended: int, by: str, earlier: int | None = None
    ) -> None:
        """Note a failure from which service is restored now, `by` a version, and `earlier` once before."""
        restorations = (self.now,) if earlier is None else (earlier, self.now)
        failure = Failure(self.service, version, story, attempts, ended, restorations, by, story in HIDDEN)
        self.failures.append(failure)

    def begin(self) -> tuple[str, int]:
        """Begin the release of a new version."""
        self.number += 1
        version = f"1.{self.number}.0"
        self.act(Word.DEPLOY, version)
        return version, self.now

    def promote(self, version: str, kind: Kind, began: int, **more: Any) -> None:
        """Complete it."""
        self.act(Word.PROMOTE)
        self.stable = version
        self.expose(version, kind, began, is_promoted=True, **more)

    def is_by_pipeline(self) -> bool:
        """Return whether a person uses the pipeline and not the command line: one of two."""
        return self.random.random() < 0.5


def release(life: Life, *, is_fix: bool = False) -> int:
    """Bring out a version. Return when it began."""
    version, began = life.begin()
    life.within(10 * MINUTE, 40 * MINUTE)
    life.promote(version, Kind.RELEASE, began, is_fix=is_fix)
    return began


def redeployed(life: Life) -> None:
    """Deploy the version that runs again, with another configuration."""
    began = life.now
    life.configs[life.stable] += 1
    config = life.configs[life.stable]
    life.act(Word.DEPLOY, life.stable, config)
    life.within(10 * MINUTE, 40 * MINUTE)
    life.promote(life.stable, Kind.REDEPLOYMENT, began, config=config)


def abort(life: Life) -> None:
    """Abort a release for good; one of four is then reverted, the others are replaced by the next release."""
    version, began = life.begin()
    ended = _abort(life, version, Kind.RELEASE, began)
    life.fail(version, ABORTED, (began,), ended, life.stable)
    if life.random.random() < 0.25:
        life.within(10 * MINUTE, 2 * HOUR)
        _back_to_stable(life)


def false_alarm(life: Life) -> None:
    """Abort a release, try it again, and promote it: it has not failed."""
    version, began = life.begin()
    _abort(life, version, Kind.RELEASE, began)
    retried = life.within(10 * MINUTE, 2 * HOUR)
    life.act(Word.RETRY)
    life.within(10 * MINUTE, 40 * MINUTE)
    life.promote(version, Kind.RETRY, retried, by_pipeline=life.is_by_pipeline())


def aborted_twice(life: Life) -> None:
    """Abort a release, try it again, and abort it for good."""
    version, began = life.begin()
    _abort(life, version, Kind.RELEASE, began)
    first = life.now
    retried = life.within(10 * MINUTE, 2 * HOUR)
    life.act(Word.RETRY)
    ended = _abort(life, version, Kind.RETRY, retried, by_pipeline=life.is_by_pipeline())
    life.fail(version, ABORTED, (began, retried), ended, life.stable, first)


def undone(life: Life) -> None:
    """Go back to the stable version while a release is in flight."""
    version, began = life.begin()
    ended = life.within(3 * MINUTE, 20 * MINUTE)
    life.expose(version, Kind.RELEASE, began, is_promoted=False)
    _back_to_stable(life)
    _restored(life, ended)
    life.fail(version, "undone in flight", (began,), ended, life.stable)


def rolled_back(life: Life) -> None:
    """Promote a release, and roll it back some time later."""
    target = life.stable
    began = release(life)
    failed, ended = life.stable, life.now
    life.within(10 * MINUTE, 8 * HOUR)
    _redeploy(life, target)
    life.fail(failed, "rolled back", (began,), ended, target)


def rolled_back_twice(life: Life) -> None:
    """Promote two releases of which the first is at fault, and roll both back."""
    target = life.stable
    began = release(life)
    failed, ended = life.stable, life.now
    life.within(2 * HOUR, 2 * DAY)
    release(life)
    life.within(10 * MINUTE, 8 * HOUR)
    _redeploy(life, target)
    life.fail(failed, "rolled back by two", (began,), ended, target)


def rolled_back_in_steps(life: Life) -> None:
    """Promote two releases that are at fault, and roll back one after the other."""
    oldest = life.stable
    first = release(life)
    older, ended = life.stable, life.now
    life.within(2 * HOUR, 2 * DAY)
    second = release(life)
    newer, newer_ended = life.stable, life.now
    life.within(10 * MINUTE, 8 * HOUR)
    _redeploy(life, older)
    life.fail(newer, "rolled back", (second,), newer_ended, older)
    life.within(10 * MINUTE, 2 * HOUR)
    _redeploy(life, oldest)
    life.fail(older, "rolled back in a second step", (first,), ended, oldest)


def rollback_aborted(life: Life) -> None:
    """Promote a release, begin to roll it back, abort the rollback, and correct it by a newer version: both failed."""
    target = life.stable
    began = release(life)
    failed, ended = life.stable, life.now
    rollback = life.within(10 * MINUTE, 8 * HOUR)
    life.act(Word.DEPLOY, target, life.configs[target])
    aborted = _abort(life, target, Kind.REDEPLOYMENT, rollback, by_pipeline=life.is_by_pipeline())
    life.fail(target, "aborted rollback", (rollback,), aborted, failed)
    life.within(10 * MINUTE, 4 * HOUR)
    release(life, is_fix=True)
    life.fail(failed, "rollback begun", (began,), ended, life.stable)


def hot_fix(life: Life) -> None:
    """Promote a release that is at fault, and correct it by a newer version."""
    began = release(life)
    failed, ended = life.stable, life.now
    life.within(20 * MINUTE, 4 * HOUR)
    release(life, is_fix=True)
    life.fail(failed, HOT_FIX, (began,), ended, life.stable)


def fixed_in_flight(life: Life) -> None:
    """Replace a release that is at fault by its fix, while it is rolled out."""
    version, began = life.begin()
    ended = life.within(3 * MINUTE, 9 * MINUTE)
    newer, replaced = life.begin()
    life.expose(version, Kind.RELEASE, began, is_promoted=False)
    life.within(10 * MINUTE, 40 * MINUTE)
    life.promote(newer, Kind.RELEASE, replaced, is_fix=True)
    life.fail(version, FIXED_IN_FLIGHT, (began,), ended, newer)


def superseded(life: Life) -> None:
    """Replace a release in flight by a newer one. Nothing has failed."""
    version, began = life.begin()
    life.within(3 * MINUTE, 9 * MINUTE)
    newer, replaced = life.begin()
    life.expose(version, Kind.RELEASE, began, is_promoted=False)
    life.within(10 * MINUTE, 40 * MINUTE)
    life.promote(newer, Kind.RELEASE, replaced)


STORIES: tuple[tuple[float, Callable[[Life], Any]], ...] = (
    (80.3, release),
    (4.0, redeployed),
    (5.5, abort),
    (1.2, false_alarm),
    (0.5, aborted_twice),
    (1.0, undone),
    (2.5, rolled_back),
    (0.5, rolled_back_twice),
    (0.5, rolled_back_in_steps),
    (0.5, rollback_aborted),
    (1.0, hot_fix),
    (1.0, fixed_in_flight),
    (1.5, superseded),
)
"""How many of a hundred."""


def live(service: str, random: Random, until: int = YEAR) -> Life:
    """Return the year of a service."""
    life = Life(service, random, now=random.randrange(HOUR), is_traffic_routed=random.random() < 0.5)
    version, began = life.begin()
    life.stable = version
    life.within(MINUTE, 3 * MINUTE)
    life.expose(version, Kind.RELEASE, began, is_promoted=True)
    between = 7 * DAY / random.choice(PER_WEEK)
    weights, stories = zip(*STORIES, strict=True)
    while True:
        life.now += 3 * HOUR + round(random.expovariate(1 / between))
        if life.now > until - LAST_DAYS:
            return life
        random.choices(stories, weights)[0](life)


def in_second_cluster(first: Life, random: Random) -> Life:
    """Return what a second cluster does: each promoted deployment 20 minutes later. It aborts one of twenty alone."""
    life = Life(first.service, random)
    served = [e for e in first.exposures if e.is_promoted and e.kind in {Kind.RELEASE, Kind.REDEPLOYMENT, Kind.RETRY}]
    times = Counter(exposure.version for exposure in served)
    failed = {failure.version for failure in first.failures}
    for number, exposure in enumerate(served):
        began, ended = exposure.began + LATER, exposure.ended + LATER
        is_aborted = number > 0 and times[exposure.version] == 1 and exposure.version not in failed
        is_aborted = is_aborted and random.random() < SECOND_ABORTS
        life.actions.append(Action(began, life.service, Word.DEPLOY, exposure.version, exposure.config, 1))
        if number:
            word = Word.ABORT if is_aborted else Word.PROMOTE
            life.actions.append(Action(ended, life.service, word, cluster=1))
        shifted = replace(exposure, began=began, ended=ended, is_promoted=not is_aborted, cluster=1)
        if exposure.kind is Kind.RETRY:
            shifted = replace(shifted, kind=Kind.RELEASE, by_pipeline=True)
        life.exposures.append(shifted)
        if is_aborted:
            failure = Failure(
                life.service, exposure.version, ABORTED, (began,), ended, (ended + 2 * MINUTE,), "", cluster=1
            )
            life.failures.append(failure)
    begun = {exposure.began for exposure in life.exposures}
    for failure in first.failures:
        attempts = tuple(at + LATER for at in failure.attempts)
        if begun & set(attempts):
            restorations = tuple(at + LATER for at in failure.restorations)
            ended = failure.ended + LATER
            life.failures.append(replace(failure, attempts=attempts, ended=ended, restorations=restorations, cluster=1))
    return life


def _abort(life: Life, version: str, kind: Kind, began: int, **more: Any) -> int:
    ended = life.within(2 * MINUTE, 20 * MINUTE)
    life.act(Word.ABORT)
    life.expose(version, kind, began, is_promoted=False, **more)
    _restored(life, ended)
    return ended


def _restored(life: Life, ended: int) -> None:
    """The stable version serves all again: in seconds where it kept its replicas, else in a median of 1.8 minutes."""
    seconds = min(8 * MINUTE, max(20, life.random.lognormvariate(4.68, 0.35)))
    life.now += 5 if life.is_traffic_routed else round(seconds)
    life.expose(life.stable, Kind.RETURN, ended, is_promoted=True)


def _back_to_stable(life: Life) -> None:
    life.act(Word.DEPLOY, life.stable, life.configs[life.stable])
    reverted = Exposure(
        life.service, life.stable, Kind.REVERT, life.now, life.now + 30, is_promoted=True,
        by_pipeline=life.is_by_pipeline(),
    )  # fmt: skip
    life.exposures.append(reverted)


def _redeploy(life: Life, target: str) -> None:
    began = life.now
    life.act(Word.DEPLOY, target, life.configs[target])
    life.within(3 * MINUTE, 10 * MINUTE)
    by_pipeline, config = life.is_by_pipeline(), life.configs[target]
    life.promote(target, Kind.REDEPLOYMENT, began, by_pipeline=by_pipeline, config=config)
