"""Read-back in the tests of the whole operator: time passes, a condition changes, a Rollout is aborted."""

from datetime import timedelta
from typing import Any

from tests.support.fakes import FakeCluster, Operator, running_operator
from tests.support.levels import Rollout, play
from tests.support.storing import StoringDatadog

VERSION = {"service": "checkout", "env": "prod", "version": "2"}
DAY = 86_400


def condition(cluster: FakeCluster, name: str, kind: str = "Verified") -> tuple[str, str]:
    """Return status and reason of a condition."""
    (found,) = [one for one in cluster.status(name)["conditions"] if one["type"] == kind]
    return found["status"], found["reason"]


async def wait(operator: Operator, seconds: float, step: float = 5) -> None:
    """Let time pass in steps."""
    end = operator.now + timedelta(seconds=seconds)
    while operator.now < end:
        await operator.pass_time(min(step, (end - operator.now).total_seconds()))


async def aborted(cluster: FakeCluster, datadog: StoringDatadog, seconds: float, **settings: Any) -> Operator:
    """Abort version 2 of a Rollout and let time pass."""
    async with running_operator(cluster, datadog, read_back=True, **settings) as operator:
        datadog.operator = operator
        await play(operator, Rollout(), "deploy h1 1", "promote", "deploy h2 2", "abort")
        await wait(operator, seconds)
        return operator
