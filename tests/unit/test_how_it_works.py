"""docs/how-it-works.md: the table has every package, and the walks name functions in the order of a traced run."""

import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType, SimpleNamespace
from typing import Any, cast

import kopf
import pytest

from dora_operator.clients.kubernetes import DEPLOYMENTS, ROLLOUTS, Kind
from dora_operator.handlers import deployments, rollouts
from dora_operator.metrics import Metrics
from dora_operator.watch.kopf_run import Scope
from dora_operator.watch.watch import Sink, Watch
from tests.support.builders import BY_ID
from tests.support.fakes import FakeCluster, FakeDatadog, Operator, running_operator
from tests.support.levels import Rollout
from tests.support.pages import ROOT

PAGE = (ROOT / "docs/how-it-works.md").read_text(encoding="utf-8")
PACKAGE = "dora_operator."
STAND_IN = f"{FakeCluster.__module__}.{FakeCluster.__name__}."
"""The client of Kubernetes is replaced; a call of the stand-in counts as a call of the client."""
REGISTER = {DEPLOYMENTS: deployments.register, ROLLOUTS: rollouts.register}
Handler = Callable[[Mapping[str, Any]], Any]


def section(heading: str) -> str:
    """Return a section of the page."""
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def named(heading: str) -> list[str]:
    """Return the functions of a walk, in the order of the page."""
    steps = re.findall(r"(?ms)^\d+\. (.*?)(?=^\d+\. |\n\n|\Z)", section(heading))
    return [name for step in steps for name in re.findall(r"`([a-z_]+(?:\.\w+)+)`", step)]


@contextmanager
def traced() -> Iterator[list[str]]:
    """Record the functions of the operator that are called."""
    calls: list[str] = []

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            name = f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_qualname}"
            name = name.replace(STAND_IN, f"{PACKAGE}clients.kubernetes.KubernetesClient.").replace(".<locals>", "")
            if name.startswith(PACKAGE):
                calls.append(name.removeprefix(PACKAGE))

    sys.setprofile(profile)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def handler(kind: Kind, sink: Sink) -> Handler:
    """Return kopf's handler of a kind, in front of a watch that does not run."""
    scope = Scope(kind, None, REGISTER[kind])
    watch = Watch(scope, cast("Any", None), cast("Any", None), sink, Metrics(), 1800)
    registry = SimpleNamespace(_watching=[])
    scope.register(cast("kopf.OperatorRegistry", registry), watch._received)
    (registered,) = registry._watching
    return lambda body: registered.fn(event={"type": "MODIFIED", "object": body})


async def applied(operator: Operator, calls: list[str]) -> None:
    """Apply a DoraDeployment."""
    receive = handler(DEPLOYMENTS, operator.app.deployments)
    report, operator.cluster.report = operator.cluster.report, lambda *_: None
    operator.cluster.apply("checkout", deployment=BY_ID, changeFailure=True)
    operator.cluster.report = report
    (body,) = operator.cluster.objects.values()
    calls.clear()
    await receive(body)
    await operator.settle()


async def aborted(operator: Operator, calls: list[str]) -> None:
    """Abort the second revision of a Rollout."""
    receive = handler(ROLLOUTS, operator.app.workloads)
    rollout = Rollout()
    for pod_hash, version in (("h1", "1"), ("h2", "2")):
        rollout.deploy(pod_hash, version)
        rollout.show(operator)
        await operator.settle()
    rollout.abort()
    calls.clear()
    await receive(rollout.body())
    await operator.settle()


@pytest.mark.parametrize(
    ("heading", "act"),
    [
        pytest.param("The path of an applied resource", applied, id="an applied DoraDeployment, until its status"),
        pytest.param("The path of an aborted Rollout", aborted, id="an aborted Rollout, until its PATCH"),
    ],
)
async def test_a_walk_names_functions_in_the_order_of_a_run(heading: str, act: Any) -> None:
    """Each function of the list is called after the first call of the one before it."""
    datadog = FakeDatadog()
    async with running_operator(FakeCluster(), datadog) as operator:
        with traced() as calls:
            await act(operator, calls)
    assert len(datadog.requests) == 1
    walk = named(heading)
    assert len(walk) >= 13
    assert [name for name in walk if name not in calls] == []
    assert walk == sorted(walk, key=calls.index)


def test_the_table_of_packages_is_complete_and_in_the_order_of_the_layers() -> None:
    """As import-linter's contract has them: from the top down."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers: list[str] = document["tool"]["importlinter"]["contracts"][0]["layers"]
    level = {name: number for number, layer in enumerate(layers) for name in re.findall(r"\w+", layer)}
    rows = re.findall(r"(?m)^\| (`\w+`(?:, `\w+`)*) \|", section("Where a change belongs"))
    packages = [name for row in rows for name in re.findall(r"\w+", row)]
    assert sorted(packages) == sorted(level)
    assert [level[name] for name in packages] == sorted(level[name] for name in packages)
