"""What a Rollout did while it was ignored stays unmarked, whatever an operator has seen of it."""

import pytest

from tests.flow.test_coalesced import asked, without_a_reconcile
from tests.support.fakes import FakeCluster, FakeDatadog, running_operator
from tests.support.levels import Rollout, play

IGNORE = "dora-operator.io/ignore"


@pytest.mark.parametrize("reconciled", [True, False], ids=["each state was reconciled", "in one burst"])
async def test_what_happens_while_a_rollout_is_ignored_is_not_marked_later(
    cluster: FakeCluster, datadog: FakeDatadog, *, reconciled: bool
) -> None:
    """Aborted, and the next version deployed before it opts in: a restarted operator would not mark it."""
    async with running_operator(cluster, datadog) as operator:
        rollout = Rollout()
        await play(operator, rollout, "deploy h1 1", "promote", f"annotate {IGNORE} true", "deploy h2 2")
        without_a_reconcile(operator, rollout, "abort")
        if reconciled:
            await operator.settle()
        without_a_reconcile(operator, rollout, "deploy h3 3")
        rollout.annotations.clear()
        rollout.show(operator)
        await operator.settle()
        await play(operator, rollout, "promote")
    assert (asked(datadog), cluster.objects) == ([], {})


async def test_what_the_rollout_still_shows_after_opting_in_is_marked(
    cluster: FakeCluster, datadog: FakeDatadog
) -> None:
    """As an operator that starts then would do."""
    async with running_operator(cluster, datadog) as operator:
        rollout = Rollout()
        await play(operator, rollout, "deploy h1 1", "promote", f"annotate {IGNORE} true", "deploy h2 2", "abort")
        assert asked(datadog) == []
        rollout.annotations.clear()
        rollout.show(operator)
        await operator.settle()
    assert asked(datadog) == [("2", True, None)]
