"""Generated lives: resources change, Datadog fails, the operator is killed; the end is that of a fresh apply.

The idea is Acto's (SOSP 2023): whatever the path to a spec, its end is the same. The model is small: what the last
specs ask for is what Datadog holds, and nothing that nobody ever asked for.
"""

import random
from collections.abc import Mapping
from typing import Any

import httpx

from tests.chaos.harness import TALLY, Environment, Killer
from tests.chaos.test_crash_sweep import Step
from tests.support.fakes import FakeCluster, FakeDatadog, Operator, running_operator

IDS = ("deployment-a", "deployment-b")
NAMES = ("one", "two", "three")
STEPS = 14
TROUBLES: tuple[httpx.Response | Exception, ...] = (
    httpx.Response(503),
    httpx.Response(500, text="<html>"),
    httpx.Response(429, headers={"X-RateLimit-Reset": "3"}),
    httpx.Response(404),
    httpx.ConnectError("refused"),
    httpx.ReadTimeout("slow"),
)


def a_spec(rng: random.Random) -> dict[str, Any]:
    """Return some valid spec."""
    spec: dict[str, Any] = {"deployment": {"id": rng.choice(IDS)}, "changeFailure": rng.random() < 0.5}
    kind = {"type": rng.choice(("rollback", "rollforward"))}
    link = rng.choice(("", "", "id", "version", "doraDeploymentRef"))
    if link == "doraDeploymentRef":
        spec["remediation"] = kind | {"doraDeploymentRef": {"name": rng.choice(NAMES)}}
    elif link:
        spec["remediation"] = kind | {link: rng.choice(("good-deployment-1", "good-deployment-2"))}
    if link and rng.random() < 0.3:
        del spec["changeFailure"]
    for name, chance in (("suspend", 0.15), ("dryRun", 0.1)):
        if rng.random() < chance:
            spec[name] = True
    return spec


class RandomSteps:
    """Steps, kills and failures made from a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.created = 0
        self.asked: dict[str, list[Mapping[str, Any]]] = {}
        self.failure = 0.0

    def steps(self) -> list[Step]:
        """Return the steps."""
        return [self._step(self.rng.random()) for _ in range(STEPS)] + [self._calm()]

    def _step(self, roll: float) -> Step:
        name, spec = self.rng.choice(NAMES), a_spec(self.rng)
        failure, pause = self.rng.choice((0.0, 0.0, 0.5)), self.rng.choice((0.0, 1.0, 10.0))

        async def step(operator: Operator) -> None:
            self.failure = failure
            standing = operator.cluster.objects.get(("shop", name))  # type: ignore[call-overload]
            if roll < 0.15 and standing:
                operator.cluster.delete(name)
            else:
                self._apply(operator.cluster, name, spec, standing)
            await operator.pass_time(pause)

        return step

    def _apply(self, cluster: FakeCluster, name: str, spec: dict[str, Any], standing: Mapping[str, Any] | None) -> None:
        if standing:  # deployment is immutable: the API server refuses anything else
            spec = spec | {"deployment": standing["spec"]["deployment"]}
        else:
            self.created += 1
        self.asked.setdefault(spec["deployment"]["id"], []).append(spec)
        cluster.apply(name, age_seconds=10_000 - self.created, **spec)

    def _calm(self) -> Step:
        async def step(operator: Operator) -> None:
            self.failure = 0.0
            for _ in range(12):
                await operator.pass_time(400)

        return step

    def answer(self) -> httpx.Response | Exception | None:
        """Return how Datadog fails the next request, if it does."""
        return self.rng.choice(TROUBLES) if self.rng.random() < self.failure else None


async def fresh_apply(cluster: FakeCluster) -> dict[str, Any]:
    """Return how the objects stand that are left, applied again where nothing ever went wrong."""
    fresh = FakeCluster()
    async with running_operator(fresh, FakeDatadog()) as operator:
        for key, body in sorted(cluster.objects.items(), key=lambda item: item[1]["metadata"]["creationTimestamp"]):
            fresh.apply(key.name, **body["spec"])
            fresh.objects[key]["metadata"]["creationTimestamp"] = body["metadata"]["creationTimestamp"]
        operator.now = operator.now.replace(hour=23)
    async with running_operator(fresh, FakeDatadog()) as operator:
        await operator.pass_time(4000)
    return standing(fresh)


def standing(cluster: FakeCluster) -> dict[str, Any]:
    """Return what the statuses say, without times and the past; what is held back may rightly show the past."""
    found = {}
    for key, body in cluster.objects.items():
        if body["spec"].get("suspend") or body["spec"].get("dryRun"):
            continue
        conditions = {one["type"]: (one["status"], one["reason"]) for one in body["status"]["conditions"]}
        found[key.name] = (conditions, body["status"].get("desired"))
    return found


def held_wrongly(random_steps: RandomSteps, environment: Environment) -> list[str]:
    """Return in which way Datadog holds something else than the last specs ask for."""
    wrong = []
    held = environment.datadog.marks()
    for deployment, fields in held.items():
        for name, value in fields.items():
            ever = [_wanted(spec, name) for spec in random_steps.asked.get(deployment, [])]
            if value not in ever and not (
                name == "remediation" and any(map(_is_reference, random_steps.asked[deployment]))
            ):
                wrong.append(f"{deployment}: nobody ever asked for {name} {value}")
    for body in environment.cluster.objects.values():
        ready = next(one for one in body["status"]["conditions"] if one["type"] == "Ready")
        deployment = body["spec"]["deployment"]["id"]
        if ready["status"] == "True" and "changeFailure" in body["spec"]:
            got = held.get(deployment, {}).get("change_failure")
            if got != body["spec"]["changeFailure"]:
                wrong.append(f"{deployment}: {got} instead of what {body['metadata']['name']} says")
    return wrong


def _wanted(spec: Mapping[str, Any], name: str) -> object:
    if name == "change_failure":
        return spec.get("changeFailure")
    return spec.get("remediation")


def _is_reference(spec: Mapping[str, Any]) -> bool:
    return "doraDeploymentRef" in (spec.get("remediation") or {})


async def test_whatever_the_path_the_end_is_the_same(seeds: range) -> None:
    """Changes, deletions, kills and failures in any order; then Datadog and every status are as after a fresh apply."""
    for seed in seeds:
        random_steps = RandomSteps(seed)
        steps = random_steps.steps()
        at = frozenset(
            random_steps.rng.choice((-1, 1)) * random_steps.rng.randint(1, 60)
            for _ in range(random_steps.rng.randint(0, 4))
        )
        environment = Environment(Killer(at))
        environment.datadog.failure = random_steps.answer
        await environment.live(steps)
        wrong = held_wrongly(random_steps, environment)
        expected, found = await fresh_apply(environment.cluster), standing(environment.cluster)
        TALLY.add(
            "sequences",
            environment,
            undisturbed=len(environment.datadog.applied),
            wrong=bool(wrong) or found != expected,
        )
        assert not wrong, f"CHAOS_SEED={seed}: {wrong}"
        assert found == expected, f"CHAOS_SEED={seed}"
