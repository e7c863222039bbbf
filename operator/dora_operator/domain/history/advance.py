"""The history, one observation later. Pure and idempotent; the number of changes between two observations is free.

An observation has levels: the current revision, the promoted one, and whether the current one fails. They are applied
in this order, so that one observation of the end does what each of its steps would have done:

1. a level that shows a listed revision as promoted, which ends failures (`_promoted`);
2. new revisions, oldest first (`_begun`): each ends the one before, as undone or superseded, and may start a rollback;
3. the current revision: promoted, failing, or neither, which takes back an abort that was not carried out (`_leveled`).
"""

from dataclasses import replace
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
from dora_operator.domain.history.observation import Failing, Observation, Template
from dora_operator.domain.history.policy import Policy, RollbackMarks
from dora_operator.domain.history.rollback import first_after

DEFAULTS = Policy()


def advance(history: History | None, observation: Observation, now: datetime, policy: Policy = DEFAULTS) -> History:
    """Return the history with what the observation adds; the same history where that is nothing."""
    now = now.replace(microsecond=0)
    if history is None or history.workload.uid != observation.workload.uid:
        history = History(workload=observation.workload)
    if history.current is None:
        after = _first(history, observation, now, policy)
    else:
        after = _next(history, history.current, observation, now, policy)
    return history if after == history else trimmed(after)


def _first(history: History, observation: Observation, now: datetime, policy: Policy) -> History:
    """The stable revision is promoted, the current one is as the levels show it; all else is not known."""
    number = observation.revision
    if number is None:
        return history
    earlier = sorted({n for template in observation.templates for n in template.numbers if n < number})
    for known in earlier:
        template = observation.template_of(known)
        assert template is not None
        history = with_order(history, _revision(known, template, State.UNKNOWN, None))
    current = observation.template_of(number)
    assert current is not None
    began = _began(current, number, observation, now)
    history = with_order(history, _revision(number, current, State.IN_FLIGHT, began))
    history = _without_doubtful_orders(history, {*earlier, number})
    stable = _stable_number(history, observation, number)
    if stable is not None and stable != number:
        history = _promoted(history, observation, stable, now)
    failing = observation.failing
    is_old = failing is not None and failing.time is not None and failing.time < now - policy.lookback
    history = _leveled(history, observation, stable, now)
    return _changed(history, replace(history.revisions[-1], failure=None)) if is_old else history


def _without_doubtful_orders(history: History, numbers: set[int]) -> History:
    """Where earlier numbers are gone, a version with several templates may be older than its first known number."""
    first_gap = next(n for n in range(1, max(numbers) + 2) if n not in numbers)
    hashes: dict[tuple[str | None, ...], set[str]] = {}
    first_number: dict[tuple[str | None, ...], int] = {}
    for revision in history.revisions:
        hashes.setdefault(revision.key, set()).add(revision.pod_template_hash)
        first_number.setdefault(revision.key, revision.number)
    doubtful = {key for key, found in hashes.items() if len(found) > 1 and first_number[key] > first_gap}
    revisions = (replace(r, order=None) if r.key in doubtful else r for r in history.revisions)
    return replace(history, revisions=tuple(revisions))


def _next(history: History, current: Revision, observation: Observation, now: datetime, policy: Policy) -> History:
    number = observation.revision
    is_same = number is None or number == current.number
    if is_same and observation.current_hash == current.pod_template_hash:
        return _leveled(history, observation, _stable_number(history, observation, current.number), now)
    listed = {(r.number, r.pod_template_hash) for r in history.revisions}
    if number is None or number < current.number or (number, observation.current_hash) in listed:
        return history  # between two revisions, or a state that was shown late
    stable = _stable_number(history, observation, number)
    if stable is not None and stable <= current.number:
        history = _promoted(history, observation, stable, now)
    for new in range(min(current.number + 1, number), number + 1):
        template = observation.template_of(new)
        if template is not None:
            history = _begun(history, observation, (new, template), stable, now, policy)
    return _leveled(history, observation, stable, now)


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


def _revision(number: int, template: Template, state: State, began: datetime | None) -> Revision:
    identity = template.identity
    return Revision(
        number=number,
        pod_template_hash=template.pod_template_hash,
        service=identity.service,
        env=identity.env,
        version=identity.version,
        deployment_id=identity.deployment_id,
        state=state,
        started_time=began or (template.created_time if number == template.numbers[0] else None),
    )


def _began(template: Template, number: int, observation: Observation, now: datetime) -> datetime:
    """A template that is used again was created for an earlier revision."""
    created = template.created_time if number == template.numbers[0] else None
    return created or observation.began_time or now


