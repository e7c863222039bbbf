"""What an answer says about an assumption: one judge for each kind of question."""

from collections import Counter
from collections.abc import Callable
from http import HTTPStatus

from dora_operator.domain.assumptions.probe import Scope, Seen, Verdict
from dora_operator.domain.outcome import Answer, NoAnswer, first_words
from dora_operator.domain.stored import ReadProblem, Stored, StoredDeployment, parse_answer, parse_deployments

Judge = Callable[[Stored, Scope], tuple[bool | None, str]]
"""Returns whether deployments confirm (true) or contradict (false) an assumption, and what was seen."""


def deployments_in(answer: Answer | NoAnswer) -> Stored:
    """Return the deployments in an answer, as the operator reads them."""
    found = parse_answer(answer)
    return () if isinstance(found, ReadProblem) else parse_deployments(found)


def has_status(*expected: int) -> Callable[[Answer, Scope], Seen]:
    """Judge the status alone: one of these is expected."""

    def judge(answer: Answer, _: Scope) -> Seen:
        words = first_words(answer.body) if answer.status not in expected else ""
        verdict = Verdict.CONFIRMED if answer.status in expected else Verdict.CONTRADICTED
        return verdict, f"{answer.status}{': ' if words else ''}{words}"

    return judge


def of_list(judge: Judge) -> Callable[[Answer, Scope], Seen]:
    """Judge the deployments in an answer, where there are any."""

    def judged(answer: Answer, scope: Scope) -> Seen:
        if answer.status != HTTPStatus.OK:
            return Verdict.CONTRADICTED, f"{answer.status}: {first_words(answer.body)}"
        found = deployments_in(answer)
        if not found:
            return Verdict.NOT_CLEAR, "no deployments: name a service and env that was deployed in the last 30 days"
        confirms, seen = judge(found, scope)
        verdicts = {True: Verdict.CONFIRMED, False: Verdict.CONTRADICTED, None: Verdict.NOT_CLEAR}
        return verdicts[confirms], seen

    return judged


def only_asked_for(found: Stored, scope: Scope) -> tuple[bool | None, str]:
    """Judge whether all are of the service and env in the query."""
    others = [each for each in found if (each.service, each.env) != (scope.service, scope.env)]
    return not others, f"{len(found)} deployments, {len(others)} of them of another service or env"


def newest_first(found: Stored, _: Scope) -> tuple[bool | None, str]:
    """Judge the order of the start times."""
    started = [each.started_at for each in found if each.started_at is not None]
    return (started == sorted(started, reverse=True) if len(started) > 1 else None), f"{len(started)} start times"


def has_oldest(found: Stored, scope: Scope) -> tuple[bool | None, str]:
    """Judge whether the oldest known deployment is in the page that ends at its start."""
    oldest = min(scope.known, key=lambda each: each.started_at or scope.now)
    return oldest.id in {each.id for each in found}, f"{len(found)} deployments that started not later than {oldest.id}"


def has_marks(found: Stored, _: Scope) -> tuple[bool | None, str]:
    """Judge whether each deployment has the field change_failure."""
    count = sum(each.has_mark for each in found)
    return count == len(found), f"{count} of {len(found)} deployments have the field change_failure"


def has_nulls(found: Stored, _: Scope) -> tuple[bool | None, str]:
    """Judge whether change_failure is null somewhere; nothing contradicts it."""
    count = sum(each.has_mark and each.change_failure is None for each in found)
    return True if count else None, f"{count} of {len(found)} deployments have change_failure: null"


def recovery_times(found: Stored, _: Scope) -> tuple[bool | None, str]:
    """Judge whether the recovery times are what the finish times of linked deployments give."""
    finished = {each.id: each.finished_at for each in found}
    wrong = count = 0
    for each in found:
        fixed = finished.get(each.remediation_id or "")
        if each.recovery_time_seconds is not None and fixed is not None and each.finished_at is not None:
            count += 1
            wrong += abs((fixed - each.finished_at).total_seconds() - each.recovery_time_seconds) > 1
    return (not wrong if count else None), f"{count} linked deployments with a recovery time, {wrong} of them differ"


def one_source(found: Stored, _: Scope) -> tuple[bool | None, str]:
    """Judge whether all have the same source."""
    sources = Counter(each.source or "none" for each in found)
    return len(sources) == 1, ", ".join(f"{source}: {count}" for source, count in sorted(sources.items()))


def versions_once(found: Stored, _: Scope) -> tuple[bool | None, str]:
    """Judge whether no version has several deployments."""
    versions = Counter(each.version for each in found)
    several = sum(count > 1 for count in versions.values())
    return not several, f"{len(versions)} versions, {several} of them have several deployments"


def same_id(found: Stored, scope: Scope) -> tuple[bool | None, str]:
    """Judge whether the answer is about the id that was asked for."""
    return found[0].id == scope.newest_id, f"200 with the deployment {found[0].id}"


def of_event(
    number: int, judge: Callable[[StoredDeployment, Scope], tuple[bool, str]]
) -> Callable[[Answer, Scope], Seen]:
    """Return a judge of one of the deployments that the probes have made."""

    def judge_event(found: Stored, scope: Scope) -> tuple[bool | None, str]:
        made = [each for each in found if each.id == scope.event(number).deployment_id]
        return judge(made[0], scope) if made else (None, "the list does not have it")

    return of_list(judge_event)


def is_marked(failure: bool) -> Callable[[StoredDeployment, Scope], tuple[bool, str]]:  # noqa: FBT001
    """Return a judge of the mark of one deployment."""
    return lambda found, _: (found.change_failure is failure, f"change_failure is {found.change_failure}".lower())


def linked_to_second(found: StoredDeployment, scope: Scope) -> tuple[bool, str]:
    """Judge whether the link of the first event names the id of the second."""
    return found.remediation_id == scope.event(2).deployment_id, f"remediation.id is {found.remediation_id}"


def negative(found: StoredDeployment, _: Scope) -> tuple[bool, str]:
    """Judge whether the recovery time is below zero."""
    seconds = found.recovery_time_seconds
    return seconds is not None and seconds < 0, f"recovery_time_sec is {seconds}"


def once(found: Stored, scope: Scope) -> tuple[bool | None, str]:
    """Judge whether the version of the second event has one deployment."""
    count = sum(each.version == scope.event(2).version for each in found)
    return (count == 1 if count else None), f"{count} deployments of this version"
