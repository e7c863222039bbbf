"""Reconcile one workload: advance its history by what was observed, and record the verdicts that follow from it.

The history is written before anything that follows from it. Sends nothing to Datadog: that is the way of the
DoraDeployment that carries a verdict.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus

from dora_operator.clients.errors import ForbiddenError, KubernetesError, NotFoundError
from dora_operator.clients.kubernetes import HISTORIES, KubernetesClient
from dora_operator.domain.events import EventNote
from dora_operator.domain.fields import ObjectKey, OnMissing
from dora_operator.domain.history.advance import advance
from dora_operator.domain.history.history import History, PinnedDeployment, manifest, parse, pinned
from dora_operator.domain.history.policy import Policy
from dora_operator.domain.history.verdicts import Skipped, SkipReason, Verdict, notes, verdicts
from dora_operator.domain.records import ON_MISSING_ANNOTATION, is_ignored
from dora_operator.domain.sources.rollout import API_VERSION, observe, parse_replica_sets
from dora_operator.metrics import Metrics
from dora_operator.reconcile.context import NamespaceAnnotations
from dora_operator.reconcile.events import EventPoster
from dora_operator.reconcile.records import REFUSED_RECHECK, Records, subject_of
from dora_operator.store import TrackedWorkload, WorkloadStore
from dora_operator.workqueue import FIRST_BACKOFF, MAX_BACKOFF, Result

logger = logging.getLogger(__name__)

_REFUSED = {
    HTTPStatus.NOT_FOUND,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
"""The CRD is missing or of another version, or the permission is missing."""


@dataclass(slots=True)
class WorkloadReconciler:
    """Reconciles workloads. The queue sees to it that one key is reconciled once at a time."""

    store: WorkloadStore
    client: KubernetesClient
    namespaces: NamespaceAnnotations
    records: Records
    events: EventPoster
    metrics: Metrics
    policy: Policy
    clock: Callable[[], datetime]
    _has_reported: bool = False

    async def read_histories(self, namespaces: Iterable[str | None]) -> None:
        """Read every history, once: nobody else writes them. Tried until it succeeds, or is refused for good."""
        for namespace in namespaces:
            backoff = FIRST_BACKOFF
            while not await self._read_histories(namespace, is_last_try=backoff >= MAX_BACKOFF):
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, MAX_BACKOFF)

    async def _read_histories(self, namespace: str | None, *, is_last_try: bool) -> bool:
        try:
            async for page in self.client.list_pages(HISTORIES, namespace, ""):
                for body in page.items:
                    history = parse(body)
                    if history is not None:
                        self.store.keep(history)
        except KubernetesError as error:
            is_refused = isinstance(error, NotFoundError) or (is_last_try and isinstance(error, ForbiddenError))
            if not is_refused:
                logger.warning("the DoraHistories cannot be read, tried again: %s", error)
                return False
            self._note_not_kept(error)
        return True

    def _note_not_kept(self, error: KubernetesError) -> None:
        if not self._has_reported:
            self._has_reported = True
            logger.error(
                "DoraHistories are not kept: %s. Apply the CRDs and the permissions of this version of the operator."
                " Until then what workloads did is forgotten at a restart",
                error,
            )

    async def reconcile(self, key: ObjectKey) -> Result:
        """Advance the history of a workload, write it, and record what follows. Return when to reconcile again.

        Raises:
            KubernetesError: the API server has to be asked again; the workload and its history show the rest.
        """
        tracked = self.store.get(key)
        self.store.are_decided = True
        if tracked is None:
            return Result()
        if is_ignored(tracked.workload.annotations):
            tracked.undecided = ()  # what happens while it is ignored is not marked later
            return Result()
        shown, before = tracked.workload, self.store.history(tracked.workload.uid)
        if self._needs_templates(tracked, before):
            replica_sets = await self.client.list_replica_sets(key.namespace, shown.match_labels)
            tracked.listed(parse_replica_sets(shown.uid, replica_sets))
        history, skipped, settled = self._advanced(tracked, before)
        on_missing = _on_missing(shown.annotations)
        found = [replace(verdict, on_missing=on_missing) for verdict in verdicts(history, self.policy)]
        wanted = self.records.missing(tracked, found)
        if (history != before or wanted) and is_ignored(await self.namespaces.read(key.namespace)):
            return Result()
        if history != before or not tracked.is_kept:
            await self._write(tracked, history)
            self._count(before, found)
        for note in skipped:
            self._report(tracked, note)
        await self.records.write(tracked, wanted)
        tracked.decided(shown, settled=settled)
        if tracked.is_deleted and self.store.get(key) is tracked:
            self.store.forget(key)
        return Result(self.clock() + REFUSED_RECHECK if tracked.refused else None)

    @staticmethod
    def _needs_templates(tracked: TrackedWorkload, history: History | None) -> bool:
        """Return whether a revision has begun that is not in the history. Its ReplicaSets are listed once.

        While the controller has not observed the newest spec, there is nothing new to list.
        """
        workload, current = tracked.workload, history.current if history is not None else None
        if not workload.is_observed or tracked.is_deleted:
            return False
        is_known = current is not None and (current.number, current.pod_template_hash) == (
            workload.number,
            workload.current_hash,
        )
        return not is_known

    def _advanced(self, tracked: TrackedWorkload, before: History | None) -> tuple[History, list[Skipped], bool]:
        """Return the history after every state that was reported, what is not marked, and whether all is settled."""
        skipped: list[Skipped] = []
        history, settled, now = before, False, self.clock()
        for state in (*tracked.undecided, tracked.workload):
            observation = observe(state, tracked.templates, history)
            after = advance(history, observation, now, self.policy)
            skipped += notes(history, after)
            history, settled = after, observation.revision is not None
        assert history is not None
        for revision in history.revisions:
            row = self.records.row_of(tracked, revision.number) if revision.datadog is None else None
            if row is not None:
                history = pinned(history, revision.number, revision.pod_template_hash, PinnedDeployment(id=row))
        return history, skipped, settled

    async def _write(self, tracked: TrackedWorkload, history: History) -> None:
        """Write the history. One that is refused is kept in memory: a failure is reported without it."""
        tracked.is_kept = True
        if history.revisions and not tracked.is_deleted:
            try:
                await self.client.apply_history(manifest(tracked.workload.key.namespace, history, API_VERSION))
            except KubernetesError as error:
                if error.code not in _REFUSED:
                    raise
                tracked.is_kept = False
                self._note_not_kept(error)
        self.store.keep(history)

    def _count(self, before: History | None, found: Iterable[Verdict]) -> None:
        known = {(each.revision, each.verdict) for each in (verdicts(before, self.policy) if before else ())}
        for verdict in found:
            if (verdict.revision, verdict.verdict) not in known:
                self.metrics.rollout_verdicts.labels(verdict.verdict.value).inc()

    def _report(self, tracked: TrackedWorkload, note: Skipped) -> None:
        self.events.post(subject_of(tracked), EventNote("Warning", note.reason.value, note.message))
        tracked.unidentified |= note.reason is SkipReason.NOT_IDENTIFIED


def _on_missing(annotations: Mapping[str, str]) -> OnMissing | None:
    value = annotations.get(ON_MISSING_ANNOTATION)
    return OnMissing(value) if value in set(OnMissing) else None
