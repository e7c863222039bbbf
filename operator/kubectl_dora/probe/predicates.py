"""What an answer says about an assumption: one predicate for each kind of question.

Each returns whether the answer confirms (true) or contradicts (false) it, and what was observed.
"""

from collections import Counter
from collections.abc import Callable
from http import HTTPStatus

from dora_operator.domain.outcome import Answer, NoAnswer, first_words
from dora_operator.domain.stored import ReadProblem, Stored, StoredDeployment, parse_answer, parse_deployments
from kubectl_dora.probe.model import Observed, Result, Scope

Fact = tuple[bool | None, str]
Predicate = Callable[[Stored, Scope], Fact]
Answered = Callable[[Answer, Scope], Observed]
OfOne = Callable[[StoredDeployment, Scope], Fact]


def deployments_in(answer: Answer | NoAnswer) -> Stored:
    """Return the deployments in an answer, as the operator reads them."""
    found = parse_answer(answer)
    return () if isinstance(found, ReadProblem) else parse_deployments(found)


def has_status(*expected: int) -> Answered:
    def predicate(answer: Answer, _: Scope) -> Observed:
        words = first_words(answer.body) if answer.status not in expected else ""
        result = Result.CONFIRMED if answer.status in expected else Result.CONTRADICTED
        return result, f"{answer.status}{': ' if words else ''}{words}"

    return predicate


def of_list(predicate: Predicate) -> Answered:
    def observe(answer: Answer, scope: Scope) -> Observed:
        if answer.status != HTTPStatus.OK:
            return Result.CONTRADICTED, f"{answer.status}: {first_words(answer.body)}"
        found = deployments_in(answer)
        if not found:
            return Result.NOT_CLEAR, "no deployments: name a service and env that was deployed in the last 30 days"
        confirms, observed = predicate(found, scope)
        results = {True: Result.CONFIRMED, False: Result.CONTRADICTED, None: Result.NOT_CLEAR}
        return results[confirms], observed

    return observe


def only_asked_for(found: Stored, scope: Scope) -> Fact:
    others = [each for each in found if (each.service, each.env) != (scope.service, scope.env)]
    return not others, f"{len(found)} deployments, {len(others)} of them of another service or env"


def newest_first(found: Stored, _: Scope) -> Fact:
    started = [each.started_at for each in found if each.started_at is not None]
    return (started == sorted(started, reverse=True) if len(started) > 1 else None), f"{len(started)} start times"


def has_oldest(found: Stored, scope: Scope) -> Fact:
    oldest = min(scope.known, key=lambda each: each.started_at or scope.now)
    return oldest.id in {each.id for each in found}, f"{len(found)} deployments that started not later than {oldest.id}"


def has_marks(found: Stored, _: Scope) -> Fact:
    count = sum(each.has_mark for each in found)
    return count == len(found), f"{count} of {len(found)} deployments have the field change_failure"


def has_nulls(found: Stored, _: Scope) -> Fact:
    count = sum(each.has_mark and each.change_failure is None for each in found)
    return True if count else None, f"{count} of {len(found)} deployments have change_failure: null"


def recovery_times(found: Stored, _: Scope) -> Fact:
    finished = {each.id: each.finished_at for each in found}
    wrong = count = 0
    for each in found:
        fixed = finished.get(each.remediation_id or "")
        if each.recovery_time_seconds is not None and fixed is not None and each.finished_at is not None:
            count += 1
            wrong += abs((fixed - each.finished_at).total_seconds() - each.recovery_time_seconds) > 1
    return (not wrong if count else None), f"{count} linked deployments with a recovery time, {wrong} of them differ"


def one_source(found: Stored, _: Scope) -> Fact:
    sources = Counter(each.source or "none" for each in found)
    return len(sources) == 1, ", ".join(f"{source}: {count}" for source, count in sorted(sources.items()))


def versions_once(found: Stored, _: Scope) -> Fact:
    versions = Counter(each.version for each in found)
    several = sum(count > 1 for count in versions.values())
    return not several, f"{len(versions)} versions, {several} of them have several deployments"


def same_id(found: Stored, scope: Scope) -> Fact:
    return found[0].id == scope.newest_id, f"200 with the deployment {found[0].id}"


def of_event(number: int, predicate: OfOne) -> Answered:
    """Return a predicate of one of the deployments that the probes have made."""

    def of_one(found: Stored, scope: Scope) -> Fact:
        made = [each for each in found if each.id == scope.event(number).deployment_id]
        return predicate(made[0], scope) if made else (None, "the list does not have it")

    return of_list(of_one)


def is_marked(failure: bool) -> OfOne:  # noqa: FBT001
    return lambda found, _: (found.change_failure is failure, f"change_failure is {found.change_failure}".lower())


def linked_to_second(found: StoredDeployment, scope: Scope) -> Fact:
    return found.remediation_id == scope.event(2).deployment_id, f"remediation.id is {found.remediation_id}"


def negative(found: StoredDeployment, _: Scope) -> Fact:
    seconds = found.recovery_time_seconds
    return seconds is not None and seconds < 0, f"recovery_time_sec is {seconds}"


def once(found: Stored, scope: Scope) -> Fact:
    count = sum(each.version == scope.event(2).version for each in found)
    return (count == 1 if count else None), f"{count} deployments of this version"


def is_listed(found: StoredDeployment, _: Scope) -> Fact:
    return True, f"the list has {found.id}"
