"""What is known of the cluster, in memory: the newest version of each DoraDeployment and of each Rollout.

The stores hold levels, not events: the newest version wins, whatever the order of arrival. They decide nothing, and
losing them costs a list and nothing else.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.plan import Link
from dora_operator.domain.resource import DoraDeployment, DoraDeploymentStatus, parse
from dora_operator.domain.rollout.identity import Identified
from dora_operator.domain.rollout.observation import ReplicaSet, Rollout, parse_rollout
from dora_operator.domain.rollout.verdict import Decision, Memory, Skipped, SkipReason, Verdict, asks_again

MOST_PASSED = 16
"""States of one Rollout that are kept for the next decision: as many as a burst may need."""

LinksOf = Callable[[DoraDeployment], Iterable[Link]]
"""Returns the names of all that a decision about an object reads besides the object; see domain.plan.links_of."""


@dataclass(slots=True)
class _Entry:
    deployment: DoraDeployment
    """As last seen or written. Its status is the newest one that the operator knows, written or not."""
    stored_status: DoraDeploymentStatus
    """As Kubernetes has it. Differs while a status could not be written."""
    links: tuple[Link, ...]
    due_at: datetime | None = None
    """Since when its desired state is desired, as far as this process has seen."""


@dataclass(slots=True)
class DeploymentStore:
    """All known DoraDeployments by key, and the links between them."""

    links_of: LinksOf
    pending_verdicts: dict[ObjectKey, Verdict] = field(default_factory=dict)
    """Verdicts for users' DoraDeployments that are not in their status yet. Until then the Rollout still shows them."""
    _entries: dict[ObjectKey, _Entry] = field(default_factory=dict)
    _linked: dict[Link, set[ObjectKey]] = field(default_factory=lambda: defaultdict(set))

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[DoraDeployment]:
        return (entry.deployment for entry in list(self._entries.values()))

    def get(self, key: ObjectKey) -> DoraDeployment | None:
        """Return an object with the newest status that is known, written or not."""
        entry = self._entries.get(key)
        return entry.deployment if entry is not None else None

    def stored_status(self, deployment: DoraDeployment) -> DoraDeploymentStatus:
        """Return the status as Kubernetes has it."""
        entry = self._entries.get(deployment.key)
        return entry.stored_status if entry is not None else deployment.status

    def has(self, deployment: DoraDeployment) -> bool:
        """Return whether this object, in whatever version, still exists as far as is known."""
        entry = self._entries.get(deployment.key)
        return entry is not None and entry.deployment.uid == deployment.uid

    def linked(self, link: Link) -> list[DoraDeployment]:
        """Return the objects that have a link, in a stable order."""
        return [self._entries[key].deployment for key in sorted(self._linked.get(link, ()))]

    def dependants(self, key: ObjectKey, links: Iterable[Link] | None = None) -> list[ObjectKey]:
        """Return the other objects that refer to this one, or share one of these links; by default, of its own."""
        names = {*(self.links(key) if links is None else links), key}
        return sorted({other for link in names for other in self._linked.get(link, ()) if other != key})

    def links(self, key: ObjectKey) -> tuple[Link, ...]:
        """Return the links of an object."""
        entry = self._entries.get(key)
        return entry.links if entry is not None else ()

    def due_at(self, key: ObjectKey) -> datetime | None:
        """Return since when an object's desired state is desired, as far as this process has seen."""
        entry = self._entries.get(key)
        return entry.due_at if entry is not None else None

    def versions(self, namespace: str | None) -> dict[ObjectKey, tuple[str, str]]:
        """Return uid and resourceVersion of every object of a namespace, or of all."""
        return {
            key: (entry.deployment.uid, entry.deployment.resource_version)
            for key, entry in self._entries.items()
            if namespace in (None, key.namespace)
        }

    def observe(self, body: Mapping[str, Any]) -> bool:
        """Store a version of an object. Return whether it is new: echoes of the operator's own writes are not."""
        metadata = body["metadata"]
        key = ObjectKey(metadata["namespace"], metadata["name"])
        before = self._entries.get(key)
        same = before is not None and before.deployment.uid == metadata["uid"]
        if before is None or not same:
            found = parse(body)
            self._put(_Entry(found, found.status, tuple(self.links_of(found))))
            return True
        if not is_newer(metadata["resourceVersion"], before.deployment.resource_version):
            return False
        return self._update(before, parse(body))

    def saved(self, written: DoraDeployment, body: Mapping[str, Any]) -> None:
        """Store an object as the API server returned it after a write of its status."""
        entry = self._entries.get(written.key)
        if entry is not None and entry.deployment.uid == written.uid:
            entry.deployment = replace(entry.deployment, status=entry.stored_status)
            self.observe(body)

    def keep_unsaved(self, deployment: DoraDeployment, status: DoraDeploymentStatus) -> None:
        """Keep a status that could not be written, so that Datadog's answer is not forgotten."""
        entry = self._entries.get(deployment.key)
        if entry is not None and entry.deployment.uid == deployment.uid:
            entry.deployment = replace(entry.deployment, status=status)

    def drop_unsaved(self, deployment: DoraDeployment) -> None:
        """Forget a status that could not be written: the stored one says the same by now."""
        self.keep_unsaved(deployment, self.stored_status(deployment))

    def note_due(self, key: ObjectKey, at: datetime) -> None:
        """Note since when an object's state is desired. What it waits for already counts from earlier."""
        entry = self._entries.get(key)
        if entry is not None and (entry.due_at is None or at < entry.due_at or not entry.deployment.is_due):
            entry.due_at = at

    def forget(self, key: ObjectKey, uid: str) -> DoraDeployment | None:
        """Drop an object, unless another one of the same name has replaced it."""
        entry = self._entries.get(key)
        if entry is None or entry.deployment.uid != uid:
            return None
        self._unlink(entry)
        del self._entries[key]
        return entry.deployment

    def _update(self, entry: _Entry, found: DoraDeployment) -> bool:
        before = entry.deployment
        if _decisive(before, entry.stored_status) == _decisive(found, found.status):
            entry.deployment = replace(before, resource_version=found.resource_version)
            return False
        unsaved = None if before.status == entry.stored_status else before.status
        due_at = entry.due_at if before.generation == found.generation else None
        self._unlink(entry)
        current = found if unsaved is None else replace(found, status=unsaved)
        self._put(_Entry(current, found.status, tuple(self.links_of(found)), due_at))
        return True

    def _put(self, entry: _Entry) -> None:
        replaced = self._entries.get(entry.deployment.key)
        if replaced is not None:
            self._unlink(replaced)
        for link in entry.links:
            self._linked[link].add(entry.deployment.key)
        self._entries[entry.deployment.key] = entry

    def _unlink(self, entry: _Entry) -> None:
        for link in entry.links:
            members = self._linked[link]
            members.discard(entry.deployment.key)
            if not members:
                del self._linked[link]


