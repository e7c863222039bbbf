"""The rules that find failed revisions. Each looks at one revision and yields what its start or its abort means.

The table in docs/rollouts.md is the list; superseding, scaling, restarting, pausing, degrading and the first revision
have no rule.
Nothing is decided here about how a failure ends.
"""

from collections.abc import Iterator
from datetime import datetime

from dora_operator.domain.rollout.observation import RolloutEvent, Told
from dora_operator.domain.rollout.scene import Fact, Finding, Scene, not_said, said
from dora_operator.domain.rollout.target import first_after_target
from dora_operator.domain.rollout.timeline import Entry, Fate, key_of
from dora_operator.domain.rollout.verdict import About, Kind, RollbackMarks


def aborted(scene: Scene, entry: Entry) -> Iterator[Finding]:
    """Argo aborts the current revision, by whatever cause: it is marked at once."""
    observation = scene.observation
    is_aborted = observation.abort and observation.stable_hash not in {"", observation.current_hash}
    if entry != scene.timeline.current or not is_aborted:
        return
    if observation.aborted_at is None or scene.is_recent(observation.aborted_at):
        fact = Fact(Kind.ABORTED, entry, entry.number, observation.aborted_at, observation.abort_message)
        stable = observation.stable
        same = stable is not None and key_of(stable) == entry.key
        yield _same_as_stable(fact) if same else said(scene, fact)


def aborted_by_events(scene: Scene, entry: Entry) -> Iterator[Finding]:
    """A former revision was aborted while nobody looked, and an Event still says so."""
    told = _abort_event(scene, entry.number)
    if told is None or entry == scene.timeline.current or entry.fate is not Fate.NOT_PROMOTED:
        return
    if scene.is_recent(told.at):
        fact = Fact(Kind.ABORTED, entry, entry.number, told.at, told.message)
        stable = scene.timeline.stable_before(entry.number)
        if stable is not None and stable.key == entry.key:
            yield _same_as_stable(fact)
        elif stable is not None or scene.timeline.is_new(entry):
            yield said(scene, fact)


def rolled_back(scene: Scene, entry: Entry) -> Iterator[Finding]:
    """A version older than the stable one is deployed again: one of those since its last time is marked."""
    stable = scene.timeline.stable_before(entry.number)
    if stable is None or not scene.timeline.is_older(entry, stable) or not scene.is_news(entry.number):
        return
    marked = [stable]
    if scene.policy.rollback_marks is RollbackMarks.FIRST_AFTER_TARGET:
        marked = first_after_target(scene.timeline, entry)
    message = f"revision {entry.number} goes back to the version of revision {_first_number(entry)}"
    fact = Fact(Kind.ROLLED_BACK, marked[0] if marked else stable, entry.number, _time(scene, entry), message)
    yield said(scene, fact) if len(marked) == 1 else _unclear(fact)


def undone(scene: Scene, entry: Entry) -> Iterator[Finding]:
    """The Rollout goes back to an older version before the newer one was promoted: nothing was redeployed."""
    left = scene.timeline.at(entry.number - 1)
    if left is None or left.fate is not Fate.NOT_PROMOTED or not scene.timeline.is_older(entry, left):
        return
    stable = scene.timeline.stable_before(left.number)
    # A rollback that is led further back is no release that failed.
    is_release = scene.timeline.is_older(stable, left) if stable else scene.timeline.is_new(left)
    if is_release and scene.is_news(entry.number):
        message = f"revision {entry.number} went back to an older version before revision {left.number} was promoted"
        yield said(scene, Fact(Kind.UNDONE, left, entry.number, _time(scene, entry), message))


def reverted(scene: Scene, entry: Entry) -> Iterator[Finding]:
    """An older version came back, and nobody saw whether the newer one was promoted: undone or rolled back.

    The newer one is marked where both would mark it; else nothing is.
    """
    left = scene.timeline.at(entry.number - 1)
    if left is None or left.fate is not Fate.UNKNOWN or not scene.timeline.is_older(entry, left):
        return
    if not scene.is_news(entry.number):
        return
    marked = [left]
    if scene.policy.rollback_marks is RollbackMarks.FIRST_AFTER_TARGET:
        marked = first_after_target(scene.timeline, entry)
    message = f"revision {entry.number} went back to an older version"
    fact = Fact(Kind.REVERTED, left, entry.number, _time(scene, entry), message)
    is_clear = scene.timeline.is_new(left) and [each.key for each in marked] == [left.key]
    yield said(scene, fact) if is_clear else _unclear(fact)


RULES = (aborted, aborted_by_events, undone, rolled_back, reverted)
"""In this order: where two find the same deployment failed by the same cause, the first is kept."""


def failures(scene: Scene) -> Iterator[Finding]:
    """Yield what was found, oldest cause first."""
    for entry in scene.timeline.entries:
        for rule in RULES:
            yield from rule(scene, entry)


def _abort_event(scene: Scene, number: int) -> RolloutEvent | None:
    told = scene.observation.events or ()
    return next((event for event in told if event.told is Told.ABORTED and event.revision == number), None)


def _same_as_stable(fact: Fact) -> Finding:
    return not_said(About.SAME_AS_STABLE, fact, "the stable revision is the same deployment to Datadog, and runs well")


def _unclear(fact: Fact) -> Finding:
    why = "which revisions before it were promoted can no longer be told"
    return not_said(About.ROLLBACK_UNCLEAR, fact, why)


def _first_number(entry: Entry) -> int:
    return entry.replica_set.numbers[0]


def _time(scene: Scene, entry: Entry) -> datetime | None:
    return scene.observation.changed_at if entry == scene.timeline.current else None
