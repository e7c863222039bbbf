"""Each metric is seen changing: the whole operator but kopf, scraped before and after."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.flow.test_rollouts import followed, last_rollout, live, mine, take_in
from tests.support.exercise import exercised
from tests.support.fakes import FakeCluster, FakeDatadog, Operator, running_operator
from tests.support.scrape import series
from tests.unit.history.test_traces import trace

OLDEST = "dora_operator_oldest_unreported_failure_seconds"
UNREPORTED = "dora_operator_unreported_failures"
DOWN = httpx.Response(503, text="upstream")


async def scraped(operator: Operator) -> Mapping[str, float]:
    """Return what a scrape says now."""
    return series(await operator.scrape())


async def resources(operator: Operator) -> dict[str, float]:
    """Return the numbers of DoraDeployments by reason."""
    prefix = "dora_operator_resources{"
    return {
        name.removeprefix(prefix).split('"')[3]: value
        for name, value in (await scraped(operator)).items()
        if name.startswith(prefix)
    }


async def test_a_mark_is_counted() -> None:
    """One accepted failure: a reconcile, a request, a mark, a delay, a resource that is Ready."""
    cluster, datadog = FakeCluster(), FakeDatadog()
    async with running_operator(cluster, datadog) as operator:
        before = await scraped(operator)
        cluster.apply("checkout", changeFailure=True)
        await operator.settle()
        after = await scraped(operator)
    mark = 'dora_operator_marks_total{change_failure="true",remediation="none"}'
    request = 'dora_operator_datadog_requests_total{call="mark_by_id",code="202"}'
    assert (before[mark], after[mark]) == (0, 1)
    assert (before[request], after[request]) == (0, 1)
    assert after['dora_operator_reconciles_total{kind="DoraDeployment",result="done"}'] >= 1
    assert after['dora_operator_datadog_request_seconds_count{call="mark_by_id"}'] == 1
    assert after['dora_operator_report_delay_seconds_count{origin="resource"}'] == 1
    assert after['dora_operator_resources{ready="True",reason="Accepted"}'] == 1
    assert (after[UNREPORTED], after[OLDEST]) == (0, 0)


async def test_the_oldest_unreported_failure_ages_and_goes() -> None:
    """While Datadog is down the age rises with the clock; when it answers again it is 0 at once."""
    cluster, datadog = FakeCluster(), FakeDatadog(answers=[DOWN])
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("checkout", changeFailure=True)
        cluster.apply("stable", deployment={"id": "X9RMqDwK-4c"}, changeFailure=False)
        await operator.settle()
        assert ((await scraped(operator))[UNREPORTED], (await scraped(operator))[OLDEST]) == (1, 0)
        await operator.pass_time(90)
        assert ((await scraped(operator))[UNREPORTED], (await scraped(operator))[OLDEST]) == (1, 90)
        assert await resources(operator) == {"DatadogUnavailable": 2}
        datadog.answers = [httpx.Response(202)]
        await operator.pass_time(120)
        after = await scraped(operator)
    assert (after[UNREPORTED], after[OLDEST]) == (0, 0)
    assert after['dora_operator_report_delay_seconds_sum{origin="resource"}'] == 2 * 210


async def test_a_failure_is_unreported_before_its_first_reconcile() -> None:
    """Age counts from the creation of a resource that no worker has taken yet."""
    cluster, datadog = FakeCluster(), FakeDatadog()
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("checkout", age_seconds=300, changeFailure=True)
        found = await scraped(operator)
    assert (found[UNREPORTED], found[OLDEST]) == (1, 300)
    assert found['dora_operator_resources{ready="Unknown",reason="Pending"}'] == 1


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"changeFailure": True, "suspend": True}, id="suspended"),
        pytest.param({"changeFailure": True, "dryRun": True}, id="a dry run"),
        pytest.param({"changeFailure": False}, id="no failure"),
        pytest.param({"sourceRef": {"name": "checkout", "version": "1"}}, id="a Rollout that has not decided"),
    ],
)
async def test_what_is_held_back_on_purpose_is_no_unreported_failure(spec: dict[str, Any]) -> None:
    """Nobody is woken for what a person wanted so."""
    cluster, datadog = FakeCluster(), FakeDatadog(answers=[DOWN])
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("checkout", **spec)
        assert (await scraped(operator))[UNREPORTED] == 0
        await operator.settle()
        await operator.pass_time(60)
        assert ((await scraped(operator))[UNREPORTED], (await scraped(operator))[OLDEST]) == (0, 0)


async def test_an_accepted_failure_that_could_not_be_written_down_is_reported() -> None:
    """What Datadog accepted counts as reported, though the API server did not take the status yet."""
    cluster, datadog = FakeCluster(), FakeDatadog()
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("earlier", deployment={"id": "X9RMqDwK-4c"}, changeFailure=True)
        await operator.settle()  # the annotations of the Namespace are cached
        cluster.apply("checkout", changeFailure=True)
        cluster.down = True
        await operator.settle()
        found = await scraped(operator)
        assert len(datadog.requests) == 2
        assert (found[UNREPORTED], found[OLDEST]) == (0, 0)
        assert found['dora_operator_reconciles_total{kind="DoraDeployment",result="unavailable"}'] == 1
        cluster.down = False
        await operator.pass_time(60)
        mark = 'dora_operator_marks_total{change_failure="true",remediation="none"}'
        assert (await scraped(operator))[mark] == 2


async def test_refused_keys_and_rate_limits() -> None:
    """401 and 429 are counted apart, by code; what is left of a limit is shown until its window ends."""
    used_up = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}
    answers = [httpx.Response(401), httpx.Response(429, headers=used_up), httpx.Response(202)]
    cluster, datadog = FakeCluster(), FakeDatadog(answers=answers)
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("one", changeFailure=True)
        await operator.settle()
        cluster.apply("two", deployment={"service": "a", "env": "b", "version": "c"}, changeFailure=True)
        await operator.settle()
        found = await scraped(operator)
        assert found['dora_operator_datadog_requests_total{call="mark_by_id",code="401"}'] == 1
        assert found['dora_operator_datadog_requests_total{call="mark_by_version",code="429"}'] == 1
        account = '{site="datadoghq.com"}'
        assert found[f"dora_operator_rate_limit_remaining{account}"] == 0
        operator.now += timedelta(seconds=31)
        assert f"dora_operator_rate_limit_remaining{account}" not in (await scraped(operator))


async def test_a_defect_is_counted() -> None:
    """A reconcile that breaks is a result of its own."""
    cluster, datadog = FakeCluster(), FakeDatadog(answers=[RuntimeError("a defect"), httpx.Response(202)])
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("checkout", changeFailure=True)
        await operator.settle()
        assert (await scraped(operator))['dora_operator_reconciles_total{kind="DoraDeployment",result="broken"}'] == 1


async def test_the_queue_is_counted() -> None:
    """A key is due with its age, and delayed while it waits for its time."""
    cluster, datadog = FakeCluster(), FakeDatadog(answers=[DOWN])
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("checkout", changeFailure=True)
        operator.now += timedelta(seconds=12)
        found = await scraped(operator)
        assert found['dora_operator_queue_length{queue="DoraDeployment",state="due"}'] == 1
        assert found['dora_operator_queue_oldest_seconds{queue="DoraDeployment"}'] == 12
        await operator.settle()
        found = await scraped(operator)
        assert found['dora_operator_queue_length{queue="DoraDeployment",state="delayed"}'] == 1
        assert found['dora_operator_queue_oldest_seconds{queue="DoraDeployment"}'] == 0


async def test_verdicts_of_rollouts_are_counted_once() -> None:
    """A real trace of an abort: one verdict, counted by kind, and the delay of the report that it causes."""
    cluster, datadog = FakeCluster(), FakeDatadog()
    async with running_operator(cluster, datadog) as operator:
        assert (await scraped(operator))['dora_operator_rollout_verdicts_total{kind="Aborted"}'] == 0
        await live(operator, trace("canary-manual-abort"))
        await operator.pass_time(60)
        found = await scraped(operator)
    assert found['dora_operator_rollout_verdicts_total{kind="Aborted"}'] == 1
    assert found['dora_operator_report_delay_seconds_count{origin="rollout"}'] == 1
    assert found["dora_operator_rollouts_unidentified"] == 0
    assert found['dora_operator_reconciles_total{kind="Rollout",result="done"}'] > 1


async def test_a_followed_verdict_is_counted_once() -> None:
    """A user's DoraDeployment that follows the Rollout: its verdict counts once."""
    cluster, datadog = FakeCluster(), FakeDatadog()
    async with running_operator(cluster, datadog) as operator:
        followed()(cluster)
        await operator.settle()
        assert await resources(operator) == {"WaitingForRollout": 1}
        operator.now += timedelta(hours=3)
        await live(operator, trace("canary-manual-abort"))
        await operator.pass_time(60)
        found = await scraped(operator)
    assert len(datadog.requests) == 1
    assert mine(cluster)["status"]["source"]["verdict"] == "Aborted"
    assert found['dora_operator_rollout_verdicts_total{kind="Aborted"}'] == 1
    assert found['dora_operator_report_delay_seconds_count{origin="rollout"}'] == 1
    assert found['dora_operator_report_delay_seconds_sum{origin="rollout"}'] < 60


