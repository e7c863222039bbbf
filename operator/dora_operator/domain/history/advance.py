"""The history, one observation later. Pure and idempotent; the number of changes between two observations is free.

An observation has levels: the current revision, the promoted one, and whether the current one fails. They are applied
in this order, so that one observation of the end does what each of its steps would have done:

1. a level that shows a listed revision as promoted, which ends failures (`_promoted`);
2. new revisions, oldest first (`_begun`): each ends the one before, as undone or superseded, and may start a rollback;
3. the current revision: promoted, failing, or neither, which takes back an abort that was not carried out (`_leveled`).
"""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime

from dora_operator.domain.history.history import (
    Cause,
    Failure,
    History,
    Revision,
    State,
    VerdictKind,
    is_older,
    last_promoted,
    replaced_by,
    trimmed,
    with_order,
)
from dora_operator.domain.history.observation import Failing, Observation
from dora_operator.domain.history.policy import Policy, RollbackMarks
from dora_operator.domain.history.rollback import first_after

DEFAULTS = Policy()


@dataclass(frozen=True, slots=True)
class _Step:
    """What one observation adds."""

    observation: Observation
    now: datetime
    policy: Policy
    stable: int | None
    """The revision that the levels show as promoted last."""


def advance(history: History | None, observation: Observation, now: datetime, policy: Policy = DEFAULTS) -> History:
    """Return the history with what the observation adds; the same history where that is nothing."""
    if history is None or history.workload.uid != observation.workload.uid:
        history = History(workload=observation.workload)
    current = history.current
    number = _number(current, observation) if observation.revision is None else observation.revision
    if number is None:
        return history
    step = _Step(observation, now.replace(microsecond=0), policy, _stable_number(history, observation, number))
    after = _first(history, number, step) if current is None else _next(history, current, number, step)
    return history if after == history else trimmed(after)


def _number(current: Revision | None, observation: Observation) -> int | None:
    """Return the revision that the status is about while the next one is made, where only one can be meant."""
    if current is None or observation.current_hash != current.pod_template_hash:
        return None
    numbers = [t.numbers[-1] for t in observation.templates if t.pod_template_hash == observation.current_hash]
    return current.number if max(numbers, default=0) <= current.number else None


def _first(history: History, number: int, step: _Step) -> History:
    """The stable revision is promoted, the current one is as the levels show it; all else is not known."""
    numbers = sorted({n for template in step.observation.templates for n in template.numbers if n <= number})
    for known in numbers:
        history = with_order(history, _revision(known, None, step))
    if numbers != list(range(1, number + 1)):
        history = _without_doubtful_orders(history)
    if step.stable is not None and step.stable != number:
        history = _promoted(history, step.stable, step)
    history = _leveled(history, step)
    failing = step.observation.failing
    is_old = failing is not None and failing.time is not None and failing.time < step.now - step.policy.lookback
    return _changed(history, replace(history.revisions[-1], failure=None)) if is_old else history


def _without_doubtful_orders(history: History) -> History:
    """Earlier revisions are gone: a version with several templates may have appeared before its oldest one."""
    templates = Counter(key for key, _ in {(r.key, r.pod_template_hash) for r in history.revisions})
    revisions = (replace(r, order=None) if templates[r.key] > 1 else r for r in history.revisions)
    return replace(history, revisions=tuple(revisions))


def _next(history: History, current: Revision, number: int, step: _Step) -> History:
    observation, stable = step.observation, step.stable
    if (number, observation.current_hash) == (current.number, current.pod_template_hash):
        return _leveled(history, step)
    listed = {(r.number, r.pod_template_hash) for r in history.revisions}
    if number < current.number or (number, observation.current_hash) in listed:
        return history  # a state that was shown late
    if stable is not None and stable <= current.number:
        history = _promoted(history, stable, step)
    for new in range(min(current.number + 1, number), number + 1):
        if observation.template_of(new) is not None:
            history = _begun(history, new, step)
    return _leveled(history, step)


def _stable_number(history: History, observation: Observation, number: int) -> int | None:
    """Return the revision that the levels show as promoted last, seen from revision `number`."""
    if observation.stable_hash == observation.current_hash:
        return number
    known = last_promoted(r for r in history.revisions if r.number < number)
    if known is not None and known.pod_template_hash == observation.stable_hash:
        return known.number  # it may have a newer number, from a change that was replaced before it took effect
    numbers = [n for t in observation.templates if t.pod_template_hash == observation.stable_hash for n in t.numbers]
    numbers += [r.number for r in history.revisions if r.pod_template_hash == observation.stable_hash]
    return max((n for n in numbers if n < number), default=None)


