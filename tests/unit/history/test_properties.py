"""What holds for every story: hypothesis writes them, and shrinks those that break a rule."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as some

from dora_operator.domain.fields import to_api
from dora_operator.domain.history.advance import advance
from dora_operator.domain.history.history import History, parse
from dora_operator.domain.history.observation import Observation
from dora_operator.domain.history.verdicts import verdicts
from dora_operator.domain.sources.rollout import observation_of
from tests.unit.history.stories import LINKED, Stage

VERSION = some.builds("1.{}.0/{}".format, some.integers(0, 4), some.sampled_from("ab"))
ACTION = some.one_of(
    some.builds("{} {}".format, some.sampled_from(["deploy", "deploy", "withdraw", "skip"]), VERSION),
    some.builds("undo {}".format, some.integers(1, 8)),
    some.sampled_from(["promote", "promote", "abort", "analysis", "retry", "scale", "annotate"]),
)
STORY = some.lists(ACTION, min_size=2, max_size=12)
LIMIT = some.sampled_from([0, 1, 2, 10])


@dataclass
class Recording:
    """Every state that the API server had, and what a history makes of each in turn."""

    observations: list[tuple[Observation, datetime]] = field(default_factory=list)
    stage: Stage | None = None

    def histories(self, then: Callable[[History], History] = lambda history: history) -> list[History]:
        """Return the history after each observation, with `then` between any two."""
        history, passed = None, []
        for observation, now in self.observations:
            history = then(advance(history, observation, now, LINKED))
            passed.append(history)
        return passed


def recorded(story: list[str], limit: int) -> Recording:
    """Play a story without a watcher."""
    recording = Recording()

    def record(stage: Stage) -> None:
        stage.simulator.limit = limit
        seen = observation_of(stage.simulator.rollout(), stage.simulator.replica_sets())
        recording.observations.append((seen, stage.simulator.clock))

    recording.stage = Stage(after_write=record)
    for action in story:
        recording.stage.play(action)
    return recording


def marked(history: History) -> set[int]:
    """Return the numbers of the revisions that are marked."""
    return {verdict.revision for verdict in verdicts(history, LINKED) if verdict.change_failure}


def checked(examples: int) -> Callable[..., Callable[..., None]]:
    """Return settings under which a run today is a run tomorrow."""
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None)


@checked(150)
@given(STORY, LIMIT)
def test_an_observation_that_is_repeated_changes_nothing(story: list[str], limit: int) -> None:
    """Also an hour later: the very same history is returned, so nothing is written."""
    history = None
    for observation, now in recorded(story, limit).observations:
        history = advance(history, observation, now, LINKED)
        assert advance(history, observation, now + timedelta(hours=1), LINKED) is history


@checked(150)
@given(STORY, LIMIT)
def test_a_restart_between_any_two_observations_changes_nothing(story: list[str], limit: int) -> None:
    """The history is kept as JSON and read again; nothing else is kept."""

    def restarted(history: History) -> History:
        read = parse(json.loads(json.dumps(to_api(history))))
        assert read is not None
        return read

    recording = recorded(story, limit)
    assert recording.histories(restarted) == recording.histories()


@checked(100)
@given(STORY, some.integers())
def test_the_order_of_replica_sets_changes_nothing(story: list[str], seed: int) -> None:
    """They are listed in any order."""
    recording, chance = recorded(story, 10), random.Random(seed)
    ordered = recording.histories()
    for index, (observation, now) in enumerate(recording.observations):
        templates = chance.sample(observation.templates, len(observation.templates))
        before = ordered[index - 1] if index else None
        shuffled = replace(observation, templates=tuple(templates))
        assert advance(before, shuffled, now, LINKED) == ordered[index]


@checked(200)
@given(STORY, some.data())
def test_observations_left_out_add_no_mark(story: list[str], data: some.DataObject) -> None:
    """Every mark of a part of the observations is one that all of them make, for a moment at least."""
    recording = recorded(story, 10)
    ever = set().union(*map(marked, recording.histories()))
    first, *later = recording.observations
    kept = data.draw(some.lists(some.booleans(), min_size=len(later), max_size=len(later)))
    part = Recording([first, *(seen for seen, is_kept in zip(later, kept, strict=True) if is_kept)])
    assert set().union(*map(marked, part.histories())) <= ever


@checked(150)
@given(STORY, some.data())
def test_a_first_observation_in_the_middle_adds_no_mark(story: list[str], data: some.DataObject) -> None:
    """Where all ReplicaSets exist, what was before is known as far as it decides."""
    recording = recorded(story, 10)
    ever = set().union(*map(marked, recording.histories()))
    begin = data.draw(some.integers(0, len(recording.observations) - 1))
    part = Recording(recording.observations[begin:])
    assert set().union(*map(marked, part.histories())) <= ever


@checked(150)
@given(STORY)
def test_deleted_replica_sets_change_no_verdict(story: list[str]) -> None:
    """With revisionHistoryLimit 0, 1, 2 and 10 there are the same marks and links."""

    def decided(limit: int) -> list[tuple[object, ...]]:
        last = recorded(story, limit).histories()[-1]
        return [(v.revision, v.verdict, v.remediation, v.is_first) for v in verdicts(last, LINKED)]

    assert decided(0) == decided(1) == decided(2) == decided(10)


@checked(150)
@given(STORY, LIMIT)
def test_a_version_that_was_promoted_and_never_failed_is_never_marked(story: list[str], limit: int) -> None:
    """The truth knows every revision that ever failed."""
    recording = recorded(story, limit)
    assert recording.stage is not None
    for history in recording.histories():
        assert marked(history) <= recording.stage.simulator.truth.ever