async def test_a_rollout_that_cannot_be_identified_is_counted() -> None:
    """It counts once as skipped, and the gauge shows the Rollout as long as it is so."""
    cluster, datadog = FakeCluster(), FakeDatadog()
    async with running_operator(cluster, datadog) as operator:
        lines = trace("version-label-missing")
        await live(operator, lines)
        await live(operator, lines[-3:])
        found = await scraped(operator)
        assert datadog.requests == []
        assert found["dora_operator_rollouts_unidentified"] == 1
        operator.rollout_event("DELETED", last_rollout(lines))
        assert (await scraped(operator))["dora_operator_rollouts_unidentified"] == 0


SUM = 'dora_operator_report_delay_seconds_sum{origin="%s"}'


async def test_a_delay_counts_from_the_change_and_not_from_a_whole_second() -> None:
    """Status knows whole seconds; the histogram knows better while the process lives."""
    cluster, datadog = FakeCluster(), FakeDatadog(answers=[DOWN, httpx.Response(202)])
    async with running_operator(cluster, datadog) as operator:
        operator.now += timedelta(seconds=0.75)
        cluster.apply("checkout", changeFailure=True)
        await operator.settle()
        await operator.pass_time(2)
        assert (await scraped(operator))[SUM % "resource"] == pytest.approx(2)


