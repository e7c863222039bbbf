"""Random stories of a controller, watched in every way, against the truth: no wrong mark, and none missed."""

import os
import random
from collections.abc import Iterator

import pytest

from dora_operator.domain.history.history import History
from dora_operator.domain.history.policy import Policy, RollbackMarks
from dora_operator.domain.history.verdicts import Skipped, SkipReason
from tests.unit.history.simulator import Simulator
from tests.unit.history.stories import LINKED, Stage, Watcher
from tests.unit.history.truth import Truth

STORIES = 20 * int(os.environ.get("CHAOS_SEEDS", "50"))
"""For each test: 1,000, and 20,000 in `make chaos`."""
FIRST = int(os.environ.get("HISTORY_SEED", "0"))
PARTS = 8
LIMITS = (0, 1, 2, 3, 10)
ALL = 50
"""A limit under which no ReplicaSet is deleted: of a revision that nobody watched, nothing else is left."""
LENGTHS = (6, 12, 20, 45)
EVERY_PART = pytest.mark.parametrize("part", range(PARTS))


def _seeds(part: int) -> Iterator[random.Random]:
    yield from (random.Random(seed) for seed in range(FIRST + part, FIRST + STORIES, PARTS))


def _story(chance: random.Random, *, skips: bool) -> list[str]:
    """Return a story: mostly forwards, with every way back, and now and then a template that never settles."""
    newest, story = 0, []
    for _ in range(chance.choice(LENGTHS)):
        kind = chance.choices(
            ["new", "again", "undo", "promote", "abort", "analysis", "retry", "scale", "annotate", "withdraw", "skip"],
            [5, 2, 3, 7, 3, 2, 2, 1, 1, 1, 1 if skips else 0],
        )[0]
        version = f"1.{chance.randint(0, newest)}.0/{chance.choice('aab')}"
        if kind in {"new", "withdraw", "skip"} and (kind == "new" or chance.random() < 0.5):
            newest += 1
            version = f"1.{newest}.0"
        word = {"new": "deploy", "again": "deploy"}.get(kind, kind)
        argument = {"undo": str(chance.randint(1, newest + 2))}.get(kind, version)
        story.append(f"{word} {argument}" if word in {"deploy", "undo", "withdraw", "skip"} else word)
    return story


def _stage(chance: random.Random, policy: Policy, limits: tuple[int, ...] = LIMITS) -> Stage:
    truth = Truth(marks_replaced=policy.rollback_marks is RollbackMarks.REPLACED)
    return Stage(
        Simulator(limit=chance.choice(limits), lags=chance.random() < 0.5, truth=truth),
        Watcher(policy),
        lambda stage: stage.show(chance),
    )


def _policy(chance: random.Random) -> Policy:
    return Policy(
        abort_recovery=LINKED.abort_recovery,
        rollback_marks=chance.choice([RollbackMarks.FIRST_AFTER_TARGET, RollbackMarks.REPLACED]),
    )


def _history(stage: Stage) -> History:
    assert stage.watcher.history is not None
    return stage.watcher.history


def _gaps(stage: Stage) -> list[Skipped]:
    """Return what is said not to be known."""
    return [n for n in stage.watcher.shown if n.reason in {SkipReason.HISTORY_GAP, SkipReason.ROLLBACK_UNCLEAR}]


@EVERY_PART
def test_every_write_observed_marks_exactly_what_failed(part: int) -> None:
    """After each action the marks and links are those of the truth, for as long as no revision is dropped."""
    for chance in _seeds(part):
        stage = _stage(chance, _policy(chance))
        story = _story(chance, skips=False)
        for number, action in enumerate(story):
            stage.play(action)
            if len(_history(stage).revisions) == stage.simulator.newest:
                assert stage.watcher.marks == stage.simulator.truth.marks, story[: number + 1]
                assert not _gaps(stage), story[: number + 1]
        assert stage.watcher.ever <= stage.simulator.truth.ever


@EVERY_PART
def test_some_writes_observed_mark_nothing_that_did_not_fail(part: int) -> None:
    """With observations left out, and templates that never settle, every mark is one of the whole sequence."""
    for chance in _seeds(part):
        stage = _stage(chance, _policy(chance), (ALL,))
        share = chance.choice([0.05, 0.2, 0.5, 0.9, 1.0])

        def now_and_then(stage: Stage, chance: random.Random = chance, share: float = share) -> None:
            if chance.random() < share:
                stage.show(chance)

        stage.after_write = now_and_then
        story = _story(chance, skips=True)
        for action in story:
            stage.play(action)
        stage.show(chance)
        assert stage.watcher.ever <= stage.simulator.truth.ever, (story, stage.watcher.history)
