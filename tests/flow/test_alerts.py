"""Each alert is seen firing for what it is about, alone, and falling silent when that is over."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from dora_operator.watch.health import WatchHealth
from tests.flow.test_rollouts import last_rollout, live
from tests.support.fakes import FakeCluster, FakeDatadog, Operator, running_operator
from tests.support.promql import Moment, Vector, scrape
from tests.support.reading_back import VERSION, condition
from tests.support.storing import StoringDatadog
from tests.unit.history.test_traces import trace

FILE = Path(__file__).parents[2] / "charts" / "dora-operator" / "rules" / "dora-operator.yaml"
RULES = [rule for group in yaml.safe_load(FILE.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


@dataclass
class Stage:
    """An operator with a watch of each kind, as Prometheus sees it."""

    operator: Operator
    watches: list[WatchHealth] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Watch both kinds; everything is listed."""
        for kind in ("DoraDeployments", "Rollouts"):
            self.watches.append(WatchHealth(kind, self._clock, listed=True))

    def _clock(self) -> float:
        return self.operator.now.timestamp()

    def hear(self) -> None:
        """Let the API server answer both watches."""
        for watch in self.watches:
            watch.listed = True
            watch.answered()

    async def scrape(self) -> Vector:
        """Scrape the one replica."""
        text = await self.operator.app.exporter.scrape(self.watches, lambda: True)
        return scrape(text.decode(), instance="10.0.0.1:8080", pod="dora-operator-0")


def firing(before: Vector, now: Vector) -> set[str]:
    """Return the alerts whose expression is true."""
    moment = Moment(before, now)
    return {rule["alert"] for rule in RULES if moment.evaluate(rule["expr"])}


Act = Callable[[Stage], Awaitable[None]]


async def datadog_fails(stage: Stage) -> None:
    """A failure waits for more than half an hour."""
    stage.operator.datadog.answers = [httpx.Response(503)]
    stage.operator.cluster.apply("checkout", changeFailure=True)
    await stage.operator.settle()
    await stage.operator.pass_time(1801)
    stage.hear()


async def datadog_answers(stage: Stage) -> None:
    """Datadog works, and all is sent."""
    stage.operator.datadog.answers = [httpx.Response(202)]
    await stage.operator.pass_time(400)
    stage.hear()


async def nothing_is_listed(stage: Stage) -> None:
    """A watch that has just started."""
    stage.watches[1].listed = False


async def both_watches_answer(stage: Stage) -> None:
    """Both watches list."""
    stage.hear()


async def a_watch_is_silent(stage: Stage) -> None:
    """The API server answers nothing."""
    stage.operator.now += timedelta(seconds=100)


async def a_watch_ends_often(stage: Stage) -> None:
    """It is started again all the time."""
    for _ in range(21):
        stage.operator.metrics.watch_restarts.labels("Rollouts").inc()


async def a_namespace_is_skipped(stage: Stage) -> None:
    """It cannot be listed."""
    stage.operator.metrics.watch_skipped_namespaces.labels("Rollouts").set(1)


async def the_namespace_is_listed(stage: Stage) -> None:
    """Its permission is back."""
    stage.operator.metrics.watch_skipped_namespaces.labels("Rollouts").set(0)


async def no_worker_serves(stage: Stage) -> None:
    """A key is due and no worker takes it."""
    stage.operator.cluster.apply("checkout", changeFailure=False)
    stage.operator.now += timedelta(seconds=301)
    stage.hear()


async def workers_serve(stage: Stage) -> None:
    """Everything due is served."""
    await stage.operator.settle()


async def a_defect(stage: Stage) -> None:
    """A reconcile breaks."""
    stage.operator.datadog.answers = [RuntimeError("a defect"), httpx.Response(202)]
    stage.operator.cluster.apply("checkout", changeFailure=False)
    await stage.operator.settle()


async def keys_are_refused(stage: Stage) -> None:
    """403."""
    stage.operator.datadog.answers = [httpx.Response(403)]
    stage.operator.cluster.apply("checkout", changeFailure=True)
    await stage.operator.settle()


async def a_request_is_rejected(stage: Stage) -> None:
    """400."""
    stage.operator.datadog.answers = [httpx.Response(400, json={"errors": ["a bad request"]}), httpx.Response(202)]
    stage.operator.cluster.apply("checkout", changeFailure=True)
    await stage.operator.settle()


async def the_user_edits(stage: Stage) -> None:
    """Another spec is accepted."""
    stage.operator.cluster.apply("checkout", changeFailure=False)
    await stage.operator.settle()


async def labels_are_missing(stage: Stage) -> None:
    """A Rollout without a version fails."""
    await live(stage.operator, trace("version-label-missing"))


async def that_rollout_is_deleted(stage: Stage) -> None:
    """It is gone."""
    stage.operator.rollout_event("DELETED", last_rollout(trace("version-label-missing")))


