"""From what a Rollout does to DoraDeployments: its verdicts are written down before anything is sent.

Joins `domain.rollout` with the ports. Sends marks never itself: that is the way of the DoraDeployment.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dora_operator.domain.links import rollout as rollout_link
from dora_operator.domain.notices import EventNote
from dora_operator.domain.object_key import ObjectKey
from dora_operator.domain.rollout.decide import decide
from dora_operator.domain.rollout.follow import follows, to_status
from dora_operator.domain.rollout.manifest import wanted_resource
from dora_operator.domain.rollout.observation import Observation, observe
from dora_operator.domain.rollout.verdict import Decision, Kind, Notice, Policy, RestoredDeployment, Verdict
from dora_operator.inventory import Inventory, Known
from dora_operator.meter import NO_METER, Meter
from dora_operator.ports import ClusterPort, NotOursError, Subject
from dora_operator.reconcile.board import VerdictBoard, record_of, remembered_verdict
from dora_operator.reconcile.events import EventQueue
from dora_operator.reconcile.known_rollouts import KnownRollout, KnownRollouts, ignored
from dora_operator.reconcile.namespaces import Namespaces
from dora_operator.reconcile.records import Records
from dora_operator.reconcile.restoring import Restorer
from dora_operator.reconcile.surroundings import spec_of
from dora_operator.reconcile.writer import ROLLOUT_API_VERSION, read_status

logger = logging.getLogger(__name__)

HAND_OVER_SECONDS = 1.0
RESTORING_SECONDS = 2.0
LONGEST_RESTORING_SECONDS = 60.0
"""How often an aborted Rollout is looked at while its stable version is not whole again; pauses grow between these."""


@dataclass(frozen=True, slots=True)
class RolloutVisit:
    """What a look at a Rollout leaves to do."""

    stored: tuple[Mapping[str, Any], ...] = ()
    """DoraDeployments as written: news for whoever keeps the inventory."""
    wake: frozenset[ObjectKey] = frozenset()
    again_at: datetime | None = None


@dataclass(slots=True)
class RolloutReconciler:
    """Looks at one Rollout at a time per key; the caller sees to that."""

    rollouts: KnownRollouts
    inventory: Inventory
    board: VerdictBoard
    cluster: ClusterPort
    namespaces: Namespaces
    events: EventQueue
    restorer: Restorer
    own: Records
    policy: Policy
    clock: Callable[[], datetime]
    labels: Mapping[str, str]
    """Labels of the records, so that the operator's own selector finds them."""
    meter: Meter = NO_METER

    async def reconcile(self, key: ObjectKey) -> RolloutVisit:
        """Decide what a Rollout means, and write it down.

        Raises:
            ClusterUnavailableError: the API server has to be asked again; the levels are still there.
        """
        known = self.rollouts.get(key)
        if known is None or ignored(known.body["metadata"].get("annotations")):
            return RolloutVisit()
        if known.needs_replica_sets():
            await self._list(known)
        observation, decision = await self._decide(known)
        followers = self._followers(key)
        untold = [verdict for verdict in decision.verdicts if self._is_untold(verdict, decision, followers)]
        wanted = [verdict for verdict in untold if verdict not in known.refused]
        notices = [notice for notice in decision.notices if notice not in known.told]
        visit = RolloutVisit()
        if (wanted or notices) and not ignored(await self.namespaces.annotations(key.namespace)):
            self._tell(known, notices)
            visit = await self._write_down(known, observation, wanted)
        known.learn(decision)
        await self.own.hand_over(key)
        return await self._restore(known, observation, decision, visit)

    async def _list(self, known: KnownRollout) -> None:
        labels = ((known.body.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
        known.listed(await self.cluster.list_replica_sets(known.key.namespace, labels))

    async def _decide(self, known: KnownRollout) -> tuple[Observation, Decision]:
        records, now = self._records(known.key), self.clock()
        observation = observe(known.body, known.replica_sets)
        decision = decide(observation, records, self.policy, now, known.memory)
        if decision.wants_events:
            events = await self.cluster.list_events(_subject(known))
            observation = observe(known.body, known.replica_sets, events)
            decision = decide(observation, records, self.policy, now, known.memory)
        return observation, decision

    def _records(self, key: ObjectKey) -> list[Verdict]:
        found = (remembered_verdict(known, read_status(known.newest_status_json)) for known in self._linked(key))
        return [verdict for verdict in found if verdict is not None]

    def _linked(self, key: ObjectKey) -> Iterable[Known]:
        keys = self.inventory.linked(rollout_link(*key))
        return [known for known in map(self.inventory.get, keys) if known is not None]

    def _followers(self, key: ObjectKey) -> list[Known]:
        return [known for known in self._linked(key) if record_of(known) is None]

    def _is_untold(self, verdict: Verdict, decision: Decision, followers: list[Known]) -> bool:
        """A verdict is written down when it is new, or when a DoraDeployment that follows it has not heard of it."""
        if verdict in decision.changes:
            return True
        return any(_has_not_heard(known, verdict) for known in followers)

    async def _write_down(self, known: KnownRollout, observation: Observation, verdicts: list[Verdict]) -> RolloutVisit:
        followers = self._followers(known.key)
        stored: list[Mapping[str, Any]] = []
        wake: set[ObjectKey] = set()
        for verdict in verdicts:
            following = [follower.key for follower in followers if _follows(follower, verdict)]
            for key in following:
                self.board.post(key, observation.name, verdict)
                wake.add(key)
            if not following:
                stored += await self._record(known, observation, verdict)
            if known.is_new_fact(verdict):
                self.meter.verdict(verdict.kind)
        # Who follows has to write the verdict down first; then the operator's own record can give way.
        again_at = self.clock() + timedelta(seconds=HAND_OVER_SECONDS) if wake else None
        return RolloutVisit(tuple(stored), frozenset(wake), again_at)

    async def _record(self, known: KnownRollout, observation: Observation, verdict: Verdict) -> list[Mapping[str, Any]]:
        manifest = wanted_resource(observation, verdict, self.labels)
        key = ObjectKey(manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        standing = self.inventory.get(key)
        if standing is not None and standing.verdict_json is None:
            logger.warning("DoraDeployment %s is a user's: the Rollout's verdict is not recorded there", key)
            known.refused.add(verdict)
            return []
        try:
            return [await self.cluster.apply_record(manifest)]
        except NotOursError:
            logger.warning("DoraDeployment %s was changed by a user, and stays as it is", key)
            known.refused.add(verdict)
            return []

    def _tell(self, known: KnownRollout, notices: Iterable[Notice]) -> None:
        for notice in notices:
            self.events.tell(_subject(known), EventNote("Warning", notice.about.value, notice.message))
            known.told.add(notice)
            self.meter.notice(notice.about)

    async def _restore(
        self, known: KnownRollout, observation: Observation, decision: Decision, visit: RolloutVisit
    ) -> RolloutVisit:
        """Post the return to the stable version after an abort, where the setting asks for it, and link it."""
        open_aborts = [
            verdict for verdict in decision.verdicts if verdict.kind is Kind.ABORTED and not verdict.remediation
        ]
        if self.policy.restored_deployment is not RestoredDeployment.RECORD or not observation.abort or not open_aborts:
            return visit
        await self._list(known)
        now = self.clock()
        observation = observe(known.body, known.replica_sets)
        pause = min(LONGEST_RESTORING_SECONDS, RESTORING_SECONDS * 2.0 ** min(known.restore_tries, 10))
        known.restore_tries += 1
        for verdict in open_aborts:
            linked = await self.restorer.restore(observation, verdict, self.policy)
            if linked is not None:
                known.restore_tries = 0
                more = await self._write_down(known, observation, [linked])
                return RolloutVisit(visit.stored + more.stored, visit.wake | more.wake)
        return RolloutVisit(visit.stored, visit.wake, now + timedelta(seconds=pause))


def _has_not_heard(known: Known, verdict: Verdict) -> bool:
    heard = read_status(known.newest_status_json).rollout
    return _follows(known, verdict) and heard != to_status(_rollout_name(known), verdict)


def _follows(known: Known, verdict: Verdict) -> bool:
    spec = spec_of(known)
    return spec is not None and follows(spec, verdict)


def _rollout_name(known: Known) -> str:
    spec = spec_of(known)
    return spec.rollout_ref.name if spec is not None and spec.rollout_ref is not None else ""


def _subject(known: KnownRollout) -> Subject:
    return Subject(ROLLOUT_API_VERSION, "Rollout", known.key, known.uid)