def _begun(
    history: History,
    observation: Observation,
    new: tuple[int, Template],
    stable: int | None,
    now: datetime,
    policy: Policy,
) -> History:
    """A revision begins: it ends the one before, and is a rollback where its version is older than the stable one."""
    number, template = new
    is_shown = number in {observation.revision, stable}
    began = _began(template, number, observation, now) if number == observation.revision else None
    entry = _revision(number, template, State.IN_FLIGHT if is_shown else State.UNKNOWN, began)
    history = with_order(history, entry, has_run=is_shown)
    entry, former = history.revisions[-1], history.revisions[-2]
    history = _changed(history, _ended(history, former, entry, stable, now))
    before = history.revisions[:-1]
    if stable is not None and stable < number:
        replaced = next((r for r in reversed(before) if r.number == stable and r.state is State.PROMOTED), None)
    else:
        replaced = replaced_by(before, number)
    if is_shown and replaced is not None and is_older(entry, replaced):
        history = _rolling_back(history, entry, replaced, now, policy)
    return _promoted(history, observation, number, now) if number == stable else history


def _ended(history: History, former: Revision, entry: Revision, stable: int | None, now: datetime) -> Revision:
    """Return how the former revision ended, now that `entry` has begun."""
    former = _without_unconfirmed(former)
    if former.state is not State.IN_FLIGHT:
        return former
    ended = replace(former, ended_time=former.ended_time or entry.started_time or now)
    replaced = last_promoted(history.revisions[:-1])
    # Back to what was stable: if it was promoted in between and then rolled back, the same follows from it.
    is_back = replaced is not None and replaced.key == entry.key
    if stable is not None and stable >= former.number and not is_back:
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


def _rolling_back(history: History, entry: Revision, replaced: Revision, now: datetime, policy: Policy) -> History:
    """Mark what the rollback marks. One rollback is in flight: what an earlier one marked is called off."""
    before = history.revisions[:-1]
    is_replaced = policy.rollback_marks is RollbackMarks.REPLACED
    failed = replaced if is_replaced else first_after(before, entry, replaced)
    time = entry.started_time or now
    for revision in before:
        if _is_rolled_back(revision) and revision != failed:
            history = _changed(history, _recovered(revision, entry, time, "another rollback replaced this one"))
    if failed is None or _is_rolled_back(failed):
        return history
    message = f"revision {entry.number} goes back to an older version than that of revision {replaced.number}"
    failure = Failure(verdict=VerdictKind.ROLLED_BACK, cause=Cause.ROLLBACK, message=message, time=time)
    return _changed(history, replace(failed, failure=failure))


def _is_rolled_back(revision: Revision) -> bool:
    return revision.is_failing and revision.failure is not None and revision.failure.cause is Cause.ROLLBACK


def _promoted(history: History, observation: Observation, number: int, now: datetime) -> History:
    """A level shows a revision as promoted: that is final, and ends failures."""
    index = next((i for i, r in enumerate(history.revisions) if _is_stable(r, observation, number)), None)
    if index is None or history.revisions[index].state in {State.PROMOTED, State.UNDONE, State.SUPERSEDED}:
        return history
    promoted, before = history.revisions[index], history.revisions[:index]
    is_current = observation.stable_hash == observation.current_hash
    time = (observation.promoted_time if is_current else None) or (now if promoted.state is not State.UNKNOWN else None)
    replaced = replaced_by(before, promoted.number)
    promoted = replace(_without_unconfirmed(promoted), state=State.PROMOTED, ended_time=time)
    history = _changed(history, promoted)
    is_return = bool(promoted.redeployed) and replaced is not None and replaced.key == promoted.key
    for revision in history.revisions[: index + 1]:
        if revision.is_failing:
            history = _changed(history, _closed(revision, promoted, is_return=is_return, now=now))
    return history


def _is_stable(revision: Revision, observation: Observation, number: int) -> bool:
    return (revision.number, revision.pod_template_hash) == (number, observation.stable_hash)


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


def _leveled(history: History, observation: Observation, stable: int | None, now: datetime) -> History:
    """Apply what the levels show of the current revision."""
    current = history.revisions[-1]
    if stable == current.number:
        return _promoted(history, observation, current.number, now)
    if current.state is State.PROMOTED:
        return history  # a state that was shown late
    if observation.served and current.state is State.IN_FLIGHT and not current.served:
        current = replace(current, served=True)
    failing, is_settled = observation.failing, observation.revision is not None
    if failing is not None and (is_settled or failing.time is not None) and not _is_earlier(history, failing):
        current = _failed(history, current, failing, now)
    elif failing is None and is_settled and current.state is State.ABORTED:
        current = replace(_without_unconfirmed(current), state=State.IN_FLIGHT, ended_time=None)  # a retry
    return _changed(history, current)


def _is_earlier(history: History, failing: Failing) -> bool:
    """Return whether an earlier revision of this template was aborted then: its status is shown for a moment more."""
    current, earlier = history.revisions[-1], history.revisions[:-1]
    aborted = [r for r in earlier if r.state is State.ABORTED and r.pod_template_hash == current.pod_template_hash]
    return failing.time is not None and any(r.ended_time == failing.time for r in aborted)


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
    """Return the history with another value for one of its revisions."""
    name = (revision.number, revision.pod_template_hash)
    others = (revision if (r.number, r.pod_template_hash) == name else r for r in history.revisions)
    return replace(history, revisions=tuple(others))
