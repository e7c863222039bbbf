"""What the operator assumes about Datadog and no documentation says, as probes: a request, what its answer decides.

`dora-operator probe` prints them, or sends them; see `tenant`. Knows no connection.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from urllib.parse import quote

from dora_operator.domain.fields import RemediationLink, RemediationType
from dora_operator.domain.outcome import Answer, NoAnswer, first_words
from dora_operator.domain.read_back import (
    BEFORE_CREATION,
    ReadProblem,
    Stored,
    StoredDeployment,
    parse_answer,
    parse_deployments,
)
from dora_operator.domain.request import (
    COLLECTION,
    DEPLOYMENT_PATH,
    PatchById,
    PatchByVersion,
    PatchRequest,
    encode,
    encode_event,
    encode_list,
)
from dora_operator.domain.resource import MarkState
from dora_operator.domain.rollout.restoration import DeploymentEvent

PAGE = 1000
NEWEST = "ID_OF_THE_NEWEST_DEPLOYMENT"
"""Stands for an id that only an answer shows, where nothing is sent."""
PERMISSIONS = {False: "dora_metrics_read", True: "dora_metrics_write"}
FIRST_FINISHED, SECOND_FINISHED = timedelta(minutes=20), timedelta(minutes=10)
DURATION = timedelta(minutes=1)


class Verdict(StrEnum):
    """What an answer says about an assumption."""

    CONFIRMED = "confirmed"
    CONTRADICTED = "contradicted"
    NOT_CLEAR = "not clear"


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """One request to Datadog."""

    method: str
    path: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Scope:
    """The only service and env that probes are about, and what the first list has shown of them."""

    service: str
    env: str
    now: datetime
    known: Stored = ()

    @property
    def newest_id(self) -> str:
        """An id that Datadog has."""
        return self.known[0].id if self.known else NEWEST

    def event(self, number: int) -> DeploymentEvent:
        """Return one of the two deployments that the writing probes make and delete."""
        finished = self.now - (FIRST_FINISHED if number == 1 else SECOND_FINISHED)
        name = f"probe-{self.now:%Y%m%d%H%M%S}-{number}"
        return DeploymentEvent(f"dora-operator-{name}", self.service, self.env, name, finished - DURATION, finished)


Seen = tuple[Verdict, str]
"""What an answer says, and what was seen in it."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One assumption, and the request whose answer confirms or contradicts it."""

    name: str
    assumes: str
    request: Callable[[Scope], ProbeRequest]
    judge: Callable[[Answer, Scope], Seen]
    confirmed: str
    """What follows."""
    contradicted: str
    """What to change."""
    needs_deployment: bool = False
    """The request is about a deployment that the first list has shown."""
    writes: bool = False
    polled: bool = False
    """Repeated until it is confirmed, or the time is over: Datadog shows a change later."""

    def verdict(self, answer: Answer | NoAnswer, scope: Scope) -> Seen:
        """Return what an answer decides."""
        if isinstance(answer, NoAnswer):
            return Verdict.NOT_CLEAR, f"no answer: {answer.detail}"
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            is_about_keys = self.name in {"read-permission", "write-permission"}
            seen = f"{answer.status}: the keys lack {PERMISSIONS[self.writes]}, or are not of this site"
            return Verdict.CONTRADICTED if is_about_keys else Verdict.NOT_CLEAR, seen
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Verdict.NOT_CLEAR, f"{answer.status}: try again later"
        return self.judge(answer, scope)


def deployments_in(answer: Answer | NoAnswer) -> Stored:
    """Return the deployments in an answer, as the operator reads them."""
    found = parse_answer(answer)
    return () if isinstance(found, ReadProblem) else parse_deployments(found)


def _list(scope: Scope, limit: int = PAGE, until: datetime | None = None) -> ProbeRequest:
    since = scope.now - BEFORE_CREATION
    return ProbeRequest("POST", COLLECTION, encode_list(scope.service, scope.env, since, until or scope.now, limit))


def _list_of_last_page(scope: Scope) -> ProbeRequest:
    started = [each.started_at for each in scope.known if each.started_at is not None]
    return _list(scope, until=min(started, default=scope.now))


