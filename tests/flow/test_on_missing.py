"""What happens to a missing deployment is decided by the resource, the Rollout, the Namespace, then the setting."""

from datetime import timedelta

import pytest

from tests.flow.test_read_back import VERSION, wait
from tests.support.fakes import FakeCluster, running_operator
from tests.support.levels import Rollout, play
from tests.support.storing import StoringDatadog

NAME = "dora-operator.io/on-missing"
DEPLOYED = ("deploy h1 1", "promote", "deploy h2 2")
FOLLOWS = {"deployment": VERSION, "sourceRef": {"name": "checkout"}}


@pytest.mark.parametrize(
    ("steps", "namespace", "setting", "creates"),
    [
        pytest.param([f"annotate {NAME} Create"], None, "Wait", True, id="the Rollout says Create"),
        pytest.param([f"annotate {NAME} Wait"], "Create", "Create", False, id="the Rollout wins over the Namespace"),
        pytest.param([f"annotate {NAME} create"], None, "Wait", False, id="a word that is none of the two"),
        pytest.param([], "Create", "Wait", True, id="the Namespace says Create"),
        pytest.param([], "Wait", "Create", False, id="the Namespace wins over the setting"),
        pytest.param([], None, "Create", True, id="the setting says Create"),
    ],
)
async def test_a_record_follows_rollout_namespace_and_setting(
    steps: list[str],
    namespace: str | None,
    setting: str,
    creates: bool,  # noqa: FBT001
) -> None:
    """In this order."""
    cluster, datadog = FakeCluster(), StoringDatadog()
    cluster.annotations = {} if namespace is None else {NAME: namespace}
    async with running_operator(cluster, datadog, read_back=True, on_missing=setting) as operator:
        datadog.operator = operator
        await play(operator, Rollout(), *steps, *DEPLOYED, "abort")
        await wait(operator, 1000, 20)
    assert datadog.calls("event") == (["event"] if creates else [])


async def test_an_annotation_that_is_set_after_the_abort_counts() -> None:
    """A person sees DeploymentMissing, and annotates the Rollout that still shows the failure."""
    cluster, datadog, rollout = FakeCluster(), StoringDatadog(), Rollout()
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await play(operator, rollout, *DEPLOYED, "abort")
        await wait(operator, 300, 20)
        await play(operator, rollout, f"annotate {NAME} Create")
        await wait(operator, 1000, 20)
    assert datadog.calls("event", "mark") == ["mark", "event", "mark"]


@pytest.mark.parametrize("wins", ["Wait", "Create"])
async def test_the_resource_wins_over_its_rollout(wins: str) -> None:
    """What a user's resource says counts."""
    cluster, datadog = FakeCluster(), StoringDatadog()
    other = {"Wait": "Create", "Create": "Wait"}[wins]
    cluster.apply("mine", **FOLLOWS, onMissing=wins)
    async with running_operator(cluster, datadog, read_back=True, on_missing=other) as operator:
        datadog.operator = operator
        await play(operator, Rollout(), f"annotate {NAME} {other}", *DEPLOYED, "abort")
        await wait(operator, 1000, 20)
        assert cluster.status("mine")["target"]["version"] == "2"
    assert ("event" in datadog.calls()) is (wins == "Create")


async def test_a_mark_by_hand_is_never_created() -> None:
    """Nobody knows the times of its deployment."""
    cluster, datadog = FakeCluster(), StoringDatadog()
    cluster.apply("mine", deployment=VERSION, changeFailure=True, onMissing="Create")
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await wait(operator, timedelta(days=2).total_seconds(), 600)
    assert datadog.calls("event") == []
