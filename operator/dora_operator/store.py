"""What is known of the cluster, in memory: the newest version of each DoraDeployment and of each workload.

The stores hold levels, not events: the newest version wins, whatever the order of arrival. Losing them costs a list and
nothing else. All that is known of one key is in its entry, so that forgetting a key is one call.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.history.history import History
from dora_operator.domain.history.observation import Template
from dora_operator.domain.history.verdicts import Verdict
from dora_operator.domain.plan import Dependency
from dora_operator.domain.records import is_ignored
from dora_operator.domain.resource import DoraDeployment, DoraDeploymentStatus, has_unsent_failure, parse
from dora_operator.domain.sources.rollout import Rollout, parse_rollout
from dora_operator.workqueue import Priority

MAX_UNDECIDED = 16
"""States of one Rollout that are kept for the next decision: as many as a burst may need."""

DependenciesOf = Callable[[DoraDeployment], Iterable[Dependency]]
"""Returns what a decision about an object reads besides the object; see domain.plan.dependencies_of."""


@dataclass(slots=True)
class Entry:
    """One DoraDeployment, and all that this process knows about it."""

    deployment: DoraDeployment
    """As last seen or written. Its status is the newest one that the operator knows, written or not."""
    stored_status: DoraDeploymentStatus
    """As Kubernetes has it. Differs while a status could not be written."""
    dependencies: tuple[Dependency, ...]
    desired_since: datetime | None = None
    """Since when its desired state is desired, as far as this process has seen."""
    pending_verdict: Verdict | None = None
    """A verdict that is not in its status yet. Until then the workload, or the record's spec, still shows it."""
    written_source: Verdict | None = None
    """The verdict that this process has written to its status last: an older CRD may have dropped a part of it."""
    last_read: datetime | None = None
    """When this process last read its deployment in Datadog."""
    link_since: datetime | None = None
    """Since when this process searches the deployment of its remediation."""
    awaits_keys: bool = False
    """It waits for other keys than those with `awaited_version` in `awaited_secret` (None: the operator's own)."""
    awaited_secret: ObjectKey | None = None
    awaited_version: int | None = None
    """Hash of the keys that did not help; None: not known."""
    keys_changed: bool = False
    """The keys that it waited for have changed."""

    @property
    def priority(self) -> Priority:
        """The class in which it is reconciled: follows from the resource, whatever queued it."""
        deployment = self.deployment
        if has_unsent_failure(deployment.status, self.pending_verdict):
            return Priority.URGENT
        return Priority.NORMAL if deployment.is_due or self.pending_verdict is not None else Priority.LOW


