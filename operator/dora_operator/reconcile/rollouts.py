"""From what a Rollout does to DoraDeployments: its verdicts are written down before anything is sent.

Joins `domain.rollout` with the ports. Sends marks never itself: that is the way of the DoraDeployment.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from dora_operator.domain.notices import EventNote
from dora_operator.domain.object_key import ObjectKey
from dora_operator.domain.rollout.in_order import decide_in_order
from dora_operator.domain.rollout.observation import Observation, observe
from dora_operator.domain.rollout.timeline import position
from dora_operator.domain.rollout.verdict import Decision, Kind, Notice, Policy, RestoredDeployment, Verdict
from dora_operator.inventory import Known
from dora_operator.meter import NO_METER, Meter
from dora_operator.ports import ClusterPort
from dora_operator.reconcile.events import EventQueue
from dora_operator.reconcile.known_rollouts import KnownRollout, KnownRollouts, Progress, ignored
from dora_operator.reconcile.namespaces import Namespaces
from dora_operator.reconcile.recording import REFUSED_SECONDS, Recorder, RolloutVisit, has_not_heard
from dora_operator.reconcile.records import Records
from dora_operator.reconcile.restoring import Restorer


@dataclass(slots=True)
class RolloutReconciler:
    """Looks at one Rollout at a time per key; the caller sees to that."""

    rollouts: KnownRollouts
    cluster: ClusterPort
    namespaces: Namespaces
    events: EventQueue
    recorder: Recorder
    restorer: Restorer
    own: Records
    policy: Policy
    clock: Callable[[], datetime]
    meter: Meter = NO_METER

    async def reconcile(self, key: ObjectKey) -> RolloutVisit:
        """Decide what a Rollout means, and write it down.

        Raises:
            ClusterUnavailableError: the API server has to be asked again; the levels are still there.
        """
        known = self.rollouts.get(key)
        self.rollouts.are_decided = True
        if known is None or ignored(known.body["metadata"].get("annotations")):
            return RolloutVisit()
        if known.needs_replica_sets():
            await self._list(known)
        shown = (*known.passed, known.body)
        observation, decision = await self._decide(known, shown)
        followers = self.recorder.followers(key)
        untold = [verdict for verdict in decision.verdicts if self._is_untold(verdict, decision, followers)]
        wanted = [verdict for verdict in untold if not self.recorder.is_refused(known, verdict)]
        notices = [notice for notice in decision.notices if notice not in known.told]
        visit = RolloutVisit(again_at=self._look_for_room(known, untold, wanted))
        if (wanted or notices) and not ignored(await self.namespaces.annotations(key.namespace)):
            self._tell(known, notices)
            visit = await self.recorder.write_down(known, observation, wanted)
        known.learn(decision, shown, settled=position(observation) is not None)
        await self.own.hand_over(key)
        return await self._restore(known, observation, decision, visit)

    def _look_for_room(self, known: KnownRollout, untold: list[Verdict], wanted: list[Verdict]) -> datetime | None:
        """Where a user owns the place of a verdict, look again later: what the user does there wakes nobody."""
        known.refused = {verdict: refusal for verdict, refusal in known.refused.items() if verdict in untold}
        return self.clock() + timedelta(seconds=REFUSED_SECONDS) if len(wanted) < len(untold) else None

    async def _list(self, known: KnownRollout) -> None:
        labels = ((known.body.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
        known.listed(await self.cluster.list_replica_sets(known.key.namespace, labels))

    async def _decide(self, known: KnownRollout, shown: Sequence[Mapping[str, Any]]) -> tuple[Observation, Decision]:
        records, now = self.recorder.records(known.key), self.clock()
        observations = [observe(body, known.replica_sets) for body in shown]
        decision = decide_in_order(observations, records, self.policy, now, known.memory)
        if decision.wants_events:
            events = await self.cluster.list_events(known.subject)
            observations[-1] = observe(shown[-1], known.replica_sets, events)
            decision = decide_in_order(observations, records, self.policy, now, known.memory)
        return observations[-1], decision

    def _is_untold(self, verdict: Verdict, decision: Decision, followers: list[Known]) -> bool:
        """A verdict is written down when it is new, or when a DoraDeployment that follows it has not heard of it."""
        return verdict in decision.changes or any(has_not_heard(known, verdict) for known in followers)

    def _tell(self, known: KnownRollout, notices: Iterable[Notice]) -> None:
        for notice in notices:
            self.events.tell(known.subject, EventNote("Warning", notice.about.value, notice.message))
            known.told.add(notice)
            self.meter.notice(notice.about)

    async def _restore(
        self, known: KnownRollout, observation: Observation, decision: Decision, visit: RolloutVisit
    ) -> RolloutVisit:
        """Record the return to the stable version after an abort, where the setting asks for it: step by step."""
        owed = [each for each in decision.verdicts if each.kind is Kind.ABORTED and not each.remediation]
        known.restoring = {name: known.restoring.get(name, Progress()) for name in map(_failure, owed)}
        if self.policy.restored_deployment is not RestoredDeployment.RECORD or not owed:
            return visit
        if visit.wrote:  # marks first: who carries this verdict has to know it before the next step
            return replace(visit, again_at=visit.again_at or self.clock())
        if ignored(await self.namespaces.annotations(known.key.namespace)):
            return visit
        if observation.abort and any(each.restored_at is None for each in owed):
            await self._list(known)
            observation = observe(known.body, known.replica_sets)
        steps = [await self._step(known, observation, each) for each in owed]
        stored = tuple(body for step in steps for body in step.stored)
        wake = frozenset(key for step in steps for key in step.wake)
        return RolloutVisit(stored, wake, _earliest(visit, *steps))

    async def _step(self, known: KnownRollout, observation: Observation, verdict: Verdict) -> RolloutVisit:
        progress = known.restoring[_failure(verdict)]
        progress.marked = self.recorder.is_marked(known.key, verdict)
        step = await self.restorer.step(observation, verdict, self.policy, progress)
        if step.note is not None:
            self.events.tell(known.subject, step.note)
        if step.write is None or self.recorder.is_refused(known, step.write):
            return RolloutVisit(again_at=step.again_at if step.write is None else None)
        visit = await self.recorder.write_down(known, observation, [step.write])
        return replace(visit, again_at=visit.again_at or step.again_at)


def _failure(verdict: Verdict) -> tuple[str, int]:
    return verdict.identity.key, verdict.revision


def _earliest(*visits: RolloutVisit) -> datetime | None:
    return min((visit.again_at for visit in visits if visit.again_at is not None), default=None)
