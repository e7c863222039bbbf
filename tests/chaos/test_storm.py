"""Generated lives under load: many workers, several accounts and namespaces, keys and lists that change, kills."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

from dora_operator.domain.fields import ObjectKey
from sandbox import virtual
from tests.chaos.harness import TALLY
from tests.chaos.storm import StormyCluster, StormyDatadog, process

IDS = ("deployment-a", "deployment-b", "deployment-c")
NAMES = ("one", "two", "three", "four")
NAMESPACES = ("shop", "pay")
SECRETS = ("mine", "copy")
LISTS = ({}, {"dora-operator.io/allowed-services": "checkout"}, {"dora-operator.io/allowed-services": "cart"})
PASSING = {"DatadogUnavailable", "DatadogUnreachable", "DatadogTimeout", "RateLimited", "DeploymentNotFound"}
"""Reasons that must be gone when Datadog has been well for hours."""
CALM_SECONDS = 3 * 3600


def a_spec(rng: random.Random) -> dict[str, Any]:
    """Return some valid spec."""
    by_id = rng.random() < 0.6
    version = {"service": "checkout", "env": "prod", "version": rng.choice(("1.0.0", "1.1.0"))}
    spec: dict[str, Any] = {"deployment": {"id": rng.choice(IDS)} if by_id else version}
    spec["changeFailure"] = rng.random() < 0.5
    link = rng.choice(("", "", "id", "version", "doraDeploymentRef"))
    if link:
        named = {"id": "good-deployment-1", "version": rng.choice(("0.9.0", "0.8.0"))}
        by = {"name": rng.choice(NAMES)} if link == "doraDeploymentRef" else named[link]
        spec["remediation"] = {"type": "rollback", link: by}
        if by_id and rng.random() < 0.3:
            del spec["changeFailure"]
    odds: dict[str, tuple[float, Any]] = {
        "suspend": (0.1, True),
        "dryRun": (0.1, True),
        "credentialsSecretRef": (0.5, {"name": rng.choice(SECRETS)}),
        "site": (0.15, "datadoghq.eu"),
    }
    return spec | {name: value for name, (chance, value) in odds.items() if rng.random() < chance}


class Storm:
    """Changes, kills and failures at once, made from a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.cluster = StormyCluster(rng=random.Random(seed + 1))
        self.datadog = StormyDatadog(rng=random.Random(seed + 2))
        self.created = self.kills = 0
        for namespace in NAMESPACES:
            for name in SECRETS:
                self.cluster.put_secret(name, "a-key", namespace)

    async def run(self) -> list[str]:
        """Live, and return what was wrong."""
        for _ in range(self.rng.randint(1, 3)):
            async with process(self.cluster, self.datadog):
                for _ in range(self.rng.randint(4, 14)):
                    self._change()
                    await asyncio.sleep(self.rng.choice((0.0, 0.001, 0.04, 0.4, 3.0, 70.0)))
            self.kills += 1
        self.datadog.failures = self.cluster.failures = 0.0
        async with process(self.cluster, self.datadog) as operator:
            await asyncio.sleep(CALM_SECONDS)
            while operator.app.deployment_workers.queue.busy:  # what is not allowed is checked again every minute  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            return [*self.datadog.broken, *self._wrong()]

    def _change(self) -> None:
        rng = self.rng
        self.datadog.failures, self.cluster.failures = rng.choice((0.0, 0.0, 0.3, 0.8)), rng.choice((0.0, 0.0, 0.2))
        if rng.random() < 0.1:
            self.cluster.annotations = dict(rng.choice(LISTS))
        if rng.random() < 0.15:
            name, namespace = rng.choice(SECRETS), rng.choice(NAMESPACES)
            if self.cluster.secrets.pop(ObjectKey(namespace, name), None) is None:
                self.cluster.put_secret(name, rng.choice(("a-key", "another-key")), namespace)
        self._edit(ObjectKey(rng.choice(NAMESPACES), rng.choice(NAMES)))

    def _edit(self, key: ObjectKey) -> None:
        standing = self.cluster.objects.get(key)
        if standing and self.rng.random() < 0.2:
            self.cluster.delete(key.name, key.namespace)
            return
        spec = a_spec(self.rng)
        if standing:  # deployment is immutable
            spec["deployment"] = standing["spec"]["deployment"]
        self.created += standing is None
        self.cluster.apply(key.name, namespace=key.namespace, age_seconds=10_000 - self.created, **spec)

    def _wrong(self) -> list[str]:
        """Return in which way the end is not what the specs ask for."""
        found = []
        for key, body in self.cluster.objects.items():
            conditions = {one["type"]: one for one in body["status"].get("conditions", ())}
            if body["status"].get("observedGeneration") != body["metadata"]["generation"] or not conditions:
                found.append(f"{key}: the status is not of the newest spec")
            elif conditions["Ready"]["reason"] in PASSING:
                found.append(f"{key}: still {conditions['Ready']['reason']}")
            elif conditions["Ready"]["status"] == "True" and not _is_held_back(body):
                found += self._not_held(key, body)
        return found

    def _not_held(self, key: ObjectKey, body: Mapping[str, Any]) -> list[str]:
        spec, desired = body["spec"], body["status"]["desired"]
        host, chosen = f"api.{spec.get('site', 'datadoghq.com')}", spec["deployment"]
        if "id" not in chosen and "credentialsSecretRef" in spec:
            return []  # the account that it was accepted by may have been another
        named = (
            ("version", "own-api", *(chosen[name] for name in chosen)) if "id" not in chosen else ("id", chosen["id"])
        )
        held = self.datadog.held.get((host, *named), {})
        wanted = {"change_failure": desired.get("changeFailure"), "remediation": desired.get("remediation")}
        return [
            f"{key}: Datadog has {name} {held.get(name)} instead of {value}"
            for name, value in wanted.items()
            if value not in (None, held.get(name))
        ]


def _is_held_back(body: Mapping[str, Any]) -> bool:
    """Return whether the status may rightly speak of the past."""
    return bool(body["spec"].get("suspend") or body["spec"].get("dryRun"))


def test_in_a_storm_the_rules_hold_and_the_end_is_right(seeds: range) -> None:
    """No request before a reset, no more than eight for one key, never two about one deployment; nothing lost."""
    for seed in seeds:
        storm = Storm(seed)
        wrong = virtual.run(storm.run())
        TALLY.runs["storms"] += 1
        TALLY.kills["storms"] += storm.kills
        TALLY.requests["storms"] += storm.datadog.count
        TALLY.wrong["storms"] += bool(wrong)
        assert not wrong, f"CHAOS_SEED={seed}: {wrong[:5]}"
