"""Killed at every single outgoing request, before it and after its effect: the end is that of a life without a kill.

The idea is Sieve's "intermediate state" (OSDI 2022): every prefix of a reconcile's effects is a state from which the
next process has to find the way.
"""

from collections.abc import Awaitable, Callable

import pytest

from dora_operator.domain.fields import ObjectKey
from tests.chaos.harness import TALLY, Environment, Killer
from tests.flow.test_rollouts import take_in
from tests.support.fakes import Operator
from tests.unit.rollout.test_traces import Lines, trace

Step = Callable[[Operator], Awaitable[None]]


def applied(name: str, **spec: object) -> Step:
    """Return the step of a user who applies a resource."""

    async def step(operator: Operator) -> None:
        operator.cluster.apply(name, **spec)

    return step


def by_hand() -> list[Step]:
    """Marks by id, a link to another resource, a change, and keys of one's own."""

    async def secret(operator: Operator) -> None:
        operator.cluster.put_secret("mine", "my-api-key")

    fix = {"id": "deployment-fix"}
    link = {"type": "rollforward", "doraDeploymentRef": {"name": "fix"}}
    return [
        applied("bad", deployment={"id": "deployment-bad"}, changeFailure=True),
        applied("fix", deployment=fix, changeFailure=False),
        applied("bad", deployment={"id": "deployment-bad"}, changeFailure=True, remediation=link),
        secret,
        applied(
            "other", deployment={"id": "deployment-other"}, changeFailure=True, credentialsSecretRef={"name": "mine"}
        ),
        applied("fix", deployment=fix, changeFailure=True),
    ]


def from_trace(name: str, environment: Environment) -> list[Step]:
    """Return each line of a real Rollout's life as a step."""

    def step_of(line: dict) -> Step:
        async def step(operator: Operator) -> None:
            if line["object"]["kind"] == "Rollout" and line["type"] != "DELETED":
                metadata = line["object"]["metadata"]
                environment.rollouts[metadata["namespace"], metadata["name"]] = line["object"]  # type: ignore[index]
            take_in(operator, line)

        return step

    return [step_of(line) for line in trace(name)]


ABORT = "canary-manual-abort"
TAKEN_OVER = "abort taken over by a user"


def taken_over(environment: Environment) -> list[Step]:
    """A user's resource about the same version comes when the mark is made."""
    rollout = world_rollout(trace(ABORT))
    version = {"service": "checkout", "env": "prod", "version": "1.1.0"}
    mine = applied("mine", namespace=rollout.namespace, deployment=version, sourceRef={"name": rollout.name})
    return [*from_trace(ABORT, environment), mine]


def world_rollout(lines: Lines) -> ObjectKey:
    """Return where the Rollout of a trace lives."""
    return next(
        ObjectKey(*(line["object"]["metadata"][part] for part in ("namespace", "name")))
        for line in lines
        if line["object"]["kind"] == "Rollout"
    )


def steps_of(scenario: str, environment: Environment) -> list[Step]:
    """Return the steps of a scenario."""
    if scenario == "by hand":
        return by_hand()
    if scenario == TAKEN_OVER:
        return taken_over(environment)
    return from_trace(scenario, environment)


@pytest.mark.parametrize(
    "scenario",
    ["by hand", "abort-then-roll-forward", "abort-retry-promoted", "promoted-then-undo", TAKEN_OVER],
)
async def test_the_end_is_the_same_wherever_it_was_killed(scenario: str) -> None:
    """No mark is lost or invented, and at most what was in flight at a kill is sent again."""
    calm = Environment(Killer())
    await calm.live(steps_of(scenario, calm))
    assert calm.datadog.marks()
    for number in range(1, calm.killer.count + 1):
        for at in (-number, number):
            environment = Environment(Killer(frozenset({at})))
            await environment.live(steps_of(scenario, environment))
            what = f"killed {'before' if at < 0 else 'after'} request {number}, {calm.killer.log[number - 1]}"
            wrong = environment.datadog.marks() != calm.datadog.marks()
            TALLY.add(f"crash sweep: {scenario}", environment, undisturbed=len(calm.datadog.requests), wrong=wrong)
            assert environment.killer.kills == 1, what
            assert not wrong, f"{what}: {environment.datadog.marks()} instead of {calm.datadog.marks()}"
            assert len(environment.datadog.requests) <= len(calm.datadog.requests) + 1, what