@dataclass(slots=True)
class DeploymentStore:
    """All known DoraDeployments by key, and the dependencies between them."""

    dependencies_of: DependenciesOf
    _entries: dict[ObjectKey, Entry] = field(default_factory=dict)
    _depending: dict[Dependency, set[ObjectKey]] = field(default_factory=lambda: defaultdict(set))

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[DoraDeployment]:
        return (entry.deployment for entry in list(self._entries.values()))

    def entries(self) -> Iterable[tuple[ObjectKey, Entry]]:
        return self._entries.items()

    def entry(self, key: ObjectKey) -> Entry | None:
        return self._entries.get(key)

    def get(self, key: ObjectKey) -> DoraDeployment | None:
        """Return an object with the newest status that is known, written or not."""
        entry = self._entries.get(key)
        return entry.deployment if entry is not None else None

    def priority(self, key: ObjectKey) -> Priority:
        entry = self._entries.get(key)
        return entry.priority if entry is not None else Priority.LOW

    def verdict(self, deployment: DoraDeployment) -> Verdict | None:
        entry = self._entries.get(deployment.key)
        return (entry and entry.pending_verdict) or deployment.status.source

    def stored_status(self, deployment: DoraDeployment) -> DoraDeploymentStatus:
        entry = self._entries.get(deployment.key)
        return entry.stored_status if entry is not None else deployment.status

    def has(self, deployment: DoraDeployment) -> bool:
        entry = self._entries.get(deployment.key)
        return entry is not None and entry.deployment.uid == deployment.uid

    def is_current(self, deployment: DoraDeployment) -> bool:
        """Return whether nothing that a decision reads of this object has changed since."""
        now = self.get(deployment.key)
        return now is not None and now.uid == deployment.uid and _decisive(now) == _decisive(deployment)

    def depending_on(self, dependency: Dependency) -> list[DoraDeployment]:
        return [self._entries[key].deployment for key in sorted(self._depending.get(dependency, ()))]

    def dependants(self, key: ObjectKey, dependencies: Iterable[Dependency] | None = None) -> list[ObjectKey]:
        """Return the other objects that refer to this one, or share one of these dependencies; by default, its own."""
        shared = {*(self.dependencies(key) if dependencies is None else dependencies), key}
        return sorted({other for name in shared for other in self._depending.get(name, ()) if other != key})

    def dependencies(self, key: ObjectKey) -> tuple[Dependency, ...]:
        entry = self._entries.get(key)
        return entry.dependencies if entry is not None else ()

    def versions(self, namespace: str | None) -> dict[ObjectKey, tuple[str, str]]:
        return {
            key: (entry.deployment.uid, entry.deployment.resource_version)
            for key, entry in self._entries.items()
            if namespace in (None, key.namespace)
        }

    def upsert(self, body: Mapping[str, Any]) -> bool:
        """Store a version of an object. Return whether it is new: echoes of the operator's own writes are not.

        An object of another uid replaces the stored one where it is newer: events of a deleted object may come late.
        """
        metadata = body["metadata"]
        key = ObjectKey(metadata["namespace"], metadata["name"])
        before = self._entries.get(key)
        if before is not None and not is_newer(metadata["resourceVersion"], before.deployment.resource_version):
            return False
        found = parse(body)
        if before is None or before.deployment.uid != found.uid:
            self._put(Entry(found, found.status, tuple(self.dependencies_of(found))))
            return True
        return self._update(before, found)

    def saved(self, written: DoraDeployment, body: Mapping[str, Any]) -> None:
        """Store an object as the API server returned it after a write of its status."""
        entry = self._entries.get(written.key)
        if entry is not None and entry.deployment.uid == written.uid:
            entry.deployment = replace(entry.deployment, status=entry.stored_status)
            self.upsert(body)

    def keep_unsaved(self, deployment: DoraDeployment, status: DoraDeploymentStatus) -> None:
        """Keep a status that could not be written, so that Datadog's answer is not forgotten."""
        entry = self._entries.get(deployment.key)
        if entry is not None and entry.deployment.uid == deployment.uid:
            entry.deployment = replace(entry.deployment, status=status)

    def note_desired(self, key: ObjectKey, at: datetime) -> None:
        """Note since when an object's state is desired. What it waits for already counts from earlier."""
        entry = self._entries.get(key)
        if entry is not None and (
            entry.desired_since is None or at < entry.desired_since or not entry.deployment.is_due
        ):
            entry.desired_since = at

    def forget(self, key: ObjectKey, uid: str) -> bool:
        """Drop an object, unless another one of the same name has replaced it."""
        entry = self._entries.get(key)
        if entry is None or entry.deployment.uid != uid:
            return False
        self._drop_dependencies(entry)
        del self._entries[key]
        return True

    def _update(self, entry: Entry, found: DoraDeployment) -> bool:
        before = entry.deployment
        if _decisive(replace(before, status=entry.stored_status)) == _decisive(found):
            entry.deployment = replace(before, resource_version=found.resource_version)
            return False
        unsaved = None if before.status == entry.stored_status else before.status
        self._drop_dependencies(entry)
        entry.deployment = found if unsaved is None else replace(found, status=unsaved)
        entry.stored_status, entry.dependencies = found.status, tuple(self.dependencies_of(found))
        if before.generation != found.generation:
            entry.desired_since = None
        self._put(entry)
        return True

    def _put(self, entry: Entry) -> None:
        key = entry.deployment.key
        replaced = self._entries.get(key)
        if replaced is not None:
            self._drop_dependencies(replaced)
        for dependency in entry.dependencies:
            self._depending[dependency].add(key)
        self._entries[key] = entry

    def _drop_dependencies(self, entry: Entry) -> None:
        for dependency in entry.dependencies:
            members = self._depending[dependency]
            members.discard(entry.deployment.key)
            if not members:
                del self._depending[dependency]


def _decisive(deployment: DoraDeployment) -> tuple[object, ...]:
    return deployment.generation, deployment.status, deployment.is_record, deployment.force_sync


def is_newer(version: str, than: str) -> bool:
    """Compare resource versions: ordered numbers within one resource type (Kubernetes API concepts, since 1.35)."""
    if version.isdigit() and than.isdigit():
        return int(version) > int(than)
    return version != than


@dataclass(frozen=True, slots=True)
class Refusal:
    """The user's DoraDeployment in the place of a record, as it was when the record was refused."""

    key: ObjectKey
    uid: str = ""
    generation: int = 0