def _get(deployment_id: str) -> ProbeRequest:
    return ProbeRequest("GET", f"{COLLECTION}/{quote(deployment_id, safe='')}")


def _patch(request: PatchRequest) -> ProbeRequest:
    return ProbeRequest("PATCH", request.path, encode(request))


def _post(scope: Scope, number: int) -> ProbeRequest:
    return ProbeRequest("POST", DEPLOYMENT_PATH, encode_event(scope.event(number)))


def _delete(scope: Scope, number: int) -> ProbeRequest:
    return ProbeRequest("DELETE", f"{DEPLOYMENT_PATH}/{scope.event(number).deployment_id}")


def _mark(scope: Scope, number: int, failure: bool, link: RemediationLink | None = None) -> ProbeRequest:  # noqa: FBT001
    state = MarkState(change_failure=failure, remediation=link)
    return _patch(PatchById(scope.event(number).deployment_id, state))


def _link_by_version(scope: Scope) -> ProbeRequest:
    link = RemediationLink(type=RemediationType.ROLLFORWARD, version=scope.event(2).version)
    state = MarkState(change_failure=True, remediation=link)
    return _patch(PatchByVersion(scope.service, scope.env, scope.event(1).version or "", state))


def _link_to_earlier(scope: Scope) -> ProbeRequest:
    link = RemediationLink(type=RemediationType.ROLLBACK, id=scope.event(1).deployment_id)
    return _mark(scope, 2, True, link)


def _mark_unknown_version(scope: Scope) -> ProbeRequest:
    version = f"{scope.event(1).version}-unknown"
    return _patch(PatchByVersion(scope.service, scope.env, version, MarkState(change_failure=False)))


def _unknown_id(scope: Scope) -> str:
    return f"{scope.event(1).deployment_id}-unknown"


def _status(*expected: int) -> Callable[[Answer, Scope], Seen]:
    def judge(answer: Answer, _: Scope) -> Seen:
        words = first_words(answer.body) if answer.status not in expected else ""
        verdict = Verdict.CONFIRMED if answer.status in expected else Verdict.CONTRADICTED
        return verdict, f"{answer.status}{': ' if words else ''}{words}"

    return judge


Judge = Callable[[Stored, Scope], tuple[bool | None, str]]
"""Returns whether deployments confirm (true) or contradict (false) an assumption, and what was seen."""


def _of_list(judge: Judge) -> Callable[[Answer, Scope], Seen]:
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


def _only_asked_for(found: Stored, scope: Scope) -> tuple[bool | None, str]:
    others = [each for each in found if (each.service, each.env) != (scope.service, scope.env)]
    return not others, f"{len(found)} deployments, {len(others)} of them of another service or env"


def _newest_first(found: Stored, _: Scope) -> tuple[bool | None, str]:
    started = [each.started_at for each in found if each.started_at is not None]
    return (started == sorted(started, reverse=True) if len(started) > 1 else None), f"{len(started)} start times"


def _has_oldest(found: Stored, scope: Scope) -> tuple[bool | None, str]:
    oldest = min(scope.known, key=lambda each: each.started_at or scope.now)
    return oldest.id in {each.id for each in found}, f"{len(found)} deployments that started not later than {oldest.id}"


def _has_marks(found: Stored, _: Scope) -> tuple[bool | None, str]:
    count = sum(each.has_mark for each in found)
    return count == len(found), f"{count} of {len(found)} deployments have the field change_failure"


def _has_nulls(found: Stored, _: Scope) -> tuple[bool | None, str]:
    count = sum(each.has_mark and each.change_failure is None for each in found)
    return True if count else None, f"{count} of {len(found)} deployments have change_failure: null"


def _recovery_times(found: Stored, _: Scope) -> tuple[bool | None, str]:
    finished = {each.id: each.finished_at for each in found}
    wrong = count = 0
    for each in found:
        fixed = finished.get(each.remediation_id or "")
        if each.recovery_time_seconds is not None and fixed is not None and each.finished_at is not None:
            count += 1
            wrong += abs((fixed - each.finished_at).total_seconds() - each.recovery_time_seconds) > 1
    return (not wrong if count else None), f"{count} linked deployments with a recovery time, {wrong} of them differ"


