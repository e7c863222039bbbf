"""The revisions of a Rollout in the order of their numbers, each with what is known of its end.

Built from the numbers on the ReplicaSets; a number whose ReplicaSet is gone is a gap, and nothing is guessed across it.
Whether a revision was promoted comes from `evidence`. No rule about Datadog lives here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from dora_operator.domain.rollout.identity import Unidentified
from dora_operator.domain.rollout.observation import Observation, ReplicaSet


class Fate(Enum):
    """How a revision ended, or stands now."""

    PROMOTED = "promoted"
    NOT_PROMOTED = "not promoted"
    """Of the newest revision: not yet."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Entry:
    """One revision. `key` is equal for revisions that are one deployment to Datadog."""

    number: int
    key: str
    replica_set: ReplicaSet
    fate: Fate = Fate.UNKNOWN


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

    def first_seen(self, key: str) -> int:
        """Return the number under which a deployment first appeared: the order of age among versions."""
        return min(entry.number for entry in self.entries if entry.key == key)

    def is_older(self, one: Entry, other: Entry) -> bool:
        """Tell whether `one` appeared before `other` did."""
        return self.first_seen(one.key) < self.first_seen(other.key)

    def is_new(self, entry: Entry) -> bool:
        """Tell whether this revision is the first of its deployment."""
        return self.first_seen(entry.key) == entry.number

    def stable_before(self, number: int) -> Entry | None:
        """Return the revision that was stable when `number` began, or None when that cannot be told."""
        for entry in self.before(number):
            if entry is None or entry.fate is Fate.UNKNOWN:
                return None
            if entry.fate is Fate.PROMOTED:
                return entry
        return None


def position(observation: Observation) -> int | None:
    """Return the number of the revision that the status speaks of, where status, annotation and ReplicaSet agree on it.

    Argo writes a new revision in four steps: ReplicaSet, annotation, observedGeneration, currentPodHash. Between them
    the status speaks of the one before.
    """
    current = observation.replica_set(observation.current_hash)
    agrees = current is not None and current.numbers[-1] == observation.revision
    return observation.revision if observation.up_to_date and agrees else None


def history(observation: Observation, newest: int) -> tuple[Entry, ...]:
    """Return the revisions up to `newest` without their fates."""
    numbered = {number: each for each in observation.replica_sets for number in each.numbers if number <= newest}
    return tuple(Entry(number, key_of(numbered[number]), numbered[number]) for number in sorted(numbered))


def key_of(replica_set: ReplicaSet) -> str:
    """Return what tells this deployment from others; a revision that cannot be identified is one of its own."""
    identity = replica_set.identity
    return f"hash\n{replica_set.pod_template_hash}" if isinstance(identity, Unidentified) else identity.key
