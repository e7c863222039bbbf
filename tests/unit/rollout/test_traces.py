"""What a real Argo Rollouts controller wrote, replayed: whole, with restarts, and with lines lost, doubled and late."""

import copy
import gzip
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rollout.operator_stand_in import Asked, Levels, Operator
from tests.unit.rollout.simulator import Simulator

TRACES = Path(__file__).parent / "traces"
MARKED = ("1.1.0", True, "")

EXPECTED: dict[str, list[Asked]] = {
    "abort-retry-promoted": [MARKED, ("1.1.0", False, "")],
    "abort-then-roll-forward": [MARKED, ("1.1.0", True, "rollforward 1.1.1")],
    "abort-then-undo": [MARKED],
    "analysis-failed-abort": [MARKED],
    "background-analysis-failed-abort": [MARKED],
    "bluegreen-abort": [MARKED],
    "bluegreen-prepromotion-analysis-abort": [MARKED],
    "canary-manual-abort": [MARKED],
    "canary-promoted": [],
    "initial-revision-abort": [],
    "progress-deadline-abort": [MARKED],
    "progress-deadline-degraded-without-abort": [],
    "promoted-then-undo": [MARKED, ("1.1.0", True, "rollback 1.0.0")],
    "scale-and-restart-only": [],
    "superseded-in-flight": [],
    "version-label-missing": [],
    "workload-ref-abort": [MARKED],
}
STILL_SHOWN: dict[str, list[Asked]] = {"abort-then-roll-forward": [], "promoted-then-undo": [MARKED]}
"""What the levels at the end of a trace show of a former revision, where that is less than what was asked."""
EVERY_TRACE = pytest.mark.parametrize("name", sorted(EXPECTED))
SAMPLES = 6
LEVELS = {"Rollout", "ReplicaSet"}

Lines = list[dict[str, Any]]


@cache
def trace(name: str) -> Lines:
    """Return the lines of a trace that are levels: Rollouts and ReplicaSets."""
    with gzip.open(TRACES / f"{name}.jsonl.gz", "rt") as lines:
        return [line for line in map(json.loads, lines) if line["object"]["kind"] in LEVELS]


def replay(lines: Lines) -> Operator:
    """Let an operator decide after every line."""
    levels, operator = Levels(), Operator()
    for line in lines:
        levels.apply(line)
        operator.reconcile(levels)
    return operator


def test_every_trace_is_expected() -> None:
    """No trace is left out."""
    assert {path.name.removesuffix(".jsonl.gz") for path in TRACES.iterdir()} == set(EXPECTED)


@EVERY_TRACE
def test_a_trace_asks_exactly_these_requests(name: str) -> None:
    """Each real run asks for the requests that its name says, in order."""
    assert replay(trace(name)).asked == EXPECTED[name]


def test_a_missing_version_label_is_reported_and_nothing_sent() -> None:
    """The abort of an unlabelled version is skipped once, with a message that says how to fix it."""
    operator = replay(trace("version-label-missing"))
    assert len(operator.skipped) == 1
    assert "tags.datadoghq.com/version" in next(iter(operator.skipped)).message


@EVERY_TRACE
def test_a_restart_after_any_line_asks_the_same(name: str) -> None:
    """Losing the memory after any one line changes no request."""
    lines = trace(name)
    states = []
    levels, operator = Levels(), Operator()
    for line in lines:
        levels.apply(line)
        operator.reconcile(levels)
        states.append((copy.deepcopy(levels), copy.deepcopy(operator)))
    for number, (at_restart, restarted) in enumerate(states):
        restarted.restart()
        for line, (_, unbroken) in zip(lines[number + 1 :], states[number + 1 :], strict=True):
            at_restart.apply(line)
            restarted.reconcile(at_restart)
            if (restarted.memory, restarted.manifests) == (unbroken.memory, unbroken.manifests):
                break  # from here on the two are the same operator
        else:
            assert restarted.asked == EXPECTED[name]
        assert restarted.asked == EXPECTED[name][: len(restarted.asked)]


@EVERY_TRACE
def test_a_first_decision_at_the_end_asks_what_is_still_true(name: str) -> None:
    """An operator that was down all the time finds the last request that is still shown, or that none is left."""
    levels, operator = Levels(), Operator()
    for line in trace(name):
        levels.apply(line)
    operator.reconcile(levels)
    still_true = [each for each in EXPECTED[name][-1:] if each[1]]
    assert operator.asked == STILL_SHOWN.get(name, still_true)


@EVERY_TRACE
def test_doubled_lines_change_nothing(name: str) -> None:
    """Every line seen twice asks the same requests."""
    assert replay([line for line in trace(name) for _ in range(2)]).asked == EXPECTED[name]


