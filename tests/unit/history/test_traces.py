"""What a real Argo Rollouts controller wrote, replayed: whole, and with lines lost, doubled and late."""

import gzip
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dora_operator.domain.sources.rollout import observation_of
from tests.unit.history.simulator import NOW, Simulator
from tests.unit.history.stories import Watcher

Asked = tuple[str, bool, str]
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
EVERY_TRACE = pytest.mark.parametrize("name", sorted(EXPECTED))
SAMPLES = 6

Lines = list[dict[str, Any]]


@dataclass
class Levels:
    """What an API server would answer now."""

    rollout: Mapping[str, Any] = field(default_factory=dict)
    replica_sets: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def apply(self, line: Mapping[str, Any]) -> None:
        """Take in one line of a trace."""
        shown = line["object"]
        if shown["kind"] == "Rollout":
            self.rollout = shown
        elif line["type"] == "DELETED":
            del self.replica_sets[shown["metadata"]["uid"]]
        else:
            self.replica_sets[shown["metadata"]["uid"]] = shown


@cache
def trace(name: str) -> Lines:
    """Return the lines of a trace that are levels: Rollouts and ReplicaSets."""
    with gzip.open(TRACES / f"{name}.jsonl.gz", "rt") as lines:
        return [line for line in map(json.loads, lines) if line["object"]["kind"] in {"Rollout", "ReplicaSet"}]


def replay(lines: Lines) -> Watcher:
    """Observe after every line."""
    levels, watcher = Levels(), Watcher()
    for line in lines:
        levels.apply(line)
        if levels.rollout:
            watcher.see(observation_of(levels.rollout, levels.replica_sets.values()), NOW)
    return watcher


def test_every_trace_is_expected() -> None:
    """No trace is left out."""
    assert {path.name.removesuffix(".jsonl.gz") for path in TRACES.iterdir()} == set(EXPECTED)


@EVERY_TRACE
def test_a_trace_asks_exactly_these_requests(name: str) -> None:
    """Each real run asks for the requests that its name says, in order, though every step is a restart."""
    assert replay(trace(name)).asked == EXPECTED[name]


def test_a_missing_version_label_is_reported_and_nothing_sent() -> None:
    """The abort of a version without a label is skipped once, with a message that says how to fix it."""
    (skipped,) = replay(trace("version-label-missing")).shown
    assert "tags.datadoghq.com/version" in skipped.message


def test_a_release_costs_three_writes() -> None:
    """It begins, it serves, it is promoted; the first revision of a Rollout costs as much."""
    assert replay(trace("canary-promoted")).writes <= 6
    assert replay(trace("scale-and-restart-only")).writes <= 6


@EVERY_TRACE
def test_a_first_observation_at_the_end_asks_what_is_still_visible(name: str) -> None:
    """What is not known any more is never marked; a visible abort is."""
    levels, watcher = Levels(), Watcher()
    for line in trace(name):
        levels.apply(line)
    watcher.see(observation_of(levels.rollout, levels.replica_sets.values()), NOW)
    visible = [MARKED] if levels.rollout["status"].get("abort") and EXPECTED[name] else []
    assert watcher.asked == visible


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
        assert _last_asked(replay(kept).asked) == _last_asked(EXPECTED[name])


@EVERY_TRACE
def test_late_lines_end_the_same(name: str) -> None:
    """Watches of different kinds run apart: a line may come after later ones of other objects."""
    for seed in range(SAMPLES):
        lines = _late(trace(name), random.Random(seed))
        assert _last_asked(replay(lines).asked) == _last_asked(EXPECTED[name])


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
    writes = [_state(_levels(simulator)) for _ in simulator.start()]
    for action in actions.split():
        play = {
            "deploy": lambda: simulator.deploy((version, "a")),
            "abort": simulator.abort,
            "retry": simulator.retry,
            "promote": simulator.promote,
            "undo": lambda: simulator.undo(1),
        }[action]
        writes += [_state(_levels(simulator)) for _ in play()]
    levels, shown = Levels(), []
    for line in trace(name):
        levels.apply(line)
        if levels.rollout:
            shown.append(_state(levels))
    # The first revision is written in more steps than the simulator knows; from its promotion on they are the same.
    begin = next(number for number, state in enumerate(shown) if state[2])
    begun = next(number for number, state in enumerate(writes) if state[2])
    assert _without_repeats(writes[begun:]) == _without_repeats(shown[begin:])


def _levels(simulator: Simulator) -> Levels:
    return Levels(simulator.rollout(), {body["metadata"]["uid"]: body for body in simulator.replica_sets()})


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
    late_kind = chance.choice(["Rollout", "ReplicaSet"])
    due: list[tuple[float, int]] = []
    latest = 0.0
    for number, line in enumerate(lines):
        place = float(number)
        if line["object"]["kind"] == late_kind:
            latest = max(latest, number + chance.uniform(0, 5))
            place = latest
        due.append((place, number))
    return [lines[number] for _, number in sorted(due)]