def _revision(number: int, former: Revision | None, step: _Step) -> Revision:
    """Return a revision as it begins; one that is neither current nor stable was missed, and is not known."""
    template = step.observation.template_of(number)
    assert template is not None
    identity, is_current = template.identity, number == step.observation.revision
    is_shown = is_current or (former is not None and number == step.stable)
    # A template that is used again was created for an earlier revision.
    began = template.created_time if number == template.numbers[0] else None
    if is_current and began is None:
        shown = step.observation.began_time or step.observation.promoted_time
        began = _later(shown, former.started_time if former else None, step.now)
    return Revision(
        number=number,
        pod_template_hash=template.pod_template_hash,
        service=identity.service,
        env=identity.env,
        version=identity.version,
        deployment_id=identity.deployment_id,
        state=State.IN_FLIGHT if is_shown else State.UNKNOWN,
        started_time=began,
    )


def _later(shown: datetime | None, than: datetime | None, now: datetime) -> datetime:
    """Return a time of the objects, or now where it is that of something earlier."""
    return now if shown is None or (than is not None and shown <= than) else shown


def _begun(history: History, number: int, step: _Step) -> History:
    """A revision begins: it ends the one before, and is a rollback where its version is older than the stable one."""
    stable, former = step.stable, history.revisions[-1]
    entry = _revision(number, former, step)
    is_shown = entry.state is State.IN_FLIGHT
    history = with_order(history, entry, has_run=is_shown)
    entry = history.revisions[-1]
    history = _changed(history, _ended(history, former, entry, step))
    before = history.revisions[:-1]
    if stable is not None and stable < number:
        replaced = next((r for r in reversed(before) if r.number == stable and r.state is State.PROMOTED), None)
    else:
        replaced = replaced_by(before, number)
    if is_shown and replaced is not None and is_older(entry, replaced):
        history = _rolling_back(history, entry, replaced, step)
    return _promoted(history, number, step) if number == stable else history


def _ended(history: History, former: Revision, entry: Revision, step: _Step) -> Revision:
    """Return how the former revision ended, now that `entry` has begun."""
    former = _without_unconfirmed(former)
    if former.state is not State.IN_FLIGHT:
        return former
    ended = replace(former, ended_time=former.ended_time or entry.started_time or step.now)
    replaced = last_promoted(history.revisions[:-1])
    # Back to what was stable: if it was promoted in between and then rolled back, the same follows from it.
    is_back = replaced is not None and replaced.key == entry.key
    if step.stable is not None and step.stable >= former.number and not is_back:
        return replace(ended, state=State.UNKNOWN)
    is_missed = entry.state is State.UNKNOWN or entry.number > former.number + 1
    if is_missed or not is_older(entry, former):
        return replace(ended, state=State.SUPERSEDED)
    ended = replace(ended, state=State.UNDONE)
    is_release = replaced is not None and is_older(replaced, former)
    if not is_release or (former.is_failing and former.failure and former.failure.cause is not Cause.DEADLINE):
        return ended  # a rollback that is changed to a still older version is no release that failed
    message = f"revision {entry.number} went back to an older version before revision {former.number} was promoted"
    failure = Failure(verdict=VerdictKind.UNDONE, cause=Cause.UNDO, message=message, time=ended.ended_time)
    return replace(ended, failure=failure)


def _without_unconfirmed(revision: Revision) -> Revision:
    """An abort that was never carried out is taken back."""
    failure = revision.failure
    if revision.state is not State.ABORTED or failure is None or failure.time is not None or not failure.is_open:
        return revision
    withdrawn = replace(
        failure, verdict=VerdictKind.RECOVERED, message="the abort was taken back before it took effect"
    )
    return replace(revision, state=State.IN_FLIGHT, ended_time=None, failure=withdrawn)


def _rolling_back(history: History, entry: Revision, replaced: Revision, step: _Step) -> History:
    """Mark what the rollback marks. One rollback is in flight: what an earlier one marked is called off."""
    before = history.revisions[:-1]
    is_replaced = step.policy.rollback_marks is RollbackMarks.REPLACED
    deployed = _deployment_of(before, replaced)
    failed = deployed if is_replaced else first_after(before, entry, deployed)
    if failed is None:
        return history
    time = entry.started_time or step.now
    for revision in before:
        if _is_rolled_back(revision) and revision != failed:
            history = _changed(history, _recovered(revision, entry, time, "another rollback replaced this one"))
    if _is_rolled_back(failed):
        return history
    message = f"revision {entry.number} goes back to an older version than that of revision {replaced.number}"
    failure = Failure(verdict=VerdictKind.ROLLED_BACK, cause=Cause.ROLLBACK, message=message, time=time)
    return _changed(history, replace(failed, failure=failure))