@EVERY_TRACE
def test_lost_lines_end_the_same(name: str) -> None:
    """With lines lost, all but the last of each object, Datadog ends up knowing the same of what was still visible."""
    for seed in range(SAMPLES):
        chance = random.Random(seed)
        share = chance.choice([0.1, 0.3, 0.6])
        lines = trace(name)
        last = {line["object"]["metadata"]["uid"]: number for number, line in enumerate(lines)}
        kept = [
            line
            for number, line in enumerate(lines)
            if number in last.values() or _shows_abort(line) or chance.random() >= share
        ]
        assert replay(kept).last_asked() == _last_asked(EXPECTED[name])


@EVERY_TRACE
def test_late_lines_end_the_same(name: str) -> None:
    """Watches of different kinds run apart: a line may come after later ones of other objects."""
    for seed in range(SAMPLES):
        lines = _late(trace(name), random.Random(seed))
        assert replay(lines).last_asked() == _last_asked(EXPECTED[name])


@pytest.mark.parametrize(
    ("name", "version", "actions"),
    [
        pytest.param("canary-promoted", "1.1.0", "deploy promote", id="promoted"),
        pytest.param("canary-manual-abort", "1.1.0", "deploy abort", id="aborted by hand"),
        pytest.param("abort-retry-promoted", "1.1.0", "deploy abort retry promote", id="retried"),
        pytest.param("abort-then-undo", "1.1.0", "deploy abort undo", id="undone after an abort"),
        pytest.param("promoted-then-undo", "1.1.0", "deploy promote undo promote", id="rolled back"),
    ],
)
def test_the_simulator_writes_what_the_real_controller_wrote(name: str, version: str, actions: str) -> None:
    """The simulator's states of the Rollout are those of the trace, in the same order and with none in between."""
    simulator = Simulator(lags=False)
    writes = [_state(simulator.levels) for _ in simulator.start()]
    for action in actions.split():
        play = {
            "deploy": lambda: simulator.deploy((version, "a")),
            "abort": lambda: simulator.abort(by_hand=True),
            "retry": simulator.retry,
            "promote": simulator.promote,
            "undo": lambda: simulator.undo(1),
        }[action]
        writes += [_state(simulator.levels) for _ in play()]
    levels, seen = Levels(), []
    for line in trace(name):
        levels.apply(line)
        if levels.rollout:
            seen.append(_state(levels))
    # The first revision is written in more steps than the simulator knows; from its promotion on they are the same.
    begin = next(number for number, state in enumerate(seen) if state[2])
    begun = next(number for number, state in enumerate(writes) if state[2])
    assert _without_repeats(writes[begun:]) == _without_repeats(seen[begin:])


def _state(levels: Levels) -> tuple[Any, ...]:
    """Return what the decision reads, with versions for hashes."""
    versions = {
        each["metadata"]["labels"]["rollouts-pod-template-hash"]: each["spec"]["template"]["metadata"]["labels"][
            "tags.datadoghq.com/version"
        ]
        for each in levels.replica_sets.values()
    }
    numbers = {
        (
            versions[each["metadata"]["labels"]["rollouts-pod-template-hash"]],
            each["metadata"]["annotations"]["rollout.argoproj.io/revision"],
            each["metadata"]["annotations"].get("rollout.argoproj.io/revision-history", ""),
        )
        for each in levels.replica_sets.values()
    }
    status, metadata = levels.rollout.get("status", {}), levels.rollout["metadata"]
    return (
        metadata.get("annotations", {}).get("rollout.argoproj.io/revision"),
        # Argo itself changes the spec of a new revision: generations count differently, their lag does not.
        status.get("observedGeneration") == str(metadata["generation"]),
        versions.get(status.get("stableRS", "")),
        versions.get(status.get("currentPodHash", "")),
        bool(status.get("abort")),
        "abortedAt" in status,
        tuple(sorted(numbers)),
    )


def _without_repeats(states: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [state for number, state in enumerate(states) if number == 0 or state != states[number - 1]]


def _shows_abort(line: dict[str, Any]) -> bool:
    return line["object"].get("status", {}).get("abort") is True


def _last_asked(requests: list[Asked]) -> dict[str, tuple[bool, str]]:
    return {deployment: (failure, remediation) for deployment, failure, remediation in requests}


def _late(lines: Lines, chance: random.Random) -> Lines:
    """Hold back lines of one kind by up to five places, keeping the order within each kind."""
    late_kind = chance.choice(["Rollout", "ReplicaSet", "Event"])
    due: list[tuple[float, int]] = []
    latest = 0.0
    for number, line in enumerate(lines):
        place = float(number)
        if line["object"]["kind"] == late_kind:
            latest = max(latest, number + chance.uniform(0, 5))
            place = latest
        due.append((place, number))
    return [lines[number] for _, number in sorted(due)]
