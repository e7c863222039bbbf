"""Generated stories, played by the simulator and checked against the model that sees every action."""

import copy
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dora_operator.domain.rollout.verdict import Policy, RetrySuccess, RollbackMarks, SkipReason
from tests.unit.rollout.operator_stand_in import LINKED, Asked
from tests.unit.rollout.stories import Stage, reconciles

POLICIES = some.sampled_from(
    [LINKED, replace(LINKED, rollback_marks=RollbackMarks.REPLACED), replace(LINKED, retry_success=RetrySuccess.KEEP)]
)
VERSION = some.integers(0, 5).map(lambda minor: f"1.{minor}.0")
NEWER = some.just("deploy newer")
SAME_OR_OLDER = some.builds("deploy {}/{}".format, VERSION, some.sampled_from("ab"))
UNDO = some.builds("undo {}".format, some.integers(1, 9))
FORWARDS = [NEWER, *(some.just(each) for each in ("abort", "analysis", "retry", "promote", "promote", "scale"))]
ANYTHING = [*FORWARDS, UNDO, UNDO, SAME_OR_OLDER, some.just("annotate"), some.just("recreate")]


def _with_versions(story: list[str]) -> list[str]:
    newer = iter(range(1, 100))
    return [f"deploy 1.{next(newer)}.0" if action == "deploy newer" else action for action in story]


def stories(actions: list[some.SearchStrategy[str]]) -> some.SearchStrategy[list[str]]:
    """Return stories in which every `deploy newer` is a version that was never there."""
    return some.lists(some.one_of(actions), min_size=2, max_size=14).map(_with_versions)


def checked(examples: int) -> Callable[..., Callable[..., None]]:
    """Return settings under which a run today is a run tomorrow."""
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None)


@checked(400)
@given(stories(ANYTHING), POLICIES)
def test_deciding_after_every_write_asks_what_the_model_asks(story: list[str], policy: Policy) -> None:
    """Nothing is missed, nothing is wrong, and the order is that of the events."""
    stage = _played(Stage(policy), story)
    assert stage.operator.asked == stage.model.asked


@checked(200)
@given(stories(FORWARDS), POLICIES, some.integers(1, 40))
def test_a_restart_after_any_write_changes_nothing_on_the_way_forwards(
    story: list[str], policy: Policy, restart_at: int
) -> None:
    """Aborts, retries, rollforwards and superseding need no memory."""
    stage = _played(Stage(policy, _restarting(restart_at)), story)
    assert stage.operator.asked == stage.model.asked


@checked(300)
@given(stories([*ANYTHING, some.just("collect")]), POLICIES, some.integers(1, 40))
def test_a_restart_after_any_write_asks_nothing_wrong(story: list[str], policy: Policy, restart_at: int) -> None:
    """What the memory held can be missed, never replaced by a guess; aborts are not missed."""
    stage = _played(Stage(policy, _restarting(restart_at)), story)
    assert _wrong(stage) == []
    assert {each for each in stage.model.aborted if each not in stage.operator.last_asked()} == set()


@checked(400)
@given(stories([*ANYTHING, some.just("collect")]), POLICIES, some.randoms(use_true_random=False))
def test_deciding_now_and_then_asks_nothing_wrong(story: list[str], policy: Policy, chance: random.Random) -> None:
    """Decisions at random moments and restarts can miss what is no longer shown, and mark nothing wrongly."""

    def now_and_then(stage: Stage) -> None:
        if chance.random() < 0.2:
            reconciles(stage)
        if chance.random() < 0.05:
            stage.operator.restart()

    stage = _played(Stage(policy, now_and_then), story)
    reconciles(stage)
    assert _wrong(stage) == []