def _one_source(found: Stored, _: Scope) -> tuple[bool | None, str]:
    sources = Counter(each.source or "none" for each in found)
    return len(sources) == 1, ", ".join(f"{source}: {count}" for source, count in sorted(sources.items()))


def _versions_once(found: Stored, _: Scope) -> tuple[bool | None, str]:
    versions = Counter(each.version for each in found)
    several = sum(count > 1 for count in versions.values())
    return not several, f"{len(versions)} versions, {several} of them have several deployments"


def _same_id(found: Stored, scope: Scope) -> tuple[bool | None, str]:
    return found[0].id == scope.newest_id, f"200 with the deployment {found[0].id}"


def _of_event(
    number: int, judge: Callable[[StoredDeployment, Scope], tuple[bool, str]]
) -> Callable[[Answer, Scope], Seen]:
    """Judge one of the deployments that the probes have made."""

    def of_list(found: Stored, scope: Scope) -> tuple[bool | None, str]:
        made = [each for each in found if each.id == scope.event(number).deployment_id]
        return judge(made[0], scope) if made else (None, "the list does not have it")

    return _of_list(of_list)


def _marked(failure: bool) -> Callable[[StoredDeployment, Scope], tuple[bool, str]]:  # noqa: FBT001
    return lambda found, _: (found.change_failure is failure, f"change_failure is {found.change_failure}".lower())


def _linked_to_second(found: StoredDeployment, scope: Scope) -> tuple[bool, str]:
    return found.remediation_id == scope.event(2).deployment_id, f"remediation.id is {found.remediation_id}"


def _negative(found: StoredDeployment, _: Scope) -> tuple[bool, str]:
    seconds = found.recovery_time_seconds
    return seconds is not None and seconds < 0, f"recovery_time_sec is {seconds}"


def _once(found: Stored, scope: Scope) -> tuple[bool | None, str]:
    count = sum(each.version == scope.event(2).version for each in found)
    return (count == 1 if count else None), f"{count} deployments of this version"


