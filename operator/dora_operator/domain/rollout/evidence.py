"""What proves that a revision was promoted, or that it was replaced before it could be.

Each source is a function that returns only what is certain.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dora_operator.domain.rollout.identity import Unidentified
from dora_operator.domain.rollout.observation import Observation
from dora_operator.domain.rollout.timeline import Entry, Promotion, Timeline
from dora_operator.domain.rollout.verdict import Memory, Verdict, VerdictKind, link_to


@dataclass(frozen=True, slots=True)
class Evidence:
    """Numbers of revisions. A promotion, once seen, is final: it cannot be aborted any more."""

    promoted: frozenset[int] = frozenset()
    unpromoted: frozenset[int] = frozenset()

    def __or__(self, other: "Evidence") -> "Evidence":
        promoted = self.promoted | other.promoted
        return Evidence(promoted, (self.unpromoted | other.unpromoted) - promoted)

    def promotion(self, number: int) -> Promotion:
        """Return whether this revision was promoted."""
        if number in self.promoted:
            return Promotion.PROMOTED
        return Promotion.NOT_PROMOTED if number in self.unpromoted else Promotion.UNKNOWN


def from_levels(observation: Observation, entries: Sequence[Entry]) -> Evidence:
    """Return what the objects show: the first revision of a Rollout is stable at once, and `stableRS`."""
    first = frozenset({1}) if entries[0].number == 1 < entries[-1].number else frozenset()
    return Evidence(promoted=first) | _from_stable_hash(observation, entries)


def _from_stable_hash(observation: Observation, entries: Sequence[Entry]) -> Evidence:
    """It names the last promoted revision, so what came after it was not promoted."""
    current = entries[-1]
    stable_hash = observation.rollout.stable_hash
    if not stable_hash:
        return Evidence()
    if stable_hash == current.replica_set.pod_template_hash:
        return Evidence(promoted=frozenset({current.number}))
    later: set[int] = {current.number}
    expected = current.number - 1
    for entry in reversed(entries[:-1]):
        if entry.number != expected:
            return Evidence(unpromoted=frozenset(later))
        if entry.replica_set.pod_template_hash == stable_hash:
            return Evidence(promoted=frozenset({entry.number}), unpromoted=frozenset(later))
        later.add(entry.number)
        expected -= 1
    # The stable ReplicaSet has no number before the current one: these objects are not of one moment.
    return Evidence(unpromoted=frozenset({current.number}))


def from_memory(memory: Memory, uid: str) -> Evidence:
    """Read what this process saw of this very Rollout."""
    return Evidence(memory.promoted, memory.unpromoted) if memory.rollout_uid == uid else Evidence()


def from_records(records: Iterable[Verdict]) -> Evidence:
    """Read what was once decided with certainty."""
    evidence = Evidence()
    for record in records:
        evidence |= _from_record(record)
    return evidence


def from_links(records: Iterable[Verdict], entries: Sequence[Entry]) -> Evidence:
    """Read the remediations on record: each was written when its deployment was promoted."""
    promoted: set[int] = set()
    for record in records:
        linked = [
            entry.number
            for entry in entries
            if entry.number >= record.decided_by_revision and _is_linked(record, entry)
        ]
        promoted.update(linked if len(linked) == 1 else ())  # of several, it may have been any
    return Evidence(promoted=frozenset(promoted))


def _is_linked(record: Verdict, entry: Entry) -> bool:
    identity = entry.replica_set.identity
    if record.remediation is None or isinstance(identity, Unidentified):
        return False
    return link_to(record.remediation.type, identity) == record.remediation


def aborted_on_record(records: Iterable[Verdict]) -> frozenset[int]:
    """Return the revisions that were seen aborted. Each may have been retried and promoted since."""
    return frozenset(record.revision for record in records if record.verdict is VerdictKind.ABORTED)


def remembered(evidence: Evidence, observation: Observation, entries: Sequence[Entry]) -> Memory:
    """Return what to keep: only of revisions that still exist, and of the current one only its promotion."""
    known = frozenset(entry.number for entry in entries)
    current = entries[-1].number
    return Memory(
        rollout_uid=observation.rollout.uid,
        seen=current,
        promoted=evidence.promoted & known,
        unpromoted=(evidence.unpromoted & known) - {current},
    )


def of_replaced_revision(observation: Observation) -> Evidence:
    """Return how a revision ended when the next one began: the status is still about it, the annotation no longer."""
    rollout = observation.rollout
    replaced = observation.current
    if replaced is None or not rollout.stable_hash or not _is_newer_agreed(observation, replaced.numbers[-1]):
        return Evidence()
    number = frozenset({replaced.numbers[-1]})
    is_promoted = rollout.stable_hash == rollout.current_hash
    return Evidence(promoted=number) if is_promoted else Evidence(unpromoted=number)


def _is_newer_agreed(observation: Observation, number: int) -> bool:
    """Return whether annotation and ReplicaSets agree on a revision newer than `number`."""
    newest = observation.rollout.revision or 0
    return newest > number and any(each.numbers[-1] == newest for each in observation.replica_sets)


def noted(seen: Evidence, memory: Memory, uid: str) -> Memory:
    """Return the memory with more evidence, and without that of another Rollout."""
    own = memory if memory.rollout_uid == uid else Memory(uid)
    known = from_memory(own, uid) | seen
    return replace(own, promoted=known.promoted, unpromoted=known.unpromoted)


def timeline(entries: Sequence[Entry], evidence: Evidence) -> Timeline:
    """Return the revisions, each with its promotion."""
    return Timeline(tuple(replace(entry, promotion=evidence.promotion(entry.number)) for entry in entries))


def _from_record(record: Verdict) -> Evidence:
    revision = frozenset({record.revision})
    if record.verdict in {VerdictKind.RECOVERED, VerdictKind.ROLLED_BACK}:
        return Evidence(promoted=revision)
    return Evidence(unpromoted=revision) if record.verdict is VerdictKind.UNDONE else Evidence()