def _decisive(deployment: DoraDeployment, status: DoraDeploymentStatus) -> tuple[object, ...]:
    """Return what a decision could depend on."""
    return deployment.generation, status, deployment.is_record, deployment.record, deployment.force_sync


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
class TrackedRollout:
    """One Rollout as last seen, and what this process has learnt about it."""

    rollout: Rollout
    seen_at: datetime | None = None
    """When a watch reported this version; None for one from a list."""
    replica_sets: tuple[ReplicaSet, ...] = ()
    memory: Memory = field(default_factory=Memory)
    passed: tuple[Rollout, ...] = ()
    """Other states that were reported since the last decision, oldest first: a queue of keys would lose aborts."""
    reported: set[Skipped] = field(default_factory=set)
    """Facts that an Event has reported."""
    refused: dict[Verdict, Refusal] = field(default_factory=dict)
    """Verdicts that could not be recorded because a user owns the record."""
    unidentified: bool = False
    """A revision failed that cannot be identified."""
    _facts: dict[Identified, Verdict] = field(default_factory=dict)
    _listed_for: tuple[int | None, str] | None = None
    _decided: Rollout | None = None

    def needs_replica_sets(self) -> bool:
        """Return whether a revision has begun since the ReplicaSets were listed. Once per revision is enough.

        While the controller has not observed the newest spec, there is nothing new to list.
        """
        if self.rollout.observed_generation != self.rollout.generation:
            return False
        return self._listed_for != self._revision()

    def update(self, rollout: Rollout, at: datetime | None, *, keep_passed: bool) -> None:
        """Store a newer version. With `keep_passed`, a state that no decision has seen is kept for the next one."""
        if keep_passed and self.rollout is not self._decided and _state(self.rollout) != _state(rollout):
            self.passed = (*self.passed, self.rollout)[-MOST_PASSED:]
        self.rollout, self.seen_at = rollout, at

    def decided(self, decision: Decision, shown: Sequence[Rollout], *, settled: bool) -> None:
        """Keep what a decision about the states `shown` leaves for the next one.

        While a revision is being replaced (not settled) its ReplicaSets are not listed yet; these states count again.
        """
        if settled:
            self._decided = shown[-1]
            self.passed = tuple(each for each in self.passed if not any(each is one for one in shown))
        self.memory = decision.memory
        self.unidentified = any(each.reason is SkipReason.NOT_IDENTIFIED for each in decision.skipped)

    def is_new_fact(self, verdict: Verdict) -> bool:
        """Return, once, whether a verdict asks for more than the one before it."""
        before = self._facts.get(verdict.identity)
        self._facts[verdict.identity] = verdict
        return asks_again(before, verdict)

    def listed(self, replica_sets: Sequence[ReplicaSet]) -> None:
        """Store the ReplicaSets. A list without the current one is repeated."""
        self.replica_sets = tuple(replica_sets)
        revision, current = self._revision()
        if any(each.pod_template_hash == current and each.numbers[-1] == revision for each in replica_sets):
            self._listed_for = (revision, current)

    def _revision(self) -> tuple[int | None, str]:
        return self.rollout.revision, self.rollout.current_hash


