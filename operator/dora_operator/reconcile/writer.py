"""Writes a status once, only where it differs, and never forgets one that could not be written."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from dora_operator.domain.links import links_of
from dora_operator.domain.notices import EventNote, note_for
from dora_operator.domain.object_key import ObjectKey
from dora_operator.domain.observed import ConditionType, DoraDeploymentStatus
from dora_operator.domain.sites import Site
from dora_operator.domain.spec import API_VERSION, KIND
from dora_operator.domain.status import merge_patch
from dora_operator.inventory import Inventory, Known
from dora_operator.meter import NO_METER, Meter, Origin
from dora_operator.ports import ClusterPort, ClusterUnavailableError, ObjectGoneError, Subject
from dora_operator.reconcile.events import EventQueue
from dora_operator.reconcile.known_rollouts import ROLLOUT_API_VERSION
from dora_operator.reconcile.surroundings import spec_of

logger = logging.getLogger(__name__)


def read_status(text: bytes) -> DoraDeploymentStatus:
    """Return a status; one that cannot be understood counts as none, and is written anew."""
    try:
        return DoraDeploymentStatus.model_validate_json(text)
    except ValidationError:
        return DoraDeploymentStatus()


def links(known: Known, default_site: Site) -> frozenset[str]:
    """Return what an object is linked with in the inventory."""
    spec = spec_of(known)
    return frozenset() if spec is None else links_of(known.key.namespace, spec, default_site)


@dataclass(frozen=True, slots=True)
class StatusWriter:
    """The only writer of statuses."""

    cluster: ClusterPort
    events: EventQueue
    inventory: Inventory
    default_site: Site
    meter: Meter = NO_METER

    async def save(self, known: Known, status: DoraDeploymentStatus) -> bool:
        """Make Kubernetes' status equal to `status`; tell whether the spec has changed since it was read.

        Raises:
            ClusterUnavailableError: not written; it is kept in the inventory, and the next reconcile tries again.
        """
        stored = read_status(known.status_json)
        if status == stored:
            known.unsaved_status_json = None
            return False
        try:
            body = await self.cluster.write_status(known.key, known.uid, merge_patch(status))
        except ObjectGoneError as error:
            if not self.inventory.has(known):
                logger.debug("%s is gone; its status is not written", known.key)
                return False
            # 404 is also said by an API server that does not know its custom resources yet, 409 also under contention.
            self._keep(known, status)
            raise ClusterUnavailableError(f"{error}; the watch has not said that it is gone") from error
        except ClusterUnavailableError:
            self._keep(known, status)
            raise
        self.inventory.saved(known, body, lambda one: links(one, self.default_site))
        self._count(known, stored, status)
        _log(known.key, stored, status)
        note = note_for(stored, status)
        if note is not None:
            self._tell(known, status, note)
        return int(body["metadata"].get("generation", 0)) != known.generation

    async def retire(self, record: Known) -> None:
        """Delete a record whose verdict stands in the status of a user's own DoraDeployment: that one speaks now.

        Raises:
            ClusterUnavailableError: try again.
        """
        logger.info("DoraDeployment %s gives way to a user's that follows the same version", record.key)
        await self.cluster.delete_record(record.key, record.uid)

    def _keep(self, known: Known, status: DoraDeploymentStatus) -> None:
        self.inventory.keep_unsaved(known, status.model_dump_json(by_alias=True, exclude_none=True).encode())

    def _count(self, known: Known, before: DoraDeploymentStatus, after: DoraDeploymentStatus) -> None:
        if after.accepted != after.desired:  # inherited, and counted when it was sent
            return
        if after.accepted is None or (before.accepted, before.accepted_at) == (after.accepted, after.accepted_at):
            return
        origin = Origin.RESOURCE if after.rollout is None else Origin.ROLLOUT
        self.meter.accepted(origin, after.accepted, _due_at(known, before, after))

    def _tell(self, known: Known, status: DoraDeploymentStatus, note: EventNote) -> None:
        """Tell the DoraDeployment, and of a success also the Rollout that it is about."""
        about = [Subject(API_VERSION, KIND, known.key, known.uid)]
        if note.type == "Normal" and status.rollout is not None and status.rollout.uid is not None:
            rollout = ObjectKey(known.key.namespace, status.rollout.name)
            about.append(Subject(ROLLOUT_API_VERSION, "Rollout", rollout, status.rollout.uid))
        for subject in about:
            self.events.tell(subject, note)


def _due_at(known: Known, before: DoraDeploymentStatus, after: DoraDeploymentStatus) -> datetime | None:
    """Return since when the state was wanted: as this process saw it, or by the status where that is from before it."""
    told = before.pending_since if before.desired == after.desired else None
    if told is None or (known.due_at is not None and known.due_at - told < timedelta(seconds=1)):
        return known.due_at  # the status knows whole seconds only
    return told


def _log(key: ObjectKey, before: DoraDeploymentStatus, after: DoraDeploymentStatus) -> None:
    """Log each change of outcome once, in the words of the condition, which are clean of keys and bounded."""
    ready, earlier = after.condition(ConditionType.READY), before.condition(ConditionType.READY)
    if ready is None:
        return
    if earlier is None or ready.reason != earlier.reason or after.accepted_at != before.accepted_at:
        logger.info("%s %s: %s: %s", KIND, key, ready.reason, ready.message)
