"""Writes a Rollout's verdicts down: in the status of who follows it, else in a record of the operator's own.

Decides nothing about Rollouts, sends nothing to Datadog, and never changes what a user owns.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from dora_operator.domain.links import rollout as rollout_link
from dora_operator.domain.notices import NOT_WRITTEN, EventNote
from dora_operator.domain.object_key import ObjectKey
from dora_operator.domain.observed import DoraDeploymentStatus
from dora_operator.domain.rollout.follow import follows, to_status, to_verdict
from dora_operator.domain.rollout.manifest import wanted_resource
from dora_operator.domain.rollout.observation import Observation
from dora_operator.domain.rollout.verdict import Verdict
from dora_operator.inventory import Inventory, Known
from dora_operator.meter import NO_METER, Meter
from dora_operator.ports import ClusterPort, NotOursError, Subject
from dora_operator.reconcile.board import VerdictBoard, record_of, remembered_verdict
from dora_operator.reconcile.known_rollouts import KnownRollout, Refusal
from dora_operator.reconcile.surroundings import spec_of
from dora_operator.reconcile.writer import read_status

logger = logging.getLogger(__name__)

HAND_OVER_SECONDS = 1.0
REFUSED_SECONDS = 60.0
"""How often it is looked whether a user still owns what a verdict would be written to."""


@dataclass(frozen=True, slots=True)
class RolloutVisit:
    """What a look at a Rollout leaves to do."""

    stored: tuple[Mapping[str, Any], ...] = ()
    """DoraDeployments as written: news for whoever keeps the inventory."""
    wake: frozenset[ObjectKey] = frozenset()
    again_at: datetime | None = None

    @property
    def wrote(self) -> bool:
        """Tell whether anything was written down."""
        return bool(self.stored or self.wake)


@dataclass(frozen=True, slots=True)
class Recorder:
    """The only writer of verdicts."""

    inventory: Inventory
    board: VerdictBoard
    cluster: ClusterPort
    clock: Callable[[], datetime]
    labels: Mapping[str, str]
    """Labels of the records, so that the operator's own selector finds them."""
    tell: Callable[[Subject, EventNote], None]
    meter: Meter = field(default=NO_METER)

    def records(self, rollout: ObjectKey) -> list[Verdict]:
        """Return all verdicts that are on record for Rollouts of this name."""
        found = (remembered_verdict(known, read_status(known.newest_status_json)) for known in self._linked(rollout))
        return [verdict for verdict in found if verdict is not None]

    def followers(self, rollout: ObjectKey) -> list[Known]:
        """Return the users' DoraDeployments that follow it."""
        return [known for known in self._linked(rollout) if record_of(known) is None]

    def is_refused(self, known: KnownRollout, verdict: Verdict) -> bool:
        """Tell whether a user owned the place of this verdict, and has not touched it since."""
        refusal = known.refused.get(verdict)
        return refusal is not None and refusal == self._refusal(refusal.key)

    def is_marked(self, rollout: ObjectKey, verdict: Verdict) -> bool:
        """Tell whether Datadog has accepted this very failure, for whichever DoraDeployment is about it."""
        statuses = (read_status(known.newest_status_json) for known in self._linked(rollout))
        return any(_has_marked(status, verdict) for status in statuses)

    async def write_down(self, known: KnownRollout, observation: Observation, verdicts: list[Verdict]) -> RolloutVisit:
        """Write verdicts down.

        Raises:
            ClusterUnavailableError: not all are; the levels still show them.
        """
        followers = self.followers(known.key)
        stored: list[Mapping[str, Any]] = []
        wake: set[ObjectKey] = set()
        for verdict in verdicts:
            following = [follower.key for follower in followers if does_follow(follower, verdict)]
            for key in following:
                self.board.post(key, observation.name, verdict)
                wake.add(key)
            if not following:
                written = await self._record(known, observation, verdict)
                stored += [written] if written is not None else []
            if known.is_new_fact(verdict):
                self.meter.verdict(verdict.kind)
        # Who follows has to write the verdict down first; then the operator's own record can give way.
        seconds = HAND_OVER_SECONDS if wake else REFUSED_SECONDS if known.refused else None
        again_at = self.clock() + timedelta(seconds=seconds) if seconds else None
        return RolloutVisit(tuple(stored), frozenset(wake), again_at)

    async def _record(
        self, known: KnownRollout, observation: Observation, verdict: Verdict
    ) -> Mapping[str, Any] | None:
        """Apply the record and return it as stored, or note that a user does not let it be."""
        manifest = wanted_resource(observation, self._under_one_name(known.key, verdict), self.labels)
        key = ObjectKey(manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        standing = self.inventory.get(key)
        try:
            if standing is None or standing.verdict_json is not None:
                return await self.cluster.apply_record(manifest)
            why = "is a user's: give it another name, or let it follow the Rollout by rolloutRef"
        except NotOursError:
            why = "was changed by a user: undo the change, or delete it"
        self._refuse(known, verdict, key, f"DoraDeployment {key.name} {why}")
        return None

    def _refuse(self, known: KnownRollout, verdict: Verdict, key: ObjectKey, why: str) -> None:
        message = f"revision {verdict.revision} ({verdict.kind.value}) is not recorded, and nothing is sent: {why}"
        logger.warning("Rollout %s: %s", known.key, message)
        known.refused[verdict] = self._refusal(key)
        self.tell(known.subject, EventNote("Warning", NOT_WRITTEN, message))

    def _under_one_name(self, rollout: ObjectKey, verdict: Verdict) -> Verdict:
        """A deployment has one record, also after the Rollout was made again: the former one's would contradict it."""
        for known in self._linked(rollout):
            record = record_of(known)
            if record is not None and record.identity.key == verdict.identity.key:
                return replace(verdict, pod_template_hash=record.pod_template_hash)
        return verdict

    def _refusal(self, key: ObjectKey) -> Refusal:
        standing = self.inventory.get(key)
        return Refusal(key, standing.uid, standing.generation) if standing is not None else Refusal(key)

    def _linked(self, key: ObjectKey) -> Iterable[Known]:
        keys = self.inventory.linked(rollout_link(*key))
        return [known for known in map(self.inventory.get, keys) if known is not None]


def _has_marked(status: DoraDeploymentStatus, verdict: Verdict) -> bool:
    told, target, accepted = to_verdict(status.rollout), status.target, status.accepted
    if told is None or target is None or accepted is None or told.identity.key != verdict.identity.key:
        return False
    meant = (target.rollout_uid, target.revision) == (verdict.rollout_uid, verdict.revision)
    return meant and accepted.change_failure is True


def does_follow(known: Known, verdict: Verdict) -> bool:
    """Tell whether a DoraDeployment means the version that this verdict is about."""
    spec = spec_of(known)
    return spec is not None and follows(spec, verdict)


def has_not_heard(known: Known, verdict: Verdict) -> bool:
    """Tell whether a DoraDeployment that follows a verdict has another one in its status, or none."""
    spec = spec_of(known)
    if spec is None or spec.rollout_ref is None or not follows(spec, verdict):
        return False
    return read_status(known.newest_status_json).rollout != to_status(spec.rollout_ref.name, verdict)