async def test_a_delay_begins_again_with_each_edit() -> None:
    """What waited before was something else."""
    cluster, datadog = FakeCluster(), FakeDatadog(answers=[DOWN])
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("checkout", changeFailure=True)
        await operator.settle()
        await operator.pass_time(600)
        datadog.answers = [httpx.Response(202)]
        cluster.apply("checkout", changeFailure=False)
        await operator.settle()
        assert (await scraped(operator))[SUM % "resource"] == 0


async def test_a_delay_that_began_before_a_restart_is_not_forgotten() -> None:
    """The status remembers since when the state was wanted."""
    cluster, datadog = FakeCluster(), FakeDatadog(answers=[DOWN])
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("checkout", changeFailure=True)
        await operator.settle()
    async with running_operator(cluster, datadog) as operator:
        datadog.answers = [httpx.Response(202)]
        await operator.pass_time(600)
        assert (await scraped(operator))[SUM % "resource"] == 600


async def test_a_delay_of_a_rollout_counts_from_its_event() -> None:
    """Not from the record that is written for it."""
    cluster, datadog = FakeCluster(), FakeDatadog()
    async with running_operator(cluster, datadog) as operator:
        for line in trace("canary-manual-abort"):
            take_in(operator, line)
        await operator.pass_time(5)
        assert (await scraped(operator))[SUM % "rollout"] == 5


async def test_the_tightest_account_of_a_site_is_shown() -> None:
    """Without any name."""
    cluster = FakeCluster()
    answers = [httpx.Response(202, headers={"X-RateLimit-Remaining": left, "X-RateLimit-Reset": "9"}) for left in "725"]
    async with running_operator(cluster, FakeDatadog(answers=answers)) as operator:
        for number in range(3):
            cluster.put_secret(f"secret-{number}", f"key-{number}")
            reference = {"name": f"secret-{number}"}
            deployment = {"id": f"deployment-{number}"}
            cluster.apply(f"r{number}", deployment=deployment, changeFailure=True, credentialsSecretRef=reference)
            await operator.settle()
        text = await operator.scrape()
        assert series(text)['dora_operator_rate_limit_remaining{site="datadoghq.com"}'] == 2
        assert "secret-" not in text
        assert "key-" not in text


def test_no_series_that_nobody_reads() -> None:
    """The times at which counters were made would double a scrape."""
    assert "_created" not in exercised().text().decode()