@dataclass(slots=True)
class RolloutStore:
    """All known Rollouts by key."""

    unlisted: set[str | None] = field(default_factory=set)
    """Namespaces whose first list is not complete; None is the whole cluster."""
    are_decided: bool = False
    """This process decides about them. A follower keeps only the newest versions."""
    _tracked: dict[ObjectKey, TrackedRollout] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._tracked)

    def __iter__(self) -> Iterator[TrackedRollout]:
        return iter(list(self._tracked.values()))

    def get(self, key: ObjectKey) -> TrackedRollout | None:
        """Return a Rollout."""
        return self._tracked.get(key)

    def is_listed(self, namespace: str) -> bool:
        """Return whether the first list of a namespace is complete."""
        return self.unlisted.isdisjoint({None, namespace})

    def versions(self, namespace: str | None) -> dict[ObjectKey, tuple[str, str]]:
        """Return uid and resourceVersion of every Rollout of a namespace, or of all."""
        return {
            key: (tracked.rollout.uid, tracked.rollout.resource_version)
            for key, tracked in self._tracked.items()
            if namespace in (None, key.namespace)
        }

    def observe(self, body: Mapping[str, Any], at: datetime | None) -> bool:
        """Store a version of a Rollout, and when a watch reported it. Return whether it is new.

        Another uid is another Rollout, about which nothing is known yet.
        """
        metadata = body["metadata"]
        key = ObjectKey(metadata["namespace"], metadata["name"])
        tracked = self._tracked.get(key)
        if tracked is None or tracked.rollout.uid != metadata["uid"]:
            self._tracked[key] = TrackedRollout(parse_rollout(body), at)
            return True
        if not is_newer(metadata["resourceVersion"], tracked.rollout.resource_version):
            return False
        tracked.update(parse_rollout(body), at, keep_passed=self.are_decided)
        return True

    def forget(self, key: ObjectKey, uid: str) -> bool:
        """Drop a Rollout that was deleted, unless another one of the same name has replaced it."""
        tracked = self._tracked.get(key)
        if tracked is None or tracked.rollout.uid != uid:
            return False
        del self._tracked[key]
        return True


def _state(rollout: Rollout) -> tuple[object, ...]:
    """Return what distinguishes the states that a decision may need one by one."""
    return rollout.revision, rollout.current_hash, rollout.stable_hash, rollout.abort, rollout.aborted_at
