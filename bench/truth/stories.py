"""What happens to one service in a year, one story after the other. Rates and durations are assumptions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

MINUTE, HOUR, DAY = 60, 3600, 86_400
YEAR = 365 * DAY
PER_WEEK = (0.2, 0.3, 0.5, 0.8)
"""Releases per week of a service."""
LAST_DAYS = 4 * DAY
"""Nothing begins in them: every story ends in its year."""
HIDDEN, ABORTED = "hot fix", "aborted"


class Word(StrEnum):
    """What is done to the Rollout, or what its pods do."""

    DEPLOY = "deploy"
    PROMOTE = "promote"
    ABORT = "abort"
    RETRY = "retry"
    SHRINK = "shrink"
    """The stable version has lost replicas to the newer one."""
    READY = "ready"
    """The stable version has all its replicas again."""


@dataclass(frozen=True, slots=True)
class Action:
    """One change of a Rollout."""

    at: int
    service: str
    word: Word
    version: str = ""


class Kind(StrEnum):
    """Why a version serves."""

    RELEASE = "release"
    RETRY = "retry"
    REDEPLOYMENT = "redeployment"
    """An older version is brought back after a newer one was promoted."""
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


@dataclass(frozen=True, slots=True)
class Failure:
    """A deployment that failed."""

    service: str
    version: str
    story: str
    ended: int
    """When its deployment ended: the abort, the undo or the promotion."""
    restorations: tuple[int, ...]
    """When service was restored: after each abort of a version that was aborted more than once."""
    restored_by: str
    """The version that restored service."""
    is_hidden: bool = False

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
    stable: str = ""
    actions: list[Action] = field(default_factory=list)
    exposures: list[Exposure] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def within(self, least: float, most: float) -> int:
        """Let a random time pass, and return the moment."""
        self.now += round(self.random.uniform(least, most))
        return self.now

    def act(self, word: Word, version: str = "") -> None:
        """Do something to the Rollout now."""
        self.actions.append(Action(self.now, self.service, word, version))

    def expose(self, version: str, kind: Kind, began: int, *, promoted: bool, by_pipeline: bool = True) -> None:
        """Note what has served until now."""
        self.exposures.append(Exposure(self.service, version, kind, began, self.now, promoted, by_pipeline))

    def fail(self, version: str, story: str, ended: int, restored_by: str, earlier: tuple[int, ...] = ()) -> None:
        """Note a failure from which service is restored now."""
        restorations = (*earlier, self.now)
        is_hidden = story == HIDDEN
        self.failures.append(Failure(self.service, version, story, ended, restorations, restored_by, is_hidden))

    def begin(self) -> tuple[str, int]:
        """Begin the release of a new version."""
        self.number += 1
        version = f"1.{self.number}.0"
        self.act(Word.DEPLOY, version)
        return version, self.now

    def promote(self, version: str, kind: Kind, began: int, *, by_pipeline: bool = True) -> None:
        """Complete it."""
        self.act(Word.PROMOTE)
        self.stable = version
        self.expose(version, kind, began, promoted=True, by_pipeline=by_pipeline)

    def is_by_pipeline(self) -> bool:
        """Return whether a person uses the pipeline and not the command line: one of two."""
        return self.random.random() < 0.5


def release(life: Life) -> None:
    """Bring out a version."""
    version, began = life.begin()
    life.within(10 * MINUTE, 40 * MINUTE)
    life.promote(version, Kind.RELEASE, began)


def abort(life: Life) -> None:
    """Abort a release for good; one of four is then reverted, the others are replaced by the next release."""
    version, began = life.begin()
    ended = _abort(life, version, Kind.RELEASE, began)
    life.fail(version, ABORTED, ended, life.stable)
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
    ended = _abort(life, version, Kind.RETRY, retried)
    life.fail(version, ABORTED, ended, life.stable, (first,))


def undone(life: Life) -> None:
    """Go back to the stable version while a release is in flight."""
    version, began = life.begin()
    life.within(MINUTE, 2 * MINUTE)
    life.act(Word.SHRINK)
    ended = life.within(2 * MINUTE, 18 * MINUTE)
    life.expose(version, Kind.RELEASE, began, promoted=False)
    _back_to_stable(life)
    _restored(life, ended)
    life.fail(version, "undone in flight", ended, life.stable)


def rolled_back(life: Life) -> None:
    """Promote a release, and roll it back some time later."""
    target = life.stable
    release(life)
    failed, ended = life.stable, life.now
    life.within(10 * MINUTE, 8 * HOUR)
    _redeploy(life, target)
    life.fail(failed, "rolled back", ended, target)


def rolled_back_twice(life: Life) -> None:
    """Promote two releases of which the first is at fault, and roll both back."""
    target = life.stable
    release(life)
    failed, ended = life.stable, life.now
    life.within(2 * HOUR, 2 * DAY)
    release(life)
    life.within(10 * MINUTE, 8 * HOUR)
    _redeploy(life, target)
    life.fail(failed, "rolled back by two", ended, target)


def hot_fix(life: Life) -> None:
    """Promote a release that is at fault, and correct it by a newer version."""
    release(life)
    failed, ended = life.stable, life.now
    life.within(20 * MINUTE, 4 * HOUR)
    release(life)
    life.fail(failed, HIDDEN, ended, life.stable)


def superseded(life: Life) -> None:
    """Replace a release in flight by a newer one. Nothing has failed."""
    version, began = life.begin()
    life.within(3 * MINUTE, 9 * MINUTE)
    newer, replaced = life.begin()
    life.expose(version, Kind.RELEASE, began, promoted=False)
    life.within(10 * MINUTE, 40 * MINUTE)
    life.promote(newer, Kind.RELEASE, replaced)


STORIES: tuple[tuple[float, Callable[[Life], None]], ...] = (
    (86.3, release),
    (5.5, abort),
    (1.2, false_alarm),
    (0.5, aborted_twice),
    (1.0, undone),
    (2.5, rolled_back),
    (0.5, rolled_back_twice),
    (1.0, hot_fix),
    (1.5, superseded),
)
"""How many of a hundred."""


def live(service: str, random: Random, until: int = YEAR) -> Life:
    """Return the year of a service."""
    life = Life(service, random, now=random.randrange(HOUR))
    version, began = life.begin()
    life.stable = version
    life.within(MINUTE, 3 * MINUTE)
    life.expose(version, Kind.RELEASE, began, promoted=True)
    between = 7 * DAY / random.choice(PER_WEEK)
    weights, stories = zip(*STORIES, strict=True)
    while True:
        life.now += 3 * HOUR + round(random.expovariate(1 / between))
        if life.now > until - LAST_DAYS:
            return life
        random.choices(stories, weights)[0](life)


def _abort(life: Life, version: str, kind: Kind, began: int) -> int:
    life.within(MINUTE, 2 * MINUTE)
    life.act(Word.SHRINK)
    ended = life.within(MINUTE, 18 * MINUTE)
    life.act(Word.ABORT)
    life.expose(version, kind, began, promoted=False)
    _restored(life, ended)
    return ended


def _restored(life: Life, ended: int) -> None:
    life.now += round(min(8 * MINUTE, max(20, life.random.lognormvariate(4.68, 0.35))))  # a median of 1.8 minutes
    life.act(Word.READY)
    life.expose(life.stable, Kind.RETURN, ended, promoted=True)


def _back_to_stable(life: Life) -> None:
    life.act(Word.DEPLOY, life.stable)
    reverted = Exposure(
        life.service, life.stable, Kind.REVERT, life.now, life.now + 30, is_promoted=True,
        by_pipeline=life.is_by_pipeline(),
    )  # fmt: skip
    life.exposures.append(reverted)


def _redeploy(life: Life, target: str) -> None:
    began = life.now
    life.act(Word.DEPLOY, target)
    life.within(3 * MINUTE, 10 * MINUTE)
    life.promote(target, Kind.REDEPLOYMENT, began, by_pipeline=life.is_by_pipeline())