@pytest.mark.parametrize(
    ("alert", "begins", "ends"),
    [
        pytest.param("DoraFailureNotReported", datadog_fails, datadog_answers, id="Datadog fails for long"),
        pytest.param("DoraOperatorNotReady", nothing_is_listed, both_watches_answer, id="nothing is listed"),
        pytest.param("DoraOperatorWatchBroken", a_watch_is_silent, both_watches_answer, id="a silent watch"),
        pytest.param("DoraOperatorWatchBroken", a_watch_ends_often, both_watches_answer, id="a watch that ends often"),
        pytest.param(
            "DoraOperatorWatchBroken", a_namespace_is_skipped, the_namespace_is_listed, id="a namespace that is skipped"
        ),
        pytest.param("DoraOperatorQueueNotDraining", no_worker_serves, workers_serve, id="no worker serves"),
        pytest.param("DoraOperatorReconcileBroken", a_defect, workers_serve, id="a defect"),
        pytest.param("DatadogRefusesCredentials", keys_are_refused, datadog_answers, id="keys are refused"),
        pytest.param("DoraDeploymentStalled", a_request_is_rejected, the_user_edits, id="a request is rejected"),
        pytest.param("RolloutsNotIdentifiable", labels_are_missing, that_rollout_is_deleted, id="labels are missing"),
    ],
)
async def test_an_alert_fires_alone_and_falls_silent(alert: str, begins: Act, ends: Act) -> None:
    """Silent on a good day, alone on a bad one, silent again."""
    async with running_operator(FakeCluster(), FakeDatadog()) as operator:
        stage = Stage(operator)
        operator.cluster.apply("settled", deployment={"id": "X9RMqDwK-4c"}, changeFailure=True)
        operator.cluster.apply("tried", deployment={"id": "another-one"}, changeFailure=True, dryRun=True)
        await operator.settle()
        start = await stage.scrape()
        assert firing(start, start) == set()
        await begins(stage)
        assert firing(start, during := await stage.scrape()) == {alert}
        await ends(stage)
        assert firing(during, await stage.scrape()) == set()


async def a_deployment_is_missing(stage: Stage, _: StoringDatadog) -> None:
    """Datadog accepts a mark of a deployment that it does not have."""
    stage.operator.cluster.apply("late", deployment=VERSION | {"version": "3"}, changeFailure=True)
    await stage.operator.settle()
    await stage.operator.pass_time(40)


async def it_arrives(stage: Stage, datadog: StoringDatadog) -> None:
    """It is ingested; the mark is sent again and read back."""
    datadog.deployed("3")
    for _ in range(3):
        await stage.operator.pass_time(500)


async def reading_is_forbidden(stage: Stage, datadog: StoringDatadog) -> None:
    """The permission to read is taken away; nothing shows what became of the next mark for hours."""
    datadog.api.configure(datadog.api.settings.changed({"permissions": ["dora_metrics_write"]}))
    datadog.deployed("3")
    stage.operator.cluster.apply("late", deployment=VERSION | {"version": "3"}, changeFailure=True)
    await stage.operator.settle()
    for _ in range(15):
        await stage.operator.pass_time(500)


async def reading_is_allowed(stage: Stage, datadog: StoringDatadog) -> None:
    """It is given back, and noticed within an hour."""
    datadog.api.configure(datadog.api.settings.changed({"permissions": ["dora_metrics_read", "dora_metrics_write"]}))
    for _ in range(80):
        await stage.operator.pass_time(50)


@pytest.mark.parametrize(
    ("alert", "begins", "ends"),
    [
        pytest.param("DoraDeploymentMissing", a_deployment_is_missing, it_arrives, id="a deployment is missing"),
        pytest.param("DoraMarkNotVerified", reading_is_forbidden, reading_is_allowed, id="reading is forbidden"),
    ],
)
async def test_an_alert_about_what_datadog_stored_fires_alone_and_falls_silent(
    alert: str,
    begins: Callable[[Stage, StoringDatadog], Awaitable[None]],
    ends: Callable[[Stage, StoringDatadog], Awaitable[None]],
) -> None:
    """Silent while marks are verified, or changed later by a person; alone on a bad day; silent again."""
    datadog = StoringDatadog()
    async with running_operator(FakeCluster(), datadog, read_back=True) as operator:
        stage, datadog.operator = Stage(operator), operator
        changed = datadog.deployed("2")
        operator.cluster.apply("verified", deployment=VERSION, changeFailure=True)
        await operator.settle()
        await operator.pass_time(40)
        datadog.api.model.edit(changed, datadog.now, change_failure=False)
        for _ in range(2):
            await operator.pass_time(86_000)
        stage.hear()
        assert condition(operator.cluster, "verified") == ("False", "ChangedInDatadog")
        assert firing(start := await stage.scrape(), start) == set()
        await begins(stage, datadog)
        stage.hear()
        assert firing(start, during := await stage.scrape()) == {alert}
        await ends(stage, datadog)
        stage.hear()
        assert firing(during, await stage.scrape()) == set()


async def test_no_replica_leads() -> None:
    """No replica, or replicas of which none leads: this alert alone, and none for a replica that is a follower."""
    async with running_operator(FakeCluster(), FakeDatadog()) as operator:
        stage = Stage(operator)
        await no_worker_serves(stage)
        leading = await stage.scrape()
    follower = {
        labels: 0.0 if ("__name__", "dora_operator_leader") in labels else value for labels, value in leading.items()
    }
    assert firing({}, {}) == {"DoraOperatorNoLeader"}
    assert firing(follower, follower) == {"DoraOperatorNoLeader"}
    here, there = ("instance", "10.0.0.1:8080"), ("instance", "10.0.0.2:8080")
    other = {labels - {here} | {there}: value for labels, value in leading.items()}
    assert firing(follower | other, follower | other) == {"DoraOperatorQueueNotDraining"}


def test_every_alert_is_seen() -> None:
    """An alert without a story here would be one that nobody has seen."""
    source = Path(__file__).read_text(encoding="utf-8")
    assert [rule["alert"] for rule in RULES if f'"{rule["alert"]}"' not in source] == []
