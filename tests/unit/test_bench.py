"""What the benchmarks rest on: objects that every candidate finds settled, turns, medians. Measures nothing."""

from typing import Any

import kopf
import pytest

from bench import kopf_settled, objects
from bench.candidates import GO_PEER
from bench.measure import in_turn
from bench.throughput import Speed, median
from sandbox.programs.catalogue import CORE, HELM, MODULE_FOLDER, ROLLOUTS


def made(number: int, generation: int, **spec: Any) -> dict[str, Any]:
    """Return an object as the API server would, settled."""
    body = objects.manifest(number)
    body["spec"] |= spec
    body["metadata"] |= {"uid": "u", "generation": generation, "resourceVersion": str(generation)}
    return body | {"status": objects.settled_status(body["spec"], generation)}


@pytest.mark.parametrize("generation", [1, 7])
def test_settled_objects_are_settled_for_the_peer_in_go(generation: int) -> None:
    """It looks at nothing but observedGeneration, wherever the object's generation has got to."""
    assert made(1, generation)["status"]["observedGeneration"] == generation


@pytest.mark.parametrize(
    ("now", "same"),
    [
        pytest.param(made(1, 1), True, id="nothing has changed"),
        pytest.param(made(1, 1) | {"status": {"httpStatus": 500}}, True, id="a status is not kopf's business"),
        pytest.param(made(1, 2, changeFailure=False), False, id="a changed spec is due"),
    ],
)
def test_settled_objects_are_settled_for_kopf(now: dict[str, Any], *, same: bool) -> None:
    """The annotation is what kopf itself compares an object with."""
    memory = kopf_settled.memory_of(made(1, 1))["metadata"]
    body: Any = now | {"metadata": now["metadata"] | memory}
    storage = kopf.AnnotationsDiffBaseStorage()
    assert (storage.fetch(body=kopf.Body(body)) == storage.build(body=kopf.Body(body))) is same


def test_nobody_is_always_the_first() -> None:
    """Every second turn goes the other way."""
    assert [in_turn(["a", "b", "c"], turn) for turn in range(3)] == [
        ["a", "b", "c"],
        ["c", "b", "a"],
        ["a", "b", "c"],
    ]


def test_the_median_of_each_figure_counts() -> None:
    """Whoever writes nothing to Kubernetes has no figure for it."""
    rounds = [Speed("a", 3, 10, 1.0), Speed("a", 1, 30, 1.0), Speed("a", 2, 20, 2.0)]
    assert median(rounds) == Speed("a", 2, 20, 1.0)
    assert median([Speed("b", 1, 1)]) == Speed("b", 1, 1, None)


def test_the_peer_in_go_is_no_program_of_the_cluster() -> None:
    """It is built where a benchmark asks for it; tests and the demo, which build these, do without."""
    assert GO_PEER not in (*CORE, *ROLLOUTS, HELM)
    assert {"go.mod", "go.sum", "main.go"} <= {file.name for file in (MODULE_FOLDER / GO_PEER.module).iterdir()}
