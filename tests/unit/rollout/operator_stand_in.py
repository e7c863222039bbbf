"""The effectful side in a few lines, for tests: levels that change, an operator that decides, records and sends.

Verdicts go through status.source as JSON, as they do in a cluster, so a restart keeps exactly what was written.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dora_operator.domain.fields import adapter, to_api
from dora_operator.domain.rollout.decide import decide
from dora_operator.domain.rollout.observation import (
    Observation,
    observe,
    parse_replica_sets,
    parse_rollout,
)
from dora_operator.domain.rollout.verdict import (
    AbortRecovery,
    Decision,
    Memory,
    Policy,
    Skipped,
    Verdict,
    asks_again,
    record_manifest,
)

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)

Asked = tuple[str, bool, str]
"""Deployment (version or id), change failure, remediation in words or nothing."""


LINKED = Policy(abort_recovery=AbortRecovery.NEXT_VERSION)
"""Links aborts too, so that the tests see every kind of ending."""


@dataclass
class Levels:
    """What an API server would answer now."""

    rollout: Mapping[str, Any] = field(default_factory=dict)
    replica_sets: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def apply(self, line: Mapping[str, Any]) -> None:
        """Take in one line of a trace."""
        seen = line["object"]
        uid = seen["metadata"]["uid"]
        if seen["kind"] == "Rollout":
            self.rollout = seen
        elif seen["kind"] == "ReplicaSet":
            self.replica_sets[uid] = seen
            if line["type"] == "DELETED":
                del self.replica_sets[uid]


@dataclass
class Operator:
    """Decides from levels and keeps what it asked."""

    policy: Policy = LINKED
    memory: Memory = field(default_factory=Memory)
    written: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    skipped: dict[Skipped, None] = field(default_factory=dict)

    def restart(self) -> None:
        """Forget all that is not written."""
        self.memory = Memory()

    @property
    def records(self) -> list[Verdict]:
        """What is written."""
        return [adapter(Verdict).validate_json(written) for written in self.written.values()]

    def reconcile(self, levels: Levels, now: datetime = NOW) -> Decision:
        """Decide from the levels, write and send what changed."""
        if not levels.rollout:
            return Decision()
        observation = observed(levels.rollout, levels.replica_sets.values())
        decision = decide(observation, self.records, self.policy, now, self.memory)
        before = {(record.uid, record.identity): record for record in self.records}
        for verdict in decision.changes:
            name = record_manifest("shop", verdict)["metadata"]["name"]
            self.written[name] = json.dumps(to_api(verdict))
            if asks_again(before.get((verdict.uid, verdict.identity)), verdict):
                self.asked.append(asked(verdict))
        self.memory = decision.memory
        self.skipped |= dict.fromkeys(decision.skipped)
        return decision

    def last_asked(self) -> dict[str, tuple[bool, str]]:
        """Return what Datadog was last asked to know, by deployment."""
        return {deployment: (failure, remediation) for deployment, failure, remediation in self.asked}


def observed(rollout: Mapping[str, Any], replica_sets: Iterable[Mapping[str, Any]] = ()) -> Observation:
    """Parse raw objects into an observation."""
    parsed = parse_rollout(rollout)
    return observe(parsed, parse_replica_sets(parsed.uid, replica_sets))


def asked(verdict: Verdict) -> Asked:
    """Return a verdict as the request that it becomes."""
    link = verdict.remediation
    words = f"{link.type.value} {link.id or link.version}" if link else ""
    named = verdict.deployment_id or verdict.version or ""
    return named, verdict.change_failure, words