@pytest.mark.parametrize(
    ("story", "shown", "missed"),
    [
        pytest.param(
            "deploy 1.1.0, promote, deploy 1.2.0, promote, RESTART, undo 1, promote",
            [],
            [("1.1.0", True, ""), ("1.1.0", True, "rollback 1.0.0")],
            id="whether a revision between target and stable was promoted",
        ),
        pytest.param(
            "deploy 1.1.0, promote, BLIND, undo 1, promote, DECIDE",
            [("1.1.0", True, ""), ("1.1.0", True, "rollback 1.0.0")],
            [],
            id="nothing, when a rollback was not seen but the promotion before it was",
        ),
        pytest.param(
            "BLIND, deploy 1.1.0, promote, undo 1, promote, DECIDE",
            [("1.1.0", True, "")],
            [("1.1.0", True, "rollback 1.0.0")],
            id="whether a version that was replaced by an older one was promoted",
        ),
        pytest.param(
            "deploy 1.1.0, scale, BLIND, promote, undo 1, promote, DECIDE, deploy 1.2.0, promote",
            [("1.1.0", True, "")],
            [("1.1.0", True, "rollback 1.0.0")],
            id="the same, when only its beginning and a lagging status were seen",
        ),
        pytest.param(
            "deploy 1.1.0, promote, undo 1, BLIND, promote, deploy 1.2.0, promote, DECIDE",
            [("1.1.0", True, "")],
            [("1.1.0", True, "rollback 1.0.0")],
            id="whether a rollback was promoted before a newer version was",
        ),
        pytest.param(
            "deploy 1.1.0, abort, BLIND, undo 1, deploy 1.2.0, promote, DECIDE",
            [("1.1.0", True, ""), ("1.1.0", True, "rollforward 1.2.0")],
            [],
            id="nothing, when only an older version was passed over",
        ),
        pytest.param(
            "deploy 1.1.0, abort, deploy 1.2.0, abort, deploy 1.2.0/b, RESTART, promote",
            [
                ("1.1.0", True, ""),
                ("1.2.0", True, ""),
                ("1.1.0", True, "rollforward 1.2.0"),
                ("1.2.0", False, ""),
            ],
            [],
            id="nothing, when the first revision was stable all along",
        ),
        pytest.param(
            "deploy 1.1.0, BLIND, abort, retry, DECIDE, promote",
            [],
            [("1.1.0", True, ""), ("1.1.0", False, "")],
            id="an abort that was retried",
        ),
    ],
)
def test_what_levels_cannot_show(story: str, shown: list[Asked], missed: list[Asked]) -> None:
    """Without memory this is missed: the list of `domain/rollout/__init__.py`."""
    stage = Stage()
    for action in story.split(", "):
        match action:
            case "RESTART":
                stage.operator.restart()
            case "BLIND":
                stage.after_write = lambda _: None
            case "DECIDE":
                stage.after_write = reconciles
                reconciles(stage)
            case _:
                stage.play(action)
    assert stage.operator.asked in (shown, shown[-1:])
    assert [each for each in stage.model.asked if each not in shown] == missed


def test_an_older_version_that_came_back_over_another_is_unclear() -> None:
    """Replaced: the stable version is marked, the one in between is not, as it is unknown whether it was promoted."""
    stage = _played(
        Stage(replace(LINKED, rollback_marks=RollbackMarks.REPLACED)),
        ["deploy 1.1.0", "promote", "deploy 1.2.0", "promote"],
    )
    stage.after_write = lambda _: None
    _played(stage, ["undo 2", "undo 1", "promote"])
    reconciles(stage)
    assert stage.operator.asked == [("1.2.0", True, "")]
    assert [skipped.reason for skipped in stage.operator.skipped] == [SkipReason.ROLLBACK_UNCLEAR]


def test_an_abort_seen_again_after_the_recovery_is_a_stale_version() -> None:
    """A Rollout that is shown late as it once was cannot mark again what was cleared since."""
    stage = _played(Stage(), ["deploy 1.1.0", "abort"])
    before = copy.deepcopy(stage.simulator.levels)
    _played(stage, ["retry", "promote"])
    for _ in range(2):
        stage.operator.reconcile(before)
        stage.operator.reconcile(stage.simulator.levels)
    assert stage.operator.asked == [("1.1.0", True, ""), ("1.1.0", False, "")]


def test_a_retry_promoted_and_replaced_while_not_observed_is_taken_for_a_rollforward() -> None:
    """The one wrong link: the mark was right when it was made, and nothing shows any more that the retry succeeded."""
    stage = _played(Stage(), ["deploy 1.1.0", "abort"])
    stage.after_write = lambda _: None
    _played(stage, ["retry", "promote", "deploy 1.2.0", "promote"])
    reconciles(stage)
    assert stage.operator.asked[-1] == ("1.1.0", True, "rollforward 1.2.0")


def _played(stage: Stage, story: list[str]) -> Stage:
    for action in story:
        stage.play(action)
    return stage


def _restarting(at: int) -> Callable[[Stage], None]:
    writes = iter(range(1, 1_000_000))

    def decide_and_restart_once(stage: Stage) -> None:
        reconciles(stage)
        if next(writes) == at:
            stage.operator.restart()

    return decide_and_restart_once


def _wrong(stage: Stage) -> list[Asked]:
    """Return the requests that the model never made, but for the one link that is known to be taken wrongly."""
    cleared = {version for version, failure, _ in stage.model.asked if not failure}
    return [
        each
        for each in stage.operator.asked
        if each not in stage.model.asked and not (each[2].startswith("rollforward") and each[0] in cleared)
    ]
