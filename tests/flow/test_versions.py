"""Another version of the CRD or of the operator has been there: nothing is lost, sent twice or written for ever."""

from collections.abc import Mapping
from typing import Any

import pytest

from dora_operator.domain.fields import ObjectKey
from tests.support.fakes import FakeCluster, FakeDatadog, running_operator
from tests.support.levels import Rollout, play

ABORTED = ("deploy h1 1", "promote", "deploy h2 2", "abort")
FOLLOWS = {"deployment": {"service": "checkout", "env": "prod", "version": "2"}, "sourceRef": {"name": "checkout"}}


class Pruning(FakeCluster):
    """Has an older CRD: the API server drops a field that it does not know."""

    async def write_status(self, key: ObjectKey, uid: str, status: Mapping[str, Any]) -> dict[str, Any]:
        """Write what the CRD knows."""
        source = status.get("source")
        known = {name: value for name, value in (source or {}).items() if name != "startedTime"}
        return await super().write_status(key, uid, {**status, "source": known} if source else status)


@pytest.mark.parametrize("is_followed", [False, True], ids=["a record", "a user's resource"])
async def test_an_older_crd_costs_one_warning(datadog: FakeDatadog, *, is_followed: bool) -> None:
    """The mark is sent, nothing is written again and again, and one Event names the CRD to apply."""
    cluster, rollout = Pruning(), Rollout()
    if is_followed:
        cluster.apply("mine", **FOLLOWS)
    async with running_operator(cluster, datadog) as operator:
        await play(operator, rollout, *ABORTED)
        assert len(datadog.requests) == 1
        writes = cluster.status_writes
        for _ in range(10):
            rollout.show(operator)
            await operator.pass_time(60)
        assert cluster.status_writes <= writes + 10
    outdated = [note for _, note in cluster.events if note.reason == "OutdatedCRD"]
    assert len(outdated) == 1
    assert outdated[0].type == "Warning"
    assert "doradeployments.dora-operator.io" in outdated[0].message
    assert len(datadog.requests) == 1


async def test_a_crd_of_this_version_costs_no_warning(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """What is written is read back as it was."""
    async with running_operator(cluster, datadog) as operator:
        await play(operator, Rollout(), *ABORTED, "retry", "promote")
    assert cluster.warnings() == []


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"readBack": {"time": "tomorrow", "id": "x"}}, id="a time of a read"),
        pytest.param({"target": {"by": "Name", "site": "datadoghq.com"}}, id="a kind of target"),
        pytest.param({"source": {"kind": "Canary", "name": "a", "verdict": "Exploded"}}, id="a verdict"),
    ],
)
async def test_what_only_a_newer_operator_understands_is_sent_at_most_once_more(
    changed: dict[str, Any], cluster: FakeCluster, datadog: FakeDatadog
) -> None:
    """After a downgrade: one field is lost, and not what Datadog has accepted, nor the history."""
    cluster.apply("a", changeFailure=True)
    async with running_operator(cluster, datadog) as operator:
        later = operator.now
    key, status = ObjectKey("shop", "a"), cluster.status("a")
    cluster.objects[key] = cluster.objects[key] | {"status": status | changed}
    async with running_operator(cluster, datadog, now=later) as operator:
        await operator.pass_time(3600)
    after = cluster.status("a")
    assert (after["accepted"], after["history"]) == (status["accepted"], status["history"])
    if "target" not in changed:  # without a target it is not known what the acceptance is about
        assert after["acceptedTime"] == status["acceptedTime"]
        assert len(datadog.requests) == 1