READS = (
    Probe(
        "read-permission",
        "these keys may read deployments",
        lambda scope: _list(scope, limit=1),
        _status(HTTPStatus.OK),
        "marks of this account can be verified",
        "give the application key's owner, and its scopes, dora_metrics_read; until then Verified says ReadForbidden",
    ),
    Probe(
        "list-query",
        'a list takes service:"…" env:"…" and returns these deployments alone, up to 1,000 at once',
        _list,
        _of_list(_only_asked_for),
        "deployments are found by version",
        "report the query and the answer as a defect; until then name deployments by id",
    ),
    Probe(
        "list-order",
        "a list with sort: -started_at begins with the newest deployment",
        _list,
        _of_list(_newest_first),
        "paging by lowering `to` sees every deployment",
        "report it as a defect: with more than 1,000 deployments in 30 days, some would count as missing",
    ),
    Probe(
        "list-paging",
        "a list whose `to` is the start of the oldest known deployment contains that deployment",
        _list_of_last_page,
        _of_list(_has_oldest),
        "no deployment falls between two pages",
        "report it as a defect: with more than 1,000 deployments in 30 days, some would count as missing",
        needs_deployment=True,
    ),
    Probe(
        "list-has-marks",
        "the list shows change_failure, which the published schema does not have",
        _list,
        _of_list(_has_marks),
        "marks are verified from the list",
        "Verified will say FieldsNotReturned: compare marks in Datadog's pages, or set DORA_OPERATOR_READ_BACK=false",
    ),
    Probe(
        "list-null",
        "change_failure is null until Datadog has evaluated a deployment",
        _list,
        _of_list(_has_nulls),
        "NotEvaluated is a state that passes; run it again within minutes of a deployment to see for how long",
        "nothing: no answer can contradict it",
    ),
    Probe(
        "recovery-time",
        "recovery_time_sec is the finish of the remediation minus the finish of the failed deployment",
        _list,
        _of_list(_recovery_times),
        "the operator's check for a negative recovery time compares the right times",
        "set DORA_OPERATOR_ABORT_RECOVERY=None, and report it as a defect: RecoveryNegative compares other times",
    ),
    Probe(
        "one-source",
        "all deployments of the service come from one source",
        _list,
        _of_list(_one_source),
        "no deployment is listed twice because two sources report it",
        "select one source of deployments in Datadog's DORA settings; keep DORA_OPERATOR_ON_MISSING=Wait until then",
    ),
    Probe(
        "versions-once",
        "each version has one deployment",
        _list,
        _of_list(_versions_once),
        "a resource by version is pinned to its deployment",
        "give every release its own version, or name deployments by id: a hand-written mark by version is Ambiguous",
    ),
    Probe(
        "get-by-id",
        "GET of a known id returns the deployment",
        lambda scope: _get(scope.newest_id),
        _of_list(_same_id),
        "a resource by id is verified, and gets its service, env and version",
        "name deployments by service, env and version: resources by id would show DeploymentMissing",
        needs_deployment=True,
    ),
    Probe(
        "get-has-mark",
        "GET shows change_failure, too",
        lambda scope: _get(scope.newest_id),
        _of_list(_has_marks),
        "the first read of a resource by id verifies its mark",
        "resources by id show FieldsNotReturned at their first read, until the list serves them",
        needs_deployment=True,
    ),
    Probe(
        "get-unknown",
        "GET of an unknown id is answered 404",
        lambda scope: _get(_unknown_id(scope)),
        _status(HTTPStatus.NOT_FOUND),
        "a mistaken id shows DeploymentMissing",
        "a mistaken id shows ReadUnavailable: check ids by hand, and report the answer as a defect",
    ),
)
"""In this order; none of them changes anything."""
EVENT_FOLLOWS = "the operator's own deployment events are possible (onMissing: Create, abortRecovery: Restored)"
NO_EVENTS = "keep DORA_OPERATOR_ON_MISSING=Wait and DORA_OPERATOR_ABORT_RECOVERY=None"
WRITES = (
    Probe(
        "write-permission",
        "PATCH of a version that Datadog does not have is answered 202, and marks nothing",
        _mark_unknown_version,
        _status(HTTPStatus.ACCEPTED),
        "a 202 proves nothing: DORA_OPERATOR_READ_BACK=true is what shows a missing deployment",
        "on 401 and 403, give the key dora_metrics_write; on 404, resources show DeploymentNotFound: nothing to change",
        writes=True,
    ),
    Probe(
        "patch-unknown-id",
        "PATCH of an id that Datadog does not have is answered 202, and marks nothing",
        lambda scope: _patch(PatchById(_unknown_id(scope), MarkState(change_failure=False))),
        _status(HTTPStatus.ACCEPTED),
        "a 202 proves nothing: DORA_OPERATOR_READ_BACK=true is what shows a missing deployment",
        "on 404, resources show DeploymentNotFound: nothing to change",
        writes=True,
    ),
    Probe(
        "post-first",
        "a deployment event may have an id of its own and lie 20 minutes back",
        lambda scope: _post(scope, 1),
        _status(HTTPStatus.OK, HTTPStatus.ACCEPTED),
        EVENT_FOLLOWS,
        NO_EVENTS,
        writes=True,
    ),
    Probe(
        "post-second",
        "a second version of the service, ten minutes later, is a deployment of its own",
        lambda scope: _post(scope, 2),
        _status(HTTPStatus.OK, HTTPStatus.ACCEPTED),
        EVENT_FOLLOWS,
        NO_EVENTS,
        writes=True,
    ),
    Probe(
        "early-mark",
        "a mark that follows its event at once is answered 202",
        lambda scope: _mark(scope, 2, True),
        _status(HTTPStatus.ACCEPTED),
        "onMissing: Create may mark the event that it has just posted",
        NO_EVENTS,
        writes=True,
    ),
    Probe(
        "visible",
        "a posted deployment is in the list within 15 minutes",
        _list,
        _of_event(2, lambda found, _: (True, f"the list has {found.id}")),
        "onMissing: Create does not take a deployment for missing that is only late",
        f"{NO_EVENTS}: deployments arrive later than Create waits",
        writes=True,
        polled=True,
    ),
    Probe(
        "early-mark-kept",
        "a mark that came before its deployment was visible is applied",
        _list,
        _of_event(2, _marked(True)),
        "the first mark of an abort counts",
        "keep DORA_OPERATOR_READ_BACK=true: such a mark is lost, and sent again after the second to the fourth read",
        writes=True,
    ),
    Probe(
        "mark",
        "PATCH by id of a visible deployment is answered 202",
        lambda scope: _mark(scope, 2, True),
        _status(HTTPStatus.ACCEPTED),
        "marks arrive",
        "read Datadog's words; report them as a defect",
        writes=True,
    ),
    Probe(
        "mark-stored",
        "the list shows the mark soon after the 202",
        _list,
        _of_event(2, _marked(True)),
        "the first number of DORA_OPERATOR_READ_BACK_SCHEDULE should be more than this took",
        "make the numbers of DORA_OPERATOR_READ_BACK_SCHEDULE larger: marks are shown later than the probe waited",
        writes=True,
        polled=True,
    ),
    Probe(
        "link-by-version",
        "PATCH by version with a remediation by version is answered 202",
        _link_by_version,
        _status(HTTPStatus.ACCEPTED),
        "remediations by version are taken",
        "name deployments and remediations by id",
        writes=True,
    ),
    Probe(
        "link-stored",
        "a remediation by version is shown as the id of its deployment",
        _list,
        _of_event(1, _linked_to_second),
        "links are verified",
        "name remediations by id; Verified has the reason NotApplied or none for those by version",
        writes=True,
        polled=True,
    ),
    Probe(
        "link-to-earlier",
        "a remediation that finished before the failure is answered 202",
        _link_to_earlier,
        _status(HTTPStatus.ACCEPTED),
        "Datadog does not refuse a wrong link: the operator has to check it",
        "nothing: Datadog refuses such a link by itself",
        writes=True,
    ),
    Probe(
        "negative-recovery",
        "such a link gives a negative recovery_time_sec",
        _list,
        _of_event(2, _negative),
        "RecoveryNegative is shown for such links, and the operator sends none",
        "nothing: RecoveryNegative is shown only where the operator does not send the link",
        writes=True,
        polled=True,
    ),
    Probe(
        "clear",
        "change_failure: false takes a mark back",
        lambda scope: _mark(scope, 2, False),
        _status(HTTPStatus.ACCEPTED),
        "DORA_OPERATOR_RETRY_SUCCESS=MarkStable works",
        "set DORA_OPERATOR_RETRY_SUCCESS=Keep",
        writes=True,
    ),
    Probe(
        "clear-stored",
        "the list shows that the mark is taken back",
        _list,
        _of_event(2, _marked(False)),
        "DORA_OPERATOR_RETRY_SUCCESS=MarkStable works",
        "set DORA_OPERATOR_RETRY_SUCCESS=Keep, and take marks back in Datadog",
        writes=True,
        polled=True,
    ),
    Probe(
        "post-again",
        "the same event with the same id may be posted again",
        lambda scope: _post(scope, 2),
        _status(HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT),
        "a restart between event and mark does no harm",
        NO_EVENTS,
        writes=True,
    ),
    Probe(
        "posted-once",
        "an event that was posted twice is one deployment",
        _list,
        _of_list(_once),
        "a restart between event and mark does no harm; run it again later, if deployments arrive late",
        NO_EVENTS,
        writes=True,
    ),
)
"""In this order: they make two deployments in the service and env, and mark them."""
CLEANUP = tuple(
    Probe(
        f"delete-{word}",
        "DELETE of a deployment is answered 202",
        request,
        _status(HTTPStatus.ACCEPTED),
        "it disappears; if the list never showed it, delete it in Datadog when it appears",
        "delete it in Datadog: the output begins with its id",
        writes=True,
    )
    for word, request in (("first", lambda scope: _delete(scope, 1)), ("second", lambda scope: _delete(scope, 2)))
)
"""Sent at the end, whatever happened before."""
GROUPS: Mapping[str, tuple[Probe, ...]] = {"reads": READS, "writes": WRITES, "deletes": CLEANUP}
