"""Datadog's own rule for a rollback: V1, V2, V3, V1 marks V2, the first deployment after the rollback target.

Deployments are promoted revisions. Where it was not seen which ones were, every possible answer is returned.
"""

from collections.abc import Iterator

from dora_operator.domain.rollout.timeline import Entry, Fate, Timeline


def first_after_target(timeline: Timeline, target: Entry) -> list[Entry]:
    """Return the possible answers, one for each deployment; none when a needed ReplicaSet is gone."""
    answers: dict[str, Entry] = {}
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
        if entry.key == target.key and entry.fate is not Fate.NOT_PROMOTED:
            starts.append(entry.number)
            if entry.fate is Fate.PROMOTED:
                return starts
    return starts or [timeline.first_seen(target.key)]


def _possible_firsts(timeline: Timeline, start: int, target: Entry) -> Iterator[Entry | None]:
    for entry in timeline.after(start):
        if entry is None:
            yield None
            return
        if entry.number >= target.number:
            return
        if entry.key == target.key or entry.fate is Fate.NOT_PROMOTED:
            continue
        deployed = _was_deployed(timeline, entry)
        if deployed is not False:
            yield entry
        if deployed and entry.fate is Fate.PROMOTED:
            return


def _was_deployed(timeline: Timeline, entry: Entry) -> bool | None:
    """Tell a deployment from a return to what was stable all along, as by an undo in flight; None: not to be told."""
    if timeline.is_new(entry):
        return True
    stable = timeline.stable_before(entry.number)
    return None if stable is None else stable.key != entry.key
