"""Raw objects in, one frozen value out: defensively, and only of what this Rollout owns."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dora_operator.domain.rollout.decide import decide
from dora_operator.domain.rollout.identity import Unidentified
from dora_operator.domain.rollout.observation import REVISION, REVISION_HISTORY
from dora_operator.domain.rollout.verdict import (
    AbortRecovery,
    Policy,
    record_manifest,
)
from tests.unit.rollout.operator_stand_in import NOW, Levels, Operator, observed
from tests.unit.rollout.simulator import Simulator


def levels_of(*, aborted: bool = True) -> Levels:
    """Return the levels of a Rollout in flight, aborted or not."""
    simulator = Simulator()
    writes = [simulator.start(), simulator.deploy(("1.1.0", "a")), *([simulator.abort(by_hand=False)] * aborted)]
    for each in writes:
        list(each)
    return simulator.levels


def changed(levels: Levels, path: str, value: Any) -> Levels:
    """Return levels whose Rollout has another value at a path."""
    *parents, name = path.split("/")
    target: Any = levels.rollout
    for parent in parents:
        target = target[parent]
    target[name] = value
    return levels


def test_replica_sets_of_other_owners_are_left_out() -> None:
    """A workloadRef's Deployment has ReplicaSets with the same labels."""
    levels = levels_of()
    for each in levels.replica_sets.values():
        each["metadata"]["ownerReferences"][0]["uid"] = "another"
    assert observed(levels.rollout, levels.replica_sets.values()).replica_sets == ()


@pytest.mark.parametrize(
    ("revision", "past", "numbers"),
    [
        pytest.param("3", "1", (1, 3), id="reused once"),
        pytest.param("7", "1,3, 5", (1, 3, 5, 7), id="reused often"),
        pytest.param("2", "2", (2,), id="the current number repeated"),
        pytest.param("2", "x,,-1,1.5,0,99999999999", (2,), id="what is no number"),
    ],
)
def test_the_numbers_of_a_replica_set(revision: str, past: str, numbers: tuple[int, ...]) -> None:
    """Revision and history together, ascending, each once."""
    levels = levels_of()
    replica_set = next(iter(levels.replica_sets.values()))
    replica_set["metadata"]["annotations"] = {REVISION: revision, REVISION_HISTORY: past}
    assert observed(levels.rollout, [replica_set]).replica_sets[0].numbers == numbers


def test_one_id_in_templates_of_two_versions_identifies_neither() -> None:
    """An id that was not changed with the version would mark the deployment before."""
    levels = levels_of()
    for each in levels.replica_sets.values():
        each["spec"]["template"]["metadata"]["annotations"] = {"dora-operator.io/deployment-id": "4242fcdd31586083"}
    observation = observed(levels.rollout, levels.replica_sets.values())
    assert all(isinstance(each.identity, Unidentified) for each in observation.replica_sets)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param("status/observedGeneration", "1", id="the status is about an older spec"),
        pytest.param("status/observedGeneration", 2.0, id="a generation that is no whole number"),
        pytest.param("metadata/annotations/rollout.argoproj.io/workload-generation", "2", id="of an older workload"),
        pytest.param("metadata/annotations/rollout.argoproj.io/revision", "3", id="of an older revision"),
    ],
)
def test_only_a_confirmed_abort_is_believed_while_the_status_lags(path: str, value: Any) -> None:
    """An abort without abortedAt may be meant for what comes; with it, it is a fact about what was."""
    path = path.replace("rollout.argoproj.io/", "rollout.argoproj.io|")
    seen = []
    for aborted_at in ("", "2026-11-23T04:00:00Z"):
        levels = levels_of()
        if "|" in path:
            levels.rollout["metadata"]["annotations"][path.split("/")[-1].replace("|", "/")] = value
        else:
            changed(levels, path, value)
        changed(levels, "status/abortedAt", aborted_at)
        operator = Operator()
        operator.reconcile(levels)
        seen.append(operator.asked)
    assert seen == [[], [("1.1.0", True, "")]]


