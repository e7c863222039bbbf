"""The effectful side in a few lines, for tests: levels that change, an operator that looks, records and sends.

Records go through their manifests as JSON, as they do in a cluster, so a restart keeps exactly what was written down.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dora_operator.domain.rollout.decide import decide
from dora_operator.domain.rollout.manifest import read_record, wanted_resource
from dora_operator.domain.rollout.observation import observe
from dora_operator.domain.rollout.verdict import Decision, Memory, Notice, Policy, Verdict, asks_again

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)

Asked = tuple[str, bool, str]
"""Deployment (version or id), change failure, remediation in words or nothing."""


@dataclass
class Levels:
    """What an API server would answer now."""

    rollout: Mapping[str, Any] = field(default_factory=dict)
    replica_sets: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    events: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def apply(self, line: Mapping[str, Any]) -> None:
        """Take in one line of a trace."""
        seen = line["object"]
        uid = seen["metadata"]["uid"]
        if seen["kind"] == "Rollout":
            self.rollout = seen
        elif seen["kind"] in {"ReplicaSet", "Event"}:
            kept = self.replica_sets if seen["kind"] == "ReplicaSet" else self.events
            kept[uid] = seen
            if line["type"] == "DELETED":
                del kept[uid]


@dataclass
class Operator:
    """Looks at levels and keeps what it asked; with `lists_events` it does as `Decision.wants_events` advises."""

    policy: Policy = field(default_factory=Policy)
    lists_events: bool = True
    memory: Memory = field(default_factory=Memory)
    manifests: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    notices: dict[Notice, None] = field(default_factory=dict)

    def restart(self) -> None:
        """Forget all that is not written down."""
        self.memory = Memory()

    @property
    def records(self) -> list[Verdict]:
        """What is written down."""
        read = [read_record(json.loads(manifest)) for manifest in self.manifests.values()]
        return [record for record in read if record is not None]

    def look(self, levels: Levels, now: datetime = NOW) -> Decision:
        """Decide from the levels, write down and send what changed."""
        if not levels.rollout:
            return Decision()
        decision = self._decide(levels, now, None)
        if decision.wants_events and self.lists_events:
            decision = self._decide(levels, now, levels.events.values())
        before = {(record.rollout_uid, record.identity.key): record for record in self.records}
        observation = observe(levels.rollout, levels.replica_sets.values())
        for verdict in decision.changes:
            manifest = wanted_resource(observation, verdict)
            self.manifests[manifest["metadata"]["name"]] = json.dumps(manifest)
            if asks_again(before.get((verdict.rollout_uid, verdict.identity.key)), verdict):
                self.asked.append(asked(verdict))
        self.memory = decision.memory
        self.notices |= dict.fromkeys(decision.notices)
        return decision

    def standing(self) -> dict[str, tuple[bool, str]]:
        """Return what Datadog was last asked to know, by deployment."""
        return {deployment: (failure, remediation) for deployment, failure, remediation in self.asked}

    def _decide(self, levels: Levels, now: datetime, events: Iterable[Mapping[str, Any]] | None) -> Decision:
        observation = observe(levels.rollout, levels.replica_sets.values(), events)
        return decide(observation, self.records, self.policy, now, self.memory)


def asked(verdict: Verdict) -> Asked:
    """Return a verdict as the request that it becomes."""
    link = verdict.remediation
    words = f"{link.type.value} {link.deployment_id or link.version}" if link else ""
    named = getattr(verdict.identity, "deployment_id", None) or verdict.identity.version
    return named, verdict.change_failure, words
