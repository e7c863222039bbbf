"""The decision: an observed Rollout, the records and the memory in, the wanted verdicts out.

First the failures are found and laid over the records, then every open failure is looked at for its ending.
Pure and idempotent: with its own verdicts as records it wants no change.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from dora_operator.domain.rollout import evidence as proof
from dora_operator.domain.rollout.endings import ending
from dora_operator.domain.rollout.failures import aborted, failures, undone
from dora_operator.domain.rollout.observation import Observation
from dora_operator.domain.rollout.scene import Scene
from dora_operator.domain.rollout.timeline import Fate, history, position
from dora_operator.domain.rollout.verdict import About, Decision, Kind, Memory, Notice, Policy, Verdict

NO_MEMORY = Memory()

Records = Mapping[str, Verdict]
"""By what makes a deployment one to Datadog."""


@dataclass(frozen=True, slots=True)
class _Case:
    """What was given, with the records of this Rollout only."""

    observation: Observation
    recorded: Records
    policy: Policy
    now: datetime
    memory: Memory


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What the rules make of the records."""

    records: Records
    notices: tuple[Notice, ...] = ()
    doubtful: bool = False


def decide(
    observation: Observation,
    records: Iterable[Verdict],
    policy: Policy,
    now: datetime,
    memory: Memory = NO_MEMORY,
) -> Decision:
    """Return what should be on record for this Rollout, and what to keep in memory until the next look."""
    case = _Case(observation, of_this_rollout(observation, records), policy, now, memory)
    number = position(observation)
    return _settled(case, number) if number else _between(case)


def _settled(case: _Case, number: int) -> Decision:
    scene = _scene(case, number)
    outcome = _ended(scene, _found(case.recorded, failures(scene)))
    kept = proof.remembered(scene.certain, case.observation, scene.timeline.entries, case.memory)
    is_doubtful = outcome.doubtful or _has_unclear(outcome) or _is_news_untold(scene)
    return replace(_decision(case, outcome, kept), wants_events=is_doubtful and kept.events_read < number)


def _between(case: _Case) -> Decision:
    """While a revision is being replaced: its abort is a fact, and an undo can be seen; all else is about to change."""
    observation = case.observation
    seen = proof.of_the_one_left(observation)
    case = replace(case, memory=proof.noted(seen, case.memory, observation.uid))
    findings: list[Verdict | Notice] = []
    if number := _confirmed_abort(observation):
        scene = _scene(case, number)
        findings += aborted(scene, scene.timeline.current)
    if seen.unpromoted and observation.revision:
        scene = _scene(case, observation.revision)
        findings += undone(scene, scene.timeline.current)
    return _decision(case, _found(case.recorded, findings), case.memory)


def _scene(case: _Case, number: int) -> Scene:
    entries = history(case.observation, number)
    certain = (
        proof.from_levels(case.observation, entries)
        | proof.from_memory(case.memory, case.observation.uid)
        | proof.from_events(case.observation, number)
        | proof.from_records(case.recorded.values())
        | proof.from_links(case.recorded.values(), entries)
    )
    aborted_once = proof.aborted_on_record(case.recorded.values()) - {number}
    timeline = proof.timeline(entries, certain | proof.Evidence(unpromoted=aborted_once))
    return Scene(case.observation, timeline, certain, case.policy, case.now, case.memory)


def of_this_rollout(observation: Observation, records: Iterable[Verdict]) -> Records:
    """Another uid is another Rollout, whatever its name. Of two records for one deployment the later counts."""
    own = [record for record in records if record.rollout_uid == observation.uid]
    return {record.identity.key: record for record in sorted(own, key=_by_cause)}


def _confirmed_abort(observation: Observation) -> int | None:
    """Return the revision of an abort that the controller has carried out, though the spec has changed since."""
    current = observation.replica_set(observation.current_hash)
    if current is None or not observation.abort or observation.aborted_at is None:
        return None
    # The ReplicaSet may have been used again since: its numbers are newer than this status then.
    return max((number for number in current.numbers if number <= (observation.revision or 0)), default=None)


def _found(recorded: Records, findings: Iterable[Verdict | Notice]) -> _Outcome:
    records = dict(recorded)
    notices: dict[Notice, None] = {}
    for finding in findings:
        if isinstance(finding, Notice):
            notices[finding] = None
        else:
            records[finding.identity.key] = _laid_over(records.get(finding.identity.key), finding)
    return _Outcome(records, tuple(notices))


def _laid_over(old: Verdict | None, found: Verdict) -> Verdict:
    if old is None:
        return found
    if _overrules(old, found):
        return replace(found, pod_template_hash=old.pod_template_hash)
    if _completes(old, found):
        return replace(old, at=found.at, message=found.message)
    return old


def _overrules(old: Verdict, found: Verdict) -> bool:
    if old.kind is Kind.REVERTED and found.cause == old.cause:
        return True
    is_marked = old.change_failure and old.revision == found.revision
    says_more = found.kind is Kind.ROLLED_BACK and old.remediation is None
    return found.cause > old.cause and (says_more or not is_marked)


def _completes(old: Verdict, found: Verdict) -> bool:
    """Argo shows an abort at once, and its time and message with its next write."""
    is_same = (old.kind, old.cause) == (found.kind, found.cause) == (Kind.ABORTED, old.cause)
    return is_same and old.at is None and found.at is not None


def _ended(scene: Scene, found: _Outcome) -> _Outcome:
    endings = {key: ending(scene, record) for key, record in found.records.items()}
    return replace(
        found,
        records={key: each.verdict for key, each in endings.items()},
        doubtful=any(each.doubtful for each in endings.values()),
    )


def _has_unclear(outcome: _Outcome) -> bool:
    return any(each.about is About.ROLLBACK_UNCLEAR for each in outcome.notices)


def _is_news_untold(scene: Scene) -> bool:
    """Tell whether a revision was replaced within the look-back and nobody saw how it ended, as after a restart."""
    former = scene.timeline.entries[:-1]
    return any(entry.fate is Fate.UNKNOWN and scene.is_news(entry.number + 1) for entry in former)


def _decision(case: _Case, outcome: _Outcome, memory: Memory) -> Decision:
    changed = [record for key, record in outcome.records.items() if case.recorded.get(key) != record]
    return Decision(
        verdicts=tuple(sorted(outcome.records.values(), key=_by_cause)),
        changes=tuple(sorted(changed, key=marks_first)),
        notices=outcome.notices,
        memory=memory,
    )


def _by_cause(verdict: Verdict) -> tuple[int, int]:
    return verdict.cause, verdict.revision


def marks_first(verdict: Verdict) -> tuple[int, int, int]:
    """Aborts, other marks, links, cleared marks: what makes the numbers wrong the longest comes first."""
    rank = 3
    if verdict.change_failure:
        is_abort = verdict.kind is Kind.ABORTED
        rank = 2 if verdict.remediation else int(not is_abort)
    return rank, verdict.cause, -verdict.revision