def _deployment_of(revisions: tuple[Revision, ...], stable: Revision) -> Revision | None:
    """A return to the stable template, as by an undo in flight, deploys nothing. None: not known what did."""
    if any(r.number > stable.number and r.pod_template_hash == stable.pod_template_hash for r in revisions):
        return None  # missed: it may have been a return, or a deployment
    while stable.redeployed:
        before = replaced_by(tuple(r for r in revisions if r.number < stable.number), stable.number)
        if before is None or before.pod_template_hash != stable.pod_template_hash:
            return None if before is None else stable
        stable = before
    return stable


def _is_rolled_back(revision: Revision) -> bool:
    return revision.is_failing and revision.failure is not None and revision.failure.cause is Cause.ROLLBACK


def _promoted(history: History, number: int, step: _Step) -> History:
    """A level shows a revision as promoted: that is final, and ends failures."""
    observation, name = step.observation, (number, step.observation.stable_hash)
    index = next((i for i, r in enumerate(history.revisions) if (r.number, r.pod_template_hash) == name), None)
    if index is None or history.revisions[index].state in {State.PROMOTED, State.UNDONE, State.SUPERSEDED}:
        return history
    promoted, before = history.revisions[index], history.revisions[:index]
    shown = observation.promoted_time if observation.stable_hash == observation.current_hash else None
    time = _later(shown, promoted.started_time, step.now) if promoted.state is not State.UNKNOWN else None
    replaced = replaced_by(before, promoted.number)
    promoted = replace(_without_unconfirmed(promoted), state=State.PROMOTED, ended_time=time)
    history = _changed(history, promoted)
    is_return = bool(promoted.redeployed) and replaced is not None and replaced.key == promoted.key
    for revision in history.revisions[: index + 1]:
        if revision.is_failing:
            history = _changed(history, _closed(revision, promoted, is_return=is_return, now=step.now))
    return history


def _closed(failed: Revision, promoted: Revision, *, is_return: bool, now: datetime) -> Revision:
    """Return a failed revision after a promotion, which ended its failure or has nothing to do with it."""
    assert failed.failure is not None
    time = promoted.ended_time or now
    if failed.key == promoted.key:
        return _recovered(failed, promoted, time, f"revision {promoted.number} was promoted after all")
    is_rollback = failed.failure.cause is Cause.ROLLBACK
    if is_rollback and is_return:
        return _recovered(failed, promoted, time, "the rollback was called off")
    if is_rollback or (not is_return and is_older(failed, promoted)):
        return replace(failed, failure=replace(failed.failure, ended_by=promoted.number))
    return failed


def _recovered(failed: Revision, by: Revision, time: datetime, message: str) -> Revision:
    assert failed.failure is not None
    recovered = replace(failed.failure, verdict=VerdictKind.RECOVERED, ended_by=by.number, time=time, message=message)
    return replace(failed, failure=recovered)


def _leveled(history: History, step: _Step) -> History:
    current, observation = history.revisions[-1], step.observation
    if step.stable == current.number:
        return _promoted(history, current.number, step)
    if current.state is State.PROMOTED:
        return history  # a state that was shown late
    if observation.served and current.state is State.IN_FLIGHT and not current.served:
        current = replace(current, served=True)
    failing, is_settled = observation.failing, observation.revision is not None
    if failing is not None and (is_settled or failing.time is not None):
        current = _failed(history, current, failing, step.now)
    elif failing is None and is_settled and current.state is State.ABORTED:
        retried = current.retried_time or current.ended_time  # seen late, perhaps: it is known to be not before
        current = _without_unconfirmed(current)
        current = replace(current, state=State.IN_FLIGHT, ended_time=None, retried_time=retried)
    return _changed(history, current)


def _failed(history: History, current: Revision, failing: Failing, now: datetime) -> Revision:
    time, message = failing.time, failing.message or None
    known, stable = current.failure, last_promoted(history.revisions[:-1])
    # Where the stable revision is the same version, it is the same deployment to Datadog, and runs well.
    is_same_as_stable = stable is not None and stable.key == current.key
    if failing.cause is Cause.DEADLINE:
        exceeded = VerdictKind.DEADLINE_EXCEEDED
        failure = Failure(verdict=exceeded, cause=failing.cause, message=message, time=time or now)
        return current if is_same_as_stable or current.is_failing else replace(current, failure=failure)
    if current.state is State.ABORTED and (time is None or time == current.ended_time):
        return current
    current = replace(current, state=State.ABORTED, ended_time=time)
    is_known = known is not None and known.is_open and known.time is not None and known.cause is not Cause.DEADLINE
    if is_same_as_stable or is_known:
        return current
    failure = Failure(verdict=VerdictKind.ABORTED, cause=failing.cause, message=message, time=time)
    return replace(current, failure=failure)


def _changed(history: History, revision: Revision) -> History:
    name = (revision.number, revision.pod_template_hash)
    others = (revision if (r.number, r.pod_template_hash) == name else r for r in history.revisions)
    return replace(history, revisions=tuple(others))