def test_an_abort_seen_before_its_time_is_completed_once_and_asked_once() -> None:
    """The second write brings time and message: the record changes, the request does not."""
    simulator, operator = Simulator(), Operator()
    for each in (simulator.start(), simulator.deploy(("1.1.0", "a"))):
        list(each)
    changes = [operator.reconcile(simulator.levels).changes for _ in simulator.abort(by_hand=True)]
    assert [(each.time is None, each.message) for (each,) in changes] == [
        (True, None),
        (False, "Rollout aborted update to revision 2"),
    ]
    assert operator.asked == [("1.1.0", True, "")]
    assert operator.reconcile(simulator.levels).changes == ()


def test_an_abort_message_is_one_bounded_line() -> None:
    """What Argo and its metrics say may be long and may hold anything."""
    levels = changed(levels_of(), "status/message", "RolloutAborted: a\x00b\n" + "c" * 1000)
    message = observed(levels.rollout, []).rollout.abort_message
    assert len(message) == 256
    assert message.isprintable()


@pytest.mark.parametrize(
    ("age", "is_marked"),
    [pytest.param(timedelta(hours=23), True, id="recent"), pytest.param(timedelta(hours=25), False, id="old")],
)
def test_an_abort_older_than_the_lookback_is_history(age: timedelta, is_marked: bool) -> None:  # noqa: FBT001
    """An operator installed today does not report last month."""
    levels = levels_of()
    observation = observed(levels.rollout, levels.replica_sets.values())
    assert observation.rollout.aborted_at is not None
    assert bool(decide(observation, [], Policy(), observation.rollout.aborted_at + age).changes) is is_marked


def test_a_rollback_older_than_the_lookback_is_history() -> None:
    """Nor does it report last month's rollbacks."""
    simulator = Simulator()
    for play in (simulator.start, lambda: simulator.deploy(("1.1.0", "a")), simulator.promote):
        list(play())
    list(simulator.undo(1))
    list(simulator.promote())
    observation = observed(simulator.levels.rollout, simulator.levels.replica_sets.values())
    assert decide(observation, [], Policy(), NOW + timedelta(hours=1)).changes
    assert not decide(observation, [], Policy(), NOW + timedelta(hours=25)).changes


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=12),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(some.dictionaries(some.text(), JSON), some.lists(some.dictionaries(some.text(), JSON)))
def test_arbitrary_json_means_nothing(rollout: dict[str, Any], replica_sets: list[Any]) -> None:
    """Objects without any sense give a decision without any change."""
    decision = decide(observed(rollout, replica_sets), [], Policy(), NOW)
    assert (decision.changes, decision.skipped) == ((), ())


@settings(max_examples=250, deadline=None, derandomize=True, database=None)
@given(some.data())
def test_real_objects_with_odd_values_never_raise(data: some.DataObject) -> None:
    """Any value of any field replaced by any other, in several places at once: no exception, and still idempotent."""
    levels = levels_of()
    for _ in range(data.draw(some.integers(1, 4))):
        _break(data, data.draw(some.sampled_from([levels.rollout, *levels.replica_sets.values()])))
    policy = Policy(
        lookback=data.draw(some.sampled_from([timedelta(0), timedelta.max])),
        abort_recovery=AbortRecovery.NEXT_VERSION,
    )
    observation = observed(levels.rollout, levels.replica_sets.values())
    now = data.draw(some.sampled_from([NOW, datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)]))
    decision = decide(observation, [], policy, now)
    assert decide(observation, decision.verdicts, policy, now, decision.memory).changes == ()
    for verdict in decision.verdicts:
        manifest = record_manifest("shop", verdict)
        assert manifest["spec"]["changeFailure"] is verdict.change_failure


def _break(data: some.DataObject, target: Any) -> None:
    while True:
        name = data.draw(some.sampled_from(sorted(target)))
        if not isinstance(target[name], dict) or not target[name] or data.draw(some.booleans()):
            break
        target = target[name]
    target[name] = data.draw(
        JSON | some.sampled_from(["1", "2", "3", "110-a", "100-a", "9999999999", True, "0001-01-01"])
    )