@dataclass(slots=True)
class TrackedWorkload:
    """One workload as last seen, and what this process keeps about it beside its history."""

    workload: Rollout
    seen_at: datetime | None = None
    """When a watch reported this version; None for one from a list."""
    templates: tuple[Template, ...] = ()
    """As last listed; empty once the history has them."""
    undecided: tuple[Rollout, ...] = ()
    """Other states that were reported since the last decision, oldest first: a queue of keys would lose aborts."""
    refused: dict[Verdict, Refusal] = field(default_factory=dict)
    """Verdicts that could not be recorded because a user owns the record."""
    unidentified: bool = False
    """A revision failed that cannot be identified."""
    is_kept: bool = True
    """Kubernetes has taken its newest history."""
    is_deleted: bool = False
    """It is deleted, and its last states are not decided yet."""
    _decided: Rollout | None = None

    def update(self, workload: Rollout, at: datetime | None, *, keep_undecided: bool) -> None:
        """Store a newer version. With `keep_undecided`, a state that no decision has seen is kept for the next one."""
        is_undecided = self.workload is not self._decided and not is_ignored(self.workload.annotations)
        if keep_undecided and is_undecided and _state(self.workload) != _state(workload):
            self.undecided = (*self.undecided, self.workload)[-MAX_UNDECIDED:]
        self.workload, self.seen_at = workload, at

    @property
    def is_decided(self) -> bool:
        return self.workload is self._decided

    def listed(self, templates: Sequence[Template]) -> None:
        """Store what was listed. Undecided states may be about templates that are deleted by now."""
        names = {template.pod_template_hash for template in templates}
        kept = [template for template in self.templates if template.pod_template_hash not in names]
        self.templates = (*(kept if self.undecided else ()), *templates)

    def decided(self, shown: Rollout, *, settled: bool) -> None:
        """Note that the states up to `shown` are in the history.

        While a revision is being replaced (not settled) its ReplicaSets are not listed yet; these states count again.
        """
        if settled and shown is self.workload:
            self._decided, self.undecided, self.templates = shown, (), ()


@dataclass(slots=True)
class WorkloadStore:
    """All known workloads by key, and their histories."""

    are_decided: bool = False
    """This process decides about them. A follower keeps only the newest versions."""
    _tracked: dict[ObjectKey, TrackedWorkload] = field(default_factory=dict)
    _histories: dict[str, History] = field(default_factory=dict)
    """By the uid of the workload, as Kubernetes has them."""
    _ran: defaultdict[tuple[str | None, ...], set[str]] = field(default_factory=lambda: defaultdict(set))
    """By what names a version: the uids of the workloads that have run it."""

    def __len__(self) -> int:
        return len(self._tracked)

    def __iter__(self) -> Iterator[TrackedWorkload]:
        return iter(list(self._tracked.values()))

    def get(self, key: ObjectKey) -> TrackedWorkload | None:
        return self._tracked.get(key)

    def history(self, uid: str) -> History | None:
        return self._histories.get(uid)

    def keep(self, history: History) -> None:
        uid = history.workload.uid
        for revision in history.revisions:
            self._ran[revision.key].add(uid)
        self._histories[uid] = history

    def has_run_elsewhere(self, verdict: Verdict) -> bool:
        return not self._ran.get(verdict.identity.key, set()) <= {verdict.uid}

    def versions(self, namespace: str | None) -> dict[ObjectKey, tuple[str, str]]:
        return {
            key: (tracked.workload.uid, tracked.workload.resource_version)
            for key, tracked in self._tracked.items()
            if namespace in (None, key.namespace) and not tracked.is_deleted
        }

    def upsert(self, body: Mapping[str, Any], at: datetime | None) -> bool:
        """Store a version of a Rollout, and when a watch reported it. Return whether it is new.

        Another uid is another workload.
        """
        metadata = body["metadata"]
        key = ObjectKey(metadata["namespace"], metadata["name"])
        tracked = self._tracked.get(key)
        if tracked is not None and not is_newer(metadata["resourceVersion"], tracked.workload.resource_version):
            return False
        if tracked is None or tracked.workload.uid != metadata["uid"]:
            self._tracked[key] = TrackedWorkload(parse_rollout(body), at)
        else:
            tracked.update(parse_rollout(body), at, keep_undecided=self.are_decided)
        return True

    def delete(self, key: ObjectKey, uid: str) -> bool:
        """Note that a workload was deleted. Return whether states of it are left to decide about."""
        tracked = self._tracked.get(key)
        if tracked is None or tracked.workload.uid != uid:
            return False
        tracked.is_deleted = True
        if not self.are_decided or tracked.is_decided:
            self.forget(key)
            return False
        return True

    def forget(self, key: ObjectKey) -> None:
        uid = self._tracked.pop(key).workload.uid
        history = self._histories.pop(uid, None)
        for revision in history.revisions if history is not None else ():
            self._ran[revision.key].discard(uid)
            if not self._ran[revision.key]:
                del self._ran[revision.key]


def _state(workload: Rollout) -> tuple[object, ...]:
    """Return what distinguishes the states that a decision may need one by one."""
    return workload.number, workload.current_hash, workload.stable_hash, workload.failing
