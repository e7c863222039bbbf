"""What the benchmarks and the traced walk rest on: settled objects, turns, medians, figures. Measures nothing."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import kopf
import pytest

from bench import kopf_settled, objects
from bench.candidates import GO_PEER
from bench.measure import in_turn
from bench.throughput import Speed, median
from sandbox.programs.catalogue import CORE, HELM, MODULE_FOLDER, ROLLOUTS
from tools.walk import scenarios, tracer
from tools.walk.report import MAIN_THREAD, WORKERS, Call, Walk


def made(number: int, generation: int, **spec: Any) -> dict[str, Any]:
    """Return an object as the API server would, settled."""
    body = objects.manifest(number)
    body["spec"] |= spec
    body["metadata"] |= {"uid": "u", "generation": generation, "resourceVersion": str(generation)}
    return body | {"status": objects.settled_status(body["spec"], generation)}


@pytest.mark.parametrize("generation", [1, 7])
def test_settled_objects_are_settled_for_the_peer_in_go(generation: int) -> None:
    """It compares observedGeneration alone, whatever the object's generation is."""
    assert made(1, generation)["status"]["observedGeneration"] == generation


@pytest.mark.parametrize(
    ("now", "same"),
    [
        pytest.param(made(1, 1), True, id="nothing has changed"),
        pytest.param(made(1, 1) | {"status": {"httpStatus": 500}}, True, id="kopf ignores the status"),
        pytest.param(made(1, 2, changeFailure=False), False, id="a changed spec is due"),
    ],
)
def test_settled_objects_are_settled_for_kopf(now: dict[str, Any], *, same: bool) -> None:
    """The annotation is what kopf compares an object with."""
    memory = kopf_settled.memory_of(made(1, 1))["metadata"]
    body: Any = now | {"metadata": now["metadata"] | memory}
    storage = kopf.AnnotationsDiffBaseStorage()
    assert (storage.fetch(body=kopf.Body(body)) == storage.build(body=kopf.Body(body))) is same


def test_turns_alternate() -> None:
    """Every second turn goes the other way, so that nobody is always the first."""
    assert [in_turn(["a", "b", "c"], turn) for turn in range(3)] == [
        ["a", "b", "c"],
        ["c", "b", "a"],
        ["a", "b", "c"],
    ]


def test_the_median_of_each_figure_counts() -> None:
    """A candidate that writes nothing to Kubernetes has no figure for it."""
    rounds = [Speed("a", 3, 10, 1.0), Speed("a", 1, 30, 1.0), Speed("a", 2, 20, 2.0)]
    assert median(rounds) == Speed("a", 2, 20, 1.0)
    assert median([Speed("b", 1, 1)]) == Speed("b", 1, 1, None)


def test_the_peer_in_go_is_no_program_of_the_cluster() -> None:
    """It is built for a benchmark only; tests and the demo do not need it."""
    assert GO_PEER not in (*CORE, *ROLLOUTS, HELM)
    assert {"go.mod", "go.sum", "main.go"} <= {file.name for file in (MODULE_FOLDER / GO_PEER.module).iterdir()}


def walk(*calls: str) -> Walk:
    """Return a walk through functions, each as file:name."""
    return Walk("any", [Call(*call.split(":"), 1, "main", 1) for call in calls], 1)  # type: ignore[arg-type]


def test_the_figures_of_a_walk() -> None:
    """A move is a call that follows one in another file."""
    made = walk("a:f", "a:g", "b:f", "a:f", "b:f")
    assert (made.files, len(made.calls), made.moves) == (["a", "b"], 5, 3)
    assert made.moves_between() == {("a", "b"): 2, ("b", "a"): 1}


def test_other_events_are_no_part_of_a_walk() -> None:
    """What the watch reports meanwhile counts apart; workers serve every event."""
    calls = [
        Call("a", "f", 1, "kopf", 7),
        Call("b", "f", 1, "kopf", 8),
        Call("c", "f", 1, "kopf", WORKERS),
        Call("d", "f", 1, f"{MAIN_THREAD} Task-1", WORKERS),
    ]
    made = Walk("any", calls, 7)
    assert (made.files, made.moves) == (["a", "d"], 1)
    assert made.summary_with_others() == "with other events meanwhile: 4 files, 4 calls, 3 moves"


def test_a_walk_as_a_list() -> None:
    """Functions of one file share a line; what is repeated is shown once."""
    lines = [" ".join(line.split()) for line in walk("a:f", *(["b:g", "b:g", "c:h"] * 3), "a:k").lines()]
    assert lines == ["1. a f", "2. b g (these 2 lines 3 times)", "c h", "3. a k"]


OPERATOR = """
import asyncio

async def event():
    await handled()

async def handled():
    await asyncio.sleep(0)
    after()

def after():
    pass

def run():
    import os, signal
    asyncio.run(event())
    os.kill(os.getpid(), signal.SIGUSR1)
    asyncio.run(event())
    os.kill(os.getpid(), signal.SIGUSR2)
"""


def test_the_tracer(tmp_path: Path) -> None:
    """It records nothing before it is armed, and a coroutine once, however often it goes on."""
    package, info = tmp_path / "dora_operator", tmp_path / "dora_operator-1.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").touch()
    (package / "it.py").write_text(OPERATOR)
    (info / "METADATA").write_text("Name: dora-operator\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[console_scripts]\ndora-operator = dora_operator.it:run\n")
    output, marks = tmp_path / "calls.json", {"start": ["it.py:event"], "end": ["it.py:handled"]}
    command = [sys.executable, "-S", str(Path(tracer.__file__)), str(output), json.dumps(marks)]
    subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, check=True)
    found = json.loads(output.read_text())
    assert [(name, event) for _, name, _, _, event in found["calls"]] == [("event", 1), ("handled", 1), ("after", 1)]
    assert (found["waited"], found["ended"]) == ({"end": 2}, {"end": 3})


def test_the_recorded_abort() -> None:
    """The traced abort differs from what was before it only in being one."""
    before, after, replica_sets = scenarios.recorded_abort()
    assert after["status"] == before["status"] | {"abort": True}
    assert len(replica_sets) == 2
