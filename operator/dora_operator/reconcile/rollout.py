"""Reconcile one Rollout: decide what its state means, and record the verdicts before anything is sent.

Sends nothing to Datadog: that is the way of the DoraDeployment that carries a verdict.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from dora_operator.clients.kubernetes import KubernetesClient
from dora_operator.domain.events import EventNote
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.rollout.decide import decide_in_order
from dora_operator.domain.rollout.observation import (
    Observation,
    Rollout,
    observe,
    parse_replica_sets,
)
from dora_operator.domain.rollout.timeline import position
from dora_operator.domain.rollout.verdict import Decision, Policy, Skipped, Verdict, is_ignored
from dora_operator.metrics import Metrics
from dora_operator.reconcile.context import NamespaceAnnotations
from dora_operator.reconcile.events import EventPoster
from dora_operator.reconcile.records import REFUSED_RECHECK, Records, subject_of
from dora_operator.store import RolloutStore, TrackedRollout
from dora_operator.workqueue import Result


@dataclass(slots=True)
class RolloutReconciler:
    """Reconciles Rollouts. The queue sees to it that one key is reconciled once at a time."""

    store: RolloutStore
    client: KubernetesClient
    namespaces: NamespaceAnnotations
    records: Records
    events: EventPoster
    metrics: Metrics
    policy: Policy
    clock: Callable[[], datetime]

    async def reconcile(self, key: ObjectKey) -> Result:
        """Decide what a Rollout means, and record it. Return when to reconcile again.

        Raises:
            KubernetesError: the API server has to be asked again; the Rollout still shows what it did.
        """
        tracked = self.store.get(key)
        self.store.are_decided = True
        if tracked is None:
            return Result()
        if is_ignored(tracked.rollout.annotations):
            tracked.undecided = ()
            return Result()
        if tracked.needs_replica_sets():
            await self._list_replica_sets(tracked)
        shown = (*tracked.undecided, tracked.rollout)
        observation, decision = self._decide(tracked, shown)
        missing = self._missing(key, decision)
        wanted = [verdict for verdict in missing if not self.records.is_refused(tracked, verdict)]
        skipped = [each for each in decision.skipped if each not in tracked.reported]
        tracked.refused = {verdict: refusal for verdict, refusal in tracked.refused.items() if verdict in missing}
        if (wanted or skipped) and not is_ignored(await self.namespaces.read(key.namespace)):
            self._report(tracked, skipped)
            await self.records.write(tracked, wanted)
        tracked.decided(decision, shown, settled=position(observation) is not None)
        return Result(self.clock() + REFUSED_RECHECK if tracked.refused else None)

    async def _list_replica_sets(self, tracked: TrackedRollout) -> None:
        rollout = tracked.rollout
        found = await self.client.list_replica_sets(rollout.key.namespace, rollout.match_labels)
        tracked.listed(parse_replica_sets(rollout.uid, found))

    def _decide(self, tracked: TrackedRollout, shown: Sequence[Rollout]) -> tuple[Observation, Decision]:
        records, now = self.records.verdicts(tracked.rollout.key), self.clock()
        observations = [observe(rollout, tracked.replica_sets) for rollout in shown]
        return observations[-1], decide_in_order(observations, records, self.policy, now, tracked.memory)

    def _missing(self, key: ObjectKey, decision: Decision) -> list[Verdict]:
        """Return the verdicts that are new, or that a resource which follows them does not have yet."""
        followers = self.records.followers(key)
        return [
            verdict
            for verdict in decision.verdicts
            if verdict in decision.changes or any(self.records.is_outdated(each, verdict) for each in followers)
        ]

    def _report(self, tracked: TrackedRollout, skipped: Sequence[Skipped]) -> None:
        for each in skipped:
            self.events.post(subject_of(tracked), EventNote("Warning", each.reason.value, each.message))
            tracked.reported.add(each)
            self.metrics.rollout_skipped.labels(each.reason.value).inc()
