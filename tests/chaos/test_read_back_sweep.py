"""Killed at every outgoing request of a read-back and of a creation, against a Datadog that stores.

Before each request and after its effect; the next process begins seconds later, or minutes. The end is as without a
kill: the same marks and links in Datadog, the same conditions and pinned ids in Kubernetes, and of each failed
revision one deployment event at most, whatever was repeated.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from dora_operator.domain.read_schedule import LINK_READS
from tests.chaos.harness import TALLY, KilledCluster, KilledError, Killer
from tests.support.builders import NOW
from tests.support.fakes import Operator, running_operator
from tests.support.levels import Rollout
from tests.support.storing import StoringDatadog

VERSION = {"service": "checkout", "env": "prod", "version": "2"}
DAY = 86_400.0
CLOCK = [
    *range(1, 40, 3),
    *range(40, 130, 10),
    *range(130, 1000, 30),
    *range(1000, 4000, 300),
    *range(4000, 200_000, 12_000),
]
"""When something may happen, in seconds: often while reads are frequent."""


@dataclass
class KilledStore(StoringDatadog):
    """A Datadog that stores, whose every request may be the operator's last."""

    killer: Killer = field(default_factory=Killer)
    marks: set[tuple[str | None, str]] = field(default_factory=set)
    """What was accepted, as the deployment that it reached, if there was one, and the rest of its attributes."""

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        number = self.killer.before(f"{request.method} {request.url.path}")
        reached = self._reached(request) if request.method == "PATCH" else None
        answer = await super().__call__(request)
        if reached is not None and answer.is_success:
            self.marks.add(reached)
        self.killer.after(number)
        return answer

    def _reached(self, request: httpx.Request) -> tuple[str | None, str]:
        data = json.loads(request.content)["data"]
        found, tags = data.get("id"), [data["attributes"].pop(name, None) for name in ("service", "env", "version")]
        if found is None:
            service, env, version = tags
            self.api.model.settle(self.now)
            newest = self.api.model.newest((service, env, version))
            found = newest.id if newest is not None else None
        return found, json.dumps(data["attributes"], sort_keys=True)


Step = Callable[["Environment"], None]


@dataclass
class Environment:
    """What outlives processes: a cluster, a Datadog, a Rollout, and what happens to them in time."""

    steps: dict[float, Step]
    settings: dict[str, Any]
    killer: Killer = field(default_factory=Killer)
    pause: timedelta = timedelta(seconds=2)
    """From a kill to the next process."""
    rollout: Rollout = field(default_factory=Rollout)
    now: datetime = NOW
    operator: Operator | None = None
    has_missed: bool = False
    """The Rollout has taken several steps while no process watched it: nobody knows what was in between."""

    def __post_init__(self) -> None:
        """Make both."""
        self.cluster = KilledCluster(killer=self.killer)
        self.datadog = KilledStore(killer=self.killer)
        self.left = sorted(self.steps.items())

    def play(self, word: str, *arguments: str) -> None:
        """Take a step of the Rollout."""
        getattr(self.rollout, word)(*arguments)
        if self.operator is not None:
            self.rollout.show(self.operator)

    async def live(self) -> None:
        """Let processes run, one after the other, until all is over."""
        led_until = None
        for _ in range(len(self.killer.at) + 2):
            try:
                await self._life(led_until)
            except KilledError:
                self.cluster.report = lambda *_: None
                led_until, self.operator = self.now, None
                self.now += self.pause
                self._pass_missed()
            else:
                return
        raise AssertionError("more lives than kills")

    def _pass_missed(self) -> None:
        """Take the steps that fall between two processes."""
        revision, status = self.rollout.revision, dict(self.rollout.status)
        is_unwritten = status.get("abort", False) and "Aborted" not in str(self.cluster.histories)
        changes = 0
        while self.left and NOW + timedelta(seconds=self.left[0][0]) <= self.now:
            at, step = self.left.pop(0)
            self.rollout.now = NOW + timedelta(seconds=at)
            step(self)
            changes += (revision, status) != (self.rollout.revision, self.rollout.status)
            revision, status = self.rollout.revision, dict(self.rollout.status)
        self.has_missed |= changes > 1 or (changes == 1 and is_unwritten)

    async def _life(self, led_until: datetime | None) -> None:
        async with running_operator(
            self.cluster, self.datadog, now=self.now, leads=False, read_back=True, **self.settings
        ) as operator:
            self.operator = self.datadog.operator = operator
            if self.rollout.templates:
                self.rollout.show_listed(operator)
            operator.lead(led_until)
            await operator.settle()
            for moment in [NOW + timedelta(seconds=seconds) for seconds in CLOCK]:
                while self.left and NOW + timedelta(seconds=self.left[0][0]) <= moment:
                    at, step = self.left.pop(0)
                    self.rollout.now = NOW + timedelta(seconds=at)
                    step(self)
                    await operator.settle()
                if moment > operator.now:
                    self.now = operator.now = moment
                    await operator.settle()

    def end(self) -> dict[str, Any]:
        """Return what has come of it: in Datadog, and in Kubernetes without times."""
        found: dict[str, Any] = {
            each.id: (each.event.version, each.change_failure, each.remediation and each.remediation.id)
            for each in self.datadog.api.model.visible(self.datadog.now)
        }
        for key, body in self.cluster.objects.items():
            status = body["status"]
            conditions = {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}
            kept = {name: status.get(name) for name in ("desired", "accepted", "target", "attempts", "lastError")}
            found[key.name] = kept | conditions
        return found

    def events(self) -> dict[str, set[bytes]]:
        """Return the different bodies of the deployment events that were sent, by id."""
        found: dict[str, set[bytes]] = {}
        for each in self.datadog.requests:
            if each.url.path.endswith("/deployment"):
                deployment_id = json.loads(each.content)["data"]["attributes"]["id"]
                found.setdefault(deployment_id, set()).add(each.content)
        return found

    def reads(self) -> int:
        """Return how often was read."""
        return len(self.datadog.calls("list", "get"))


