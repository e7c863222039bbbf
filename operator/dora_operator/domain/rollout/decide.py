"""The decision: an observed Rollout, the records and the memory in, the wanted verdicts out.

First the failures are found and merged with the records, then every open failure is checked for its ending.
Pure and idempotent: with its own verdicts as records it wants no change.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dora_operator.domain.rollout import evidence as proof
from dora_operator.domain.rollout.identity import Identified
from dora_operator.domain.rollout.observation import Observation
from dora_operator.domain.rollout.rules import Finding, RuleContext, aborted, ending, failures, undone
from dora_operator.domain.rollout.timeline import history, position
from dora_operator.domain.rollout.verdict import (
    Decision,
    Memory,
    Policy,
    Skipped,
    Verdict,
    VerdictKind,
)

NO_MEMORY = Memory()

Records = Mapping[Identified, Verdict]
"""By what makes a deployment one to Datadog."""


@dataclass(frozen=True, slots=True)
class _Input:
    """What was given, with the records of this Rollout only."""

    observation: Observation
    recorded: Records
    policy: Policy
    now: datetime
    memory: Memory


@dataclass(frozen=True, slots=True)
class _Result:
    """What the rules make of the records."""

    records: Records
    skipped: tuple[Skipped, ...] = ()


def decide(
    observation: Observation,
    records: Iterable[Verdict],
    policy: Policy,
    now: datetime,
    memory: Memory = NO_MEMORY,
) -> Decision:
    """Return what should be on record for this Rollout, and what to keep in memory until the next decision."""
    given = _Input(observation, _of_this_rollout(observation, records), policy, now, memory)
    number = position(observation)
    return _at_revision(given, number) if number else _between_revisions(given)


def decide_in_order(
    observations: Sequence[Observation], records: Iterable[Verdict], policy: Policy, now: datetime, memory: Memory
) -> Decision:
    """Decide about the last of several states as if each before it had been decided about in its time.

    A queue keeps only the newest version of a Rollout; an abort or a whole revision may have come and gone in between.
    """
    recorded = list(records)
    known = recorded
    skipped: tuple[Skipped, ...] = ()
    for passed in observations[:-1]:
        decision = decide(passed, known, policy, now, memory)
        memory = decision.memory
        known, skipped = [*known, *decision.changes], (*skipped, *decision.skipped)
    last = decide(observations[-1], known, policy, now, memory)
    before = _of_this_rollout(observations[-1], recorded)
    # What failed and recovered since the last decision was never sent, and needs no withdrawal.
    verdicts = [each for each in last.verdicts if each.verdict is not VerdictKind.RECOVERED or each.identity in before]
    changed = [verdict for verdict in verdicts if before.get(verdict.identity) != verdict]
    every_skipped = tuple(dict.fromkeys((*skipped, *last.skipped)))
    return replace(
        last, verdicts=tuple(verdicts), changes=tuple(sorted(changed, key=_marks_first)), skipped=every_skipped
    )


def context_of(
    observation: Observation, records: Iterable[Verdict], policy: Policy, now: datetime, memory: Memory = NO_MEMORY
) -> RuleContext | None:
    """Return the revisions as `decide` sees them, or None where no ReplicaSet has a revision yet.

    Between two revisions it goes up to the one that the Rollout names.
    """
    given = _Input(observation, _of_this_rollout(observation, records), policy, now, memory)
    numbers = [each.numbers[-1] for each in observation.replica_sets]
    newest = position(observation) or observation.rollout.revision or max(numbers, default=0)
    return _context(given, newest) if any(each.numbers[0] <= newest for each in observation.replica_sets) else None


def _at_revision(given: _Input, number: int) -> Decision:
    context = _context(given, number)
    result = _ended(context, _merged(given.recorded, failures(context)))
    kept = proof.remembered(context.certain, given.observation, context.timeline.entries)
    return _decision(given, result, kept)


def _between_revisions(given: _Input) -> Decision:
    """While a revision is being replaced: its abort is a fact, and an undo can be seen; all else is about to change."""
    observation = given.observation
    seen = proof.of_replaced_revision(observation)
    given = replace(given, memory=proof.noted(seen, given.memory, observation.rollout.uid))
    findings: list[Finding] = []
    if number := _confirmed_abort(observation):
        context = _context(given, number)
        findings += aborted(context, context.timeline.current)
    if seen.unpromoted and observation.rollout.revision:
        context = _context(given, observation.rollout.revision)
        findings += undone(context, context.timeline.current)
    return _decision(given, _merged(given.recorded, findings), given.memory)


def _context(given: _Input, number: int) -> RuleContext:
    entries = history(given.observation, number)
    certain = (
        proof.from_levels(given.observation, entries)
        | proof.from_memory(given.memory, given.observation.rollout.uid)
        | proof.from_records(given.recorded.values())
        | proof.from_links(given.recorded.values(), entries)
    )
    aborted_once = proof.aborted_on_record(given.recorded.values()) - {number}
    timeline = proof.timeline(entries, certain | proof.Evidence(unpromoted=aborted_once))
    return RuleContext(given.observation, timeline, certain, given.policy, given.now, given.memory)


def _of_this_rollout(observation: Observation, records: Iterable[Verdict]) -> Records:
    """Another uid is another Rollout, whatever its name. Of two records for one deployment the later counts."""
    own = [record for record in records if record.uid == observation.rollout.uid]
    return {record.identity: record for record in sorted(own, key=_by_cause)}


def _confirmed_abort(observation: Observation) -> int | None:
    """Return the revision of an abort that the controller has carried out, though the spec has changed since."""
    rollout = observation.rollout
    current = observation.current
    if current is None or not rollout.abort or rollout.aborted_at is None:
        return None
    # The ReplicaSet may have been used again since: its numbers are newer than this status then.
    return max((number for number in current.numbers if number <= (rollout.revision or 0)), default=None)


def _merged(recorded: Records, findings: Iterable[Finding]) -> _Result:
    records = dict(recorded)
    skipped: dict[Skipped, None] = {}
    for finding in findings:
        if isinstance(finding, Skipped):
            skipped[finding] = None
        else:
            records[finding.identity] = _with_finding(records.get(finding.identity), finding)
    return _Result(records, tuple(skipped))


def _with_finding(old: Verdict | None, found: Verdict) -> Verdict:
    if old is None:
        return found
    if _overrules(old, found):
        return replace(found, pod_template_hash=old.pod_template_hash)
    if _completes(old, found):
        return replace(old, time=found.time, message=found.message, on_missing=found.on_missing)
    is_same = (old.revision, old.decided_by_revision) == (found.revision, found.decided_by_revision)
    return replace(old, on_missing=found.on_missing) if is_same else old  # annotated after the failure


def _overrules(old: Verdict, found: Verdict) -> bool:
    if old.verdict is VerdictKind.REVERTED and found.decided_by_revision == old.decided_by_revision:
        return True
    is_marked = old.change_failure and old.revision == found.revision
    says_more = found.verdict is VerdictKind.ROLLED_BACK and old.remediation is None
    return found.decided_by_revision > old.decided_by_revision and (says_more or not is_marked)


def _completes(old: Verdict, found: Verdict) -> bool:
    """Argo shows an abort at once, and its time and message with its next write."""
    is_same = (
        found.verdict is old.verdict is VerdictKind.ABORTED and found.decided_by_revision == old.decided_by_revision
    )
    return is_same and old.time is None and found.time is not None


def _ended(context: RuleContext, found: _Result) -> _Result:
    return replace(found, records={key: ending(context, record) for key, record in found.records.items()})


def _decision(given: _Input, result: _Result, memory: Memory) -> Decision:
    changed = [record for key, record in result.records.items() if given.recorded.get(key) != record]
    return Decision(
        verdicts=tuple(sorted(result.records.values(), key=_by_cause)),
        changes=tuple(sorted(changed, key=_marks_first)),
        skipped=result.skipped,
        memory=memory,
    )


def _by_cause(verdict: Verdict) -> tuple[int, int]:
    return verdict.decided_by_revision, verdict.revision


def _marks_first(verdict: Verdict) -> tuple[int, int, int]:
    """Aborts, other marks, links, cleared marks: what makes the numbers wrong the longest comes first."""
    rank = 3
    if verdict.change_failure:
        is_abort = verdict.verdict is VerdictKind.ABORTED
        rank = 2 if verdict.remediation else int(not is_abort)
    return rank, verdict.decided_by_revision, -verdict.revision
