"""The revisions of a Rollout in the order of their numbers, each with what is known of its promotion.

Built from the numbers on the ReplicaSets; a number whose ReplicaSet is gone is a gap, and nothing is guessed across it.
Whether a revision was promoted comes from `evidence`. Also Datadog's own rule for a rollback.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from dora_operator.domain.rollout.identity import Identified, Unidentified
from dora_operator.domain.rollout.observation import Observation, ReplicaSet

Key = Identified | str
"""What Datadog takes for one deployment; the pod template's hash where that is not known."""


class Promotion(Enum):
    """Whether a revision was promoted."""

    PROMOTED = "promoted"
    NOT_PROMOTED = "not promoted"
    """Of the newest revision: not yet."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Entry:
    """One revision. `key` is equal for revisions that are one deployment to Datadog."""

    number: int
    key: Key
    replica_set: ReplicaSet
    promotion: Promotion = Promotion.UNKNOWN


@dataclass(frozen=True, slots=True)
class Timeline:
    """All known revisions up to the current one, ascending."""

    entries: tuple[Entry, ...]

    @property
    def current(self) -> Entry:
        """The newest revision."""
        return self.entries[-1]

    def at(self, number: int) -> Entry | None:
        """Return the revision with this number."""
        return next((entry for entry in self.entries if entry.number == number), None)

    def after(self, number: int) -> Iterator[Entry | None]:
        """Yield the revisions after `number`, oldest first, None for each gap."""
        return (self.at(each) for each in range(number + 1, self.current.number + 1))

    def before(self, number: int) -> Iterator[Entry | None]:
        """Yield the revisions before `number`, newest first, None for each gap; ends at the oldest that is known."""
        return (self.at(each) for each in range(number - 1, self.entries[0].number - 1, -1))

    def first_seen(self, key: Key) -> int:
        """Return the number under which a deployment first appeared: the order of age among versions."""
        return min(entry.number for entry in self.entries if entry.key == key)

    def is_older(self, one: Entry, other: Entry) -> bool:
        """Return whether `one` appeared before `other` did."""
        return self.first_seen(one.key) < self.first_seen(other.key)

    def is_new(self, entry: Entry) -> bool:
        """Return whether this revision is the first of its deployment."""
        return self.first_seen(entry.key) == entry.number

    def stable_before(self, number: int) -> Entry | None:
        """Return the revision that was stable when `number` began, or None when that is not known."""
        for entry in self.before(number):
            if entry is None or entry.promotion is Promotion.UNKNOWN:
                return None
            if entry.promotion is Promotion.PROMOTED:
                return entry
        return None


def position(observation: Observation) -> int | None:
    """Return the revision that the status is about, where status, annotation and ReplicaSet agree on it.

    Argo writes a new revision in four steps: ReplicaSet, annotation, observedGeneration, currentPodHash. Between them
    the status is about the revision before.
    """
    rollout = observation.rollout
    current = observation.current
    agrees = current is not None and current.numbers[-1] == rollout.revision
    return rollout.revision if rollout.up_to_date and agrees else None


def history(observation: Observation, newest: int) -> tuple[Entry, ...]:
    """Return the revisions up to `newest`, their promotion unknown."""
    numbered = {number: each for each in observation.replica_sets for number in each.numbers if number <= newest}
    return tuple(Entry(number, key_of(numbered[number]), numbered[number]) for number in sorted(numbered))


def key_of(replica_set: ReplicaSet) -> Key:
    """Return what distinguishes this deployment; a revision that cannot be identified is one of its own."""
    identity = replica_set.identity
    return replica_set.pod_template_hash if isinstance(identity, Unidentified) else identity


def first_after_target(timeline: Timeline, target: Entry) -> list[Entry]:
    """Return what a rollback to `target` marks by Datadog's own rule: V1, V2, V3, V1 marks V2.

    Deployments are promoted revisions. Where it is not known which ones were, every possible answer is returned, one
    for each deployment; none when a needed ReplicaSet is gone.
    """
    answers: dict[Key, Entry] = {}
    for start in _earlier_deployments(timeline, target):
        for entry in _possible_firsts(timeline, start, target):
            if entry is None:
                return []
            answers.setdefault(entry.key, entry)
    return list(answers.values())


def _earlier_deployments(timeline: Timeline, target: Entry) -> list[int]:
    """Return where the target may last have been deployed; it counts as deployed at least where it appeared."""
    starts = []
    for entry in timeline.before(target.number):
        if entry is None:
            break
        if entry.key == target.key and entry.promotion is not Promotion.NOT_PROMOTED:
            starts.append(entry.number)
            if entry.promotion is Promotion.PROMOTED:
                return starts
    return starts or [timeline.first_seen(target.key)]


def _possible_firsts(timeline: Timeline, start: int, target: Entry) -> Iterator[Entry | None]:
    for entry in timeline.after(start):
        if entry is None:
            yield None
            return
        if entry.number >= target.number:
            return
        if entry.key == target.key or entry.promotion is Promotion.NOT_PROMOTED:
            continue
        deployed = _was_deployed(timeline, entry)
        if deployed is not False:
            yield entry
        if deployed and entry.promotion is Promotion.PROMOTED:
            return


def _was_deployed(timeline: Timeline, entry: Entry) -> bool | None:
    """Distinguish a deployment from a return to the stable version, as by an undo in flight; None: not known."""
    if timeline.is_new(entry):
        return True
    stable = timeline.stable_before(entry.number)
    return None if stable is None else stable.key != entry.key