def deployed(version: str, seconds: float) -> Step:
    """Return the step of a deployment that Datadog ingests now; it finished so many seconds after the beginning."""

    def step(environment: Environment) -> None:
        environment.datadog.deployed(
            version, finished=NOW + timedelta(seconds=seconds), id=f"deployment-{version}-{seconds}"
        )

    return step


def applied(environment: Environment) -> None:
    """A user applies a mark."""
    environment.cluster.apply("mine", deployment=VERSION, changeFailure=True)


def rolls(word: str, *arguments: str) -> Step:
    """Return a step of the Rollout."""
    return lambda environment: environment.play(word, *arguments)


def away(environment: Environment) -> None:
    """Datadog answers 503 from now on."""
    environment.datadog.before = lambda _: httpx.Response(503)


def back(environment: Environment) -> None:
    """Datadog answers again."""
    environment.datadog.before = lambda _: None


ABORTED: dict[float, Step] = {
    5: rolls("deploy", "h1", "1"),
    10: rolls("promote"),
    15: rolls("deploy", "h2", "2"),
    20: rolls("abort"),
}
UNDONE = ABORTED | {20: rolls("promote"), 25: rolls("deploy", "h1"), 30: rolls("promote")}
AWAY = ABORTED | {18: away, 40: rolls("retry"), 41: deployed("2", 19), 106: deployed("2", 105), 130: back}
"""Away across an abort and its retry. The retry's deployment began a minute before it finished."""
CREATE = {"on_missing": "Create"}
SCENARIOS: dict[str, tuple[dict[float, Step], dict[str, Any]]] = {
    "a mark that is there": ({1: deployed("2", -60), 2: applied}, {}),
    "a mark that was lost": ({2: applied, 60: deployed("2", -60)}, {}),
    "a missing deployment": ({2: applied}, {}),
    "an abort and its retry while Datadog is away": (AWAY, {}),
    "an abort, its retry and its end while Datadog is away": (AWAY | {120: rolls("promote")}, {}),
    "a creation after a retry": (AWAY | {41: away}, CREATE),
    "a creation": (ABORTED, CREATE),
    "a creation and the real one after it": (ABORTED | {2000: deployed("2", 20)}, CREATE),
    "a rollback that Datadog sees late": (
        {0: deployed("1", -DAY)} | UNDONE | {21: deployed("2", 20), 90: deployed("1", 30)},
        {},
    ),
    "a rollback that Datadog never sees": ({0: deployed("1", -DAY)} | UNDONE | {21: deployed("2", 20)}, {}),
}


@pytest.mark.parametrize("pause", [2, 300], ids=["back in two seconds", "back in five minutes"])
@pytest.mark.parametrize("name", SCENARIOS)
async def test_the_end_is_the_same_wherever_it_was_killed(name: str, pause: int) -> None:
    """No wrong mark on the way, no second event, and at most one read more than without a kill.

    A link is checked from the beginning again by the next process, and the backoff of a late mark begins later.
    """
    more = 1 + LINK_READS if "rollback" in name else 3 if "retry" in name else 1
    calm = Environment(*SCENARIOS[name])
    await calm.live()
    assert calm.datadog.marks or "its end" in name  # what recovered before it was marked is not marked
    for number in range(1, calm.killer.count + 1):
        for at in (-number, number):
            environment = Environment(*SCENARIOS[name], Killer(frozenset({at})), timedelta(seconds=pause))
            await environment.live()
            what = f"killed {'before' if at < 0 else 'after'} request {number}, {calm.killer.log[number - 1]}"
            wrong = environment.end() != calm.end() and not environment.has_missed
            undisturbed = len(calm.datadog.requests)
            TALLY.add(f"read-back sweep: {name}", environment, undisturbed=undisturbed, wrong=wrong)
            assert environment.killer.kills == 1, what
            assert environment.datadog.marks <= calm.datadog.marks, what
            if environment.has_missed:
                continue
            assert environment.end() == calm.end(), what
            assert environment.events().keys() == calm.events().keys(), what
            assert all(len(bodies) == 1 for bodies in environment.events().values()), what
            assert environment.reads() <= calm.reads() + more, what
