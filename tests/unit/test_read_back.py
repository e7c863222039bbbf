"""What a read means for a mark, when it is due, and which deployment a mark or a link is about. No requests here."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dora_operator.domain.fields import OnMissing, RemediationLink, RemediationType
from dora_operator.domain.outcome import Answer, FailureKind, NoAnswer
from dora_operator.domain.read_back import (
    DAYS_MISSING,
    Finding,
    LinkChecked,
    Read,
    ReadProblem,
    Stored,
    StoredDeployment,
    check_link,
    evaluate,
    find,
    is_earlier,
    next_read,
    parse_answer,
    parse_deployments,
    reads_due,
    searched_from,
)
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import (
    Condition,
    ConditionStatus,
    DoraDeploymentStatus,
    MarkState,
    ReadBack,
    Target,
    TargetKind,
)
from dora_operator.settings import Settings
from tests.support.builders import NOW

SCHEDULE = (30.0, 120.0, 600.0, 3600.0, 86400.0)
SITE = "datadoghq.com"
TAGS = {"service": "checkout", "env": "prod", "version": "2"}
BY_VERSION = Target(by=TargetKind.VERSION, site=SITE, **TAGS)
PINNED = Target(by=TargetKind.ID, id="deployment-one", site=SITE, **TAGS)
FAILURE = MarkState(change_failure=True)
TO_VERSION_1 = RemediationLink(type=RemediationType.ROLLBACK, version="1")
TO_ONE_OF_1 = RemediationLink(type=RemediationType.ROLLBACK, id="deployment-old")
FOREVER = timedelta(days=400)


def after(seconds: float) -> datetime:
    """Return a time."""
    return NOW + timedelta(seconds=seconds)


def stored(deployment_id: str = "deployment-one", finished: float | None = 0, **fields: Any) -> StoredDeployment:
    """Return a deployment of version 2 that is marked, as Datadog has it."""
    at = after(finished) if finished is not None else None
    marked = {"has_mark": True, "change_failure": True}
    return StoredDeployment(deployment_id, **(TAGS | {"finished_at": at} | marked | fields))


def status_of(
    reason: Reason | None = None, accepted: MarkState | None = FAILURE, **fields: Any
) -> DoraDeploymentStatus:
    """Return the status of a state that was accepted at NOW, and verified with a reason."""
    verified = Condition(
        type="Verified",
        status=STATUSES.get(reason, ConditionStatus.UNKNOWN) if reason is not None else ConditionStatus.UNKNOWN,
        observed_generation=1,
        last_transition_time=NOW,
        reason=reason.value if reason is not None else "Pending",
        message="as it was found before",
    )
    conditions = (verified,) if reason is not None else None
    made = {"accepted": accepted, "accepted_time": NOW, "conditions": conditions} | fields
    return DoraDeploymentStatus(observed_generation=1, **made)


STATUSES = {
    Reason.READ_BACK: ConditionStatus.TRUE,
    Reason.DEPLOYMENT_MISSING: ConditionStatus.FALSE,
    Reason.NOT_APPLIED: ConditionStatus.FALSE,
    Reason.CHANGED_IN_DATADOG: ConditionStatus.FALSE,
    Reason.RECOVERY_NEGATIVE: ConditionStatus.FALSE,
}
"""DESIGN, section 7: every other reason is Unknown."""
READ_BACK = ReadBack(time=after(31), id="deployment-one", change_failure=True)
UNAVAILABLE = ReadProblem(Reason.READ_UNAVAILABLE, "Datadog could not be read (503)")
FORBIDDEN = ReadProblem(Reason.READ_FORBIDDEN, "give it dora_metrics_read")


# What an answer says


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(Answer(404, {}, b""), [], id="404 is no deployment"),
        pytest.param(Answer(200, {}, b'{"data":[]}'), [], id="an empty list is no deployment"),
        pytest.param(Answer(200, {}, b'{"data":{"id":"a"}}'), [{"id": "a"}], id="a GET has one deployment"),
        pytest.param(Answer(200, {}, b'{"data":[1,{"id":"a"}]}'), [{"id": "a"}], id="rubbish in a list is left out"),
        pytest.param(Answer(401, {}, b""), Reason.READ_FORBIDDEN, id="401 is forbidden"),
        pytest.param(Answer(403, {}, b""), Reason.READ_FORBIDDEN, id="403 is forbidden"),
        pytest.param(Answer(429, {}, b""), Reason.READ_UNAVAILABLE, id="429 is unavailable"),
        pytest.param(Answer(503, {}, b""), Reason.READ_UNAVAILABLE, id="503 is unavailable"),
        pytest.param(Answer(200, {}, b"<html>"), Reason.READ_UNAVAILABLE, id="a login page is unavailable"),
        pytest.param(Answer(200, {}, b'{"data":null}'), Reason.READ_UNAVAILABLE, id="no data is unavailable"),
        pytest.param(Answer(200, {}, b"[" * 100_000), Reason.READ_UNAVAILABLE, id="endless nesting is unavailable"),
        pytest.param(Answer(202, {}, b'{"data":[]}'), Reason.READ_UNAVAILABLE, id="202 is no answer to a read"),
    ],
)
def test_an_answer_has_deployments_or_a_problem(answer: Answer, expected: object) -> None:
    """Only 404 and a list without items mean that Datadog has none."""
    found = parse_answer(answer)
    assert (found.reason if isinstance(found, ReadProblem) else found) == expected


def test_a_refusal_names_the_permission() -> None:
    """The fix is in the message."""
    found = parse_answer(Answer(403, {}, b""))
    assert isinstance(found, ReadProblem)
    assert "dora_metrics_read" in found.message


def item(**attributes: Any) -> dict[str, Any]:
    """Return a deployment as Datadog sends it."""
    return {"id": "deployment-one", "type": "dora_deployment", "attributes": TAGS | attributes}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        pytest.param({}, (False, None), id="an absent field is not false"),
        pytest.param({"change_failure": None}, (True, None), id="null is not evaluated"),
        pytest.param({"change_failure": False}, (True, False), id="false is false"),
        pytest.param({"change_failure": True}, (True, True), id="true is true"),
        pytest.param({"change_failure": "false"}, (True, None), id="a text is no mark"),
        pytest.param({"change_failure": 0}, (True, None), id="a number is no mark"),
    ],
)
def test_a_mark_is_there_or_not(attributes: dict[str, Any], expected: tuple[bool, bool | None]) -> None:
    """Three different things: no field, null, and a value."""
    (found,) = parse_deployments([item(**attributes)])
    assert (found.has_mark, found.change_failure) == expected


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda each: (
            st.lists(each)
            | st.dictionaries(
                st.sampled_from(["id", "data", "attributes", "change_failure", "remediation", "type", "finished_at"]),
                each,
            )
        ),
    ).map(lambda document: json.dumps({"data": document}).encode())
)
def test_any_answer_can_be_read(body: bytes) -> None:
    """Whatever Datadog answers, a read has a result, and no mark is made up from it."""
    found = parse_answer(Answer(200, {}, body))
    if isinstance(found, ReadProblem):
        assert found.reason is Reason.READ_UNAVAILABLE
        return
    for each in parse_deployments(found):
        assert each.has_mark or each.change_failure is None


# What a read means


def evaluated(
    found: Stored | ReadProblem, status: DoraDeploymentStatus, target: Target = BY_VERSION, **read: Any
) -> Finding:
    """Evaluate the first read, unless it is said otherwise."""
    return evaluate(found, target, status, Read(**({"number": 1, "now": after(31)} | read)))


LINKED = MarkState(change_failure=True, remediation=TO_VERSION_1)
OLD = stored("deployment-old", -100, version="1", change_failure=False)
BACK: dict[str, Any] = {"remediation_type": "rollback", "remediation_id": "deployment-old"}


@pytest.mark.parametrize(
    ("found", "status", "reason"),
    [
        pytest.param((stored(),), status_of(), Reason.READ_BACK, id="equal"),
        pytest.param((), status_of(), Reason.DEPLOYMENT_MISSING, id="none"),
        pytest.param((OLD,), status_of(), Reason.DEPLOYMENT_MISSING, id="only another version"),
        pytest.param((stored(change_failure=False),), status_of(), Reason.NOT_APPLIED, id="false, never seen applied"),
        pytest.param(
            (stored(change_failure=False),), status_of(Reason.READ_BACK), Reason.CHANGED_IN_DATADOG, id="was equal"
        ),
        pytest.param(
            (stored(change_failure=False),),
            status_of(Reason.CHANGED_IN_DATADOG),
            Reason.CHANGED_IN_DATADOG,
            id="was changed before",
        ),
        pytest.param((stored(),), status_of(Reason.CHANGED_IN_DATADOG), Reason.READ_BACK, id="was changed back"),
        pytest.param((stored(),), status_of(Reason.DEPLOYMENT_MISSING), Reason.READ_BACK, id="was missing"),
        pytest.param(
            (stored(change_failure=False),), status_of(Reason.DEPLOYMENT_MISSING), Reason.NOT_APPLIED, id="came late"
        ),
        pytest.param(
            (stored(has_mark=False, change_failure=None),), status_of(), Reason.FIELDS_NOT_RETURNED, id="no field"
        ),
        pytest.param((stored(change_failure=None),), status_of(), Reason.NOT_EVALUATED, id="null"),
        pytest.param((stored(), stored("two")), status_of(), Reason.AMBIGUOUS, id="two of the version"),
        pytest.param((OLD, stored(**BACK)), status_of(accepted=LINKED), Reason.READ_BACK, id="linked to the version"),
        pytest.param((OLD, stored()), status_of(accepted=LINKED), Reason.NOT_APPLIED, id="no link"),
        pytest.param(
            (OLD, stored(**BACK | {"remediation_type": "rollforward"})),
            status_of(accepted=LINKED),
            Reason.NOT_APPLIED,
            id="a link of another type",
        ),
        pytest.param(
            (stored("deployment-old", version="3"), stored(**BACK)),
            status_of(accepted=LINKED),
            Reason.NOT_APPLIED,
            id="a link to another version",
        ),
        pytest.param(
            (stored(**BACK),), status_of(accepted=LINKED), Reason.READ_BACK, id="a link whose version is not shown"
        ),
        pytest.param(
            (stored(**BACK | {"remediation_id": "deployment-new"}),),
            status_of(accepted=replace(LINKED, remediation=TO_ONE_OF_1)),
            Reason.NOT_APPLIED,
            id="a link to another id",
        ),
        pytest.param(
            (stored(**BACK),),
            status_of(),
            Reason.READ_BACK,
            id="a link that nobody asked for is Datadog's",
        ),
        pytest.param((stored(recovery_time_seconds=-1),), status_of(), Reason.RECOVERY_NEGATIVE, id="negative"),
        pytest.param((stored(recovery_time_seconds=0),), status_of(), Reason.READ_BACK, id="recovered at once"),
        pytest.param(
            (stored(change_failure=True),),
            status_of(accepted=MarkState(remediation=None)),
            Reason.READ_BACK,
            id="nothing was asked about failure",
        ),
        pytest.param(UNAVAILABLE, status_of(), Reason.READ_UNAVAILABLE, id="an outage"),
        pytest.param(FORBIDDEN, status_of(Reason.PENDING), Reason.READ_FORBIDDEN, id="no permission"),
        pytest.param(FORBIDDEN, status_of(Reason.READ_UNAVAILABLE), Reason.READ_FORBIDDEN, id="after an outage"),
    ],
)
def test_each_reason(found: Stored | ReadProblem, status: DoraDeploymentStatus, reason: Reason) -> None:
    """The table of DESIGN, section 7."""
    verification = evaluated(found, status).verification
    assert verification.reason is reason
    assert verification.status is STATUSES.get(reason, ConditionStatus.UNKNOWN)
    assert verification.message


@pytest.mark.parametrize("problem", [UNAVAILABLE, FORBIDDEN], ids=["an outage", "no permission"])
@pytest.mark.parametrize(
    "reason",
    [*STATUSES, Reason.NOT_EVALUATED, Reason.FIELDS_NOT_RETURNED, Reason.AMBIGUOUS],
    ids=lambda reason: f"after {reason}",
)
def test_a_read_that_fails_does_not_undo_what_was_found(reason: Reason, problem: ReadProblem) -> None:
    """Else one 503 at the last read would leave a verified mark Unknown, and a missing deployment Ready, for ever."""
    verification = evaluated(problem, status_of(reason)).verification
    assert (verification.reason, verification.message) == (reason, "as it was found before")
    assert verification.status is STATUSES.get(reason, ConditionStatus.UNKNOWN)


@given(
    accepted=st.builds(
        MarkState,
        change_failure=st.sampled_from([True, False, None]),
        remediation=st.sampled_from([None, TO_VERSION_1, TO_ONE_OF_1]),
    ),
    before=st.sampled_from([None, *Reason]),
    number=st.integers(1, 6),
    fields=st.fixed_dictionaries(
        {}, optional={"remediation_type": st.just("rollback"), "recovery_time_seconds": st.floats(-9, 9)}
    ),
)
def test_an_absent_field_is_never_false(
    accepted: MarkState, before: Reason | None, number: int, fields: dict[str, Any]
) -> None:
    """Nothing is sent and no failure is reported from an answer without change_failure, or with null."""
    for has_mark in (False, True):
        found = stored(has_mark=has_mark, change_failure=None, **fields)
        finding = evaluated((found,), status_of(before, accepted), number=number)
        assert finding.verification.status is ConditionStatus.UNKNOWN
        assert not finding.resend
        assert not finding.create


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        pytest.param(None, {2, 3, 4}, id="never seen applied"),
        pytest.param(Reason.NOT_APPLIED, {2, 3, 4}, id="not applied before"),
        pytest.param(Reason.DEPLOYMENT_MISSING, {2, 3, 4, 5, 6}, id="a missing one has come"),
        pytest.param(Reason.READ_BACK, set(), id="somebody changed it"),
        pytest.param(Reason.CHANGED_IN_DATADOG, set(), id="somebody had changed it"),
    ],
)
def test_at_which_reads_a_mark_is_sent_again(before: Reason | None, expected: set[int]) -> None:
    """Reads two to four while it was never seen applied; never over an edit in Datadog."""
    found = (stored(change_failure=False),)
    assert {number for number in range(1, 7) if evaluated(found, status_of(before), number=number).resend} == expected
    assert not any(evaluated((stored(),), status_of(before), number=number).resend for number in range(1, 7))


@pytest.mark.parametrize(
    ("seconds", "changes", "creates"),
    [
        pytest.param(900, {}, True, id="missing for 15 minutes"),
        pytest.param(899, {}, False, id="missing for less"),
        pytest.param(900, {"on_missing": OnMissing.WAIT}, False, id="Wait"),
        pytest.param(900, {"can_create": False}, False, id="times that are not known"),
    ],
)
def test_when_a_missing_deployment_is_created(seconds: float, changes: dict[str, Any], creates: bool) -> None:  # noqa: FBT001
    """Only where it is wanted, after 15 minutes, with real times."""
    read = {"now": after(seconds), "on_missing": OnMissing.CREATE, "can_create": True} | changes
    assert evaluated((), status_of(), **read).create is creates


@pytest.mark.parametrize("problem", [UNAVAILABLE, FORBIDDEN], ids=["an outage", "no permission"])
def test_nothing_is_created_where_reading_does_not_work(problem: ReadProblem) -> None:
    """What cannot be read is not known to be missing."""
    read = {"now": after(90_000), "on_missing": OnMissing.CREATE, "can_create": True}
    assert not evaluated(problem, status_of(Reason.DEPLOYMENT_MISSING), **read).create


def test_a_deployment_that_was_there_is_not_created() -> None:
    """Somebody deleted it in Datadog: that is reported, not undone."""
    read = {"now": after(90_000), "on_missing": OnMissing.CREATE, "can_create": True}
    finding = evaluated((), status_of(Reason.READ_BACK, read_back=READ_BACK), PINNED, **read)
    assert finding.verification.reason is Reason.DEPLOYMENT_MISSING
    assert not finding.create


def test_a_read_without_news_is_the_same_status() -> None:
    """Not even its time changes: a status that is not different is not written."""
    first = evaluated((stored(),), status_of(), number=1, now=after(31)).read_back
    assert first is not None
    again = evaluated((stored(),), status_of(Reason.READ_BACK, read_back=first), PINNED, now=after(86_400)).read_back
    assert again == first
    edited = (stored(change_failure=False),)
    news = evaluated(edited, status_of(Reason.READ_BACK, read_back=first), PINNED, now=after(86_400)).read_back
    assert news is not None
    assert (news.time, news.change_failure) == (after(86_400), False)


def test_a_second_deployment_of_the_version_is_named() -> None:
    """For the Warning Event DuplicateDeployment; another version is no twin, nor is one whose tags are unknown."""
    twins = (stored(), stored("deployment-two"), OLD)
    assert evaluated(twins, status_of(), PINNED).duplicate_id == "deployment-two"
    assert evaluated((stored(), OLD), status_of(), PINNED).duplicate_id is None
    unknown = (stored(version=None), stored("deployment-two", version=None))
    assert evaluated(unknown, status_of(), PINNED).duplicate_id is None


# Which deployment is meant


@pytest.mark.parametrize(
    ("found", "not_after", "expected"),
    [
        pytest.param((), None, Reason.DEPLOYMENT_MISSING, id="none"),
        pytest.param((stored("a"),), None, "a", id="one"),
        pytest.param((stored("a", 50),), 10, "a", id="one that finished after the verdict"),
        pytest.param((stored("a"), stored("b", version="3")), None, "a", id="one of the version"),
        pytest.param((stored("a", version="20"),), None, Reason.DEPLOYMENT_MISSING, id="a version that begins alike"),
        pytest.param((stored("a", env="staging"),), None, Reason.DEPLOYMENT_MISSING, id="another env"),
        pytest.param((stored("a", service="cart"),), None, Reason.DEPLOYMENT_MISSING, id="another service"),
        pytest.param((stored("a", env=None),), None, Reason.DEPLOYMENT_MISSING, id="no env"),
        pytest.param((stored("a"), stored("b", 5)), None, Reason.AMBIGUOUS, id="two, without a verdict"),
        pytest.param((stored("a"), stored("b", 5), stored("c", 20)), 10, "b", id="the last before the verdict"),
        pytest.param((stored("a"), stored("b", 5)), 5, "b", id="one that finished at the verdict"),
        pytest.param((stored("a"), stored("b", 5)), -1, Reason.AMBIGUOUS, id="both finished after the verdict"),
        pytest.param((stored("a", 5), stored("b", 5)), 10, Reason.AMBIGUOUS, id="both finished in the same second"),
        pytest.param((stored("a", None), stored("b", 5)), 10, "b", id="only one has finished"),
        pytest.param((stored("a", None), stored("b", None)), 10, Reason.AMBIGUOUS, id="none has finished"),
    ],
)
def test_the_deployment_of_a_version(found: Stored, not_after: float | None, expected: str | Reason) -> None:
    """Exact matches only; of several the last not later than the verdict, in whatever order they are listed."""
    until = after(not_after) if not_after is not None else None
    for each in (found, found[::-1]):
        one = find(each, BY_VERSION, until)
        assert (one if isinstance(one, Reason) else one.id) == expected


IDS = ["deployment-one", "deployment-two", "deployment-three"]
LISTED = st.lists(
    st.builds(stored, st.sampled_from(IDS), st.integers(-50, 50), version=st.sampled_from(["1", "2", None])),
    unique_by=lambda each: each.id,
).map(tuple)


@given(reads=st.lists(LISTED, max_size=6), not_after=st.none() | st.integers(-50, 50))
def test_a_pin_is_never_replaced(reads: list[Stored], not_after: int | None) -> None:
    """However the lists change, the id of the first match stays; the tags of the resource stay, too."""
    target, ids = BY_VERSION, []
    for found in reads:
        until = after(not_after) if not_after is not None else None
        target = evaluated(found, status_of(), target, not_after=until).target
        assert target.tags == BY_VERSION.tags
        ids.append(target.id)
    known = [each for each in ids if each is not None]
    assert set(known) <= set(known[:1])
    assert ids[len(ids) - len(known) :] == known
    assert (target.by is TargetKind.ID) is bool(known)


def test_a_resource_by_id_learns_its_tags() -> None:
    """So that `kubectl get dora` shows them; the id stays the one that was given."""
    target = evaluated((stored(),), status_of(), Target(by=TargetKind.ID, id="deployment-one", site=SITE)).target
    assert target == PINNED


def test_what_is_searched() -> None:
    """Ten minutes before the revision began; without one, thirty days before the resource was created."""
    assert searched_from(NOW, after(-60)) == after(-60 - 600)
    assert searched_from(NOW, None) == NOW - timedelta(days=30)


# When it is read


def dues(status: DoraDeploymentStatus, **known: Any) -> list[float]:
    """Return when one process reads a status that stays as it is, in seconds after the acceptance."""
    times: list[datetime] = []
    while len(times) < 50:
        last = times[-1] if times else None
        due = next_read(status, SCHEDULE, **({"led_until": NOW, "last_read": last} | known))
        if due is None:
            break
        times.append(due)
    return [(each - NOW).total_seconds() for each in times]


DAILY = [86_400.0 * day for day in range(2, 2 + DAYS_MISSING)]


@pytest.mark.parametrize(
    ("reason", "on_missing", "expected"),
    [
        pytest.param(None, OnMissing.WAIT, [*SCHEDULE], id="not read yet"),
        pytest.param(Reason.NOT_APPLIED, OnMissing.WAIT, [*SCHEDULE], id="not applied"),
        pytest.param(Reason.NOT_EVALUATED, OnMissing.WAIT, [*SCHEDULE], id="not evaluated"),
        pytest.param(Reason.AMBIGUOUS, OnMissing.CREATE, [*SCHEDULE], id="ambiguous"),
        pytest.param(Reason.READ_UNAVAILABLE, OnMissing.WAIT, [*SCHEDULE], id="unavailable"),
        pytest.param(Reason.READ_BACK, OnMissing.CREATE, [86_400.0], id="equal: the last one alone"),
        pytest.param(Reason.CHANGED_IN_DATADOG, OnMissing.WAIT, [86_400.0], id="changed: the last one alone"),
        pytest.param(Reason.RECOVERY_NEGATIVE, OnMissing.WAIT, [86_400.0], id="negative: the last one alone"),
        pytest.param(Reason.DEPLOYMENT_MISSING, OnMissing.WAIT, [*SCHEDULE, *DAILY], id="missing: daily for a week"),
        pytest.param(
            Reason.DEPLOYMENT_MISSING,
            OnMissing.CREATE,
            [30.0, 120.0, 600.0, 900.0, 3600.0, 86_400.0, *DAILY],
            id="missing with Create: after 15 minutes, too",
        ),
    ],
)
def test_the_schedule(reason: Reason | None, on_missing: OnMissing, expected: list[float]) -> None:
    """30 s, 2 min, 10 min, 1 h and 24 h after the 202, then none, for ever."""
    assert dues(status_of(reason), on_missing=on_missing) == expected


def test_the_schedule_is_the_settings_default() -> None:
    """The tests here and the operator mean the same times."""
    assert Settings().read_back_schedule == SCHEDULE


@pytest.mark.parametrize("fields", [{"accepted": None}, {"accepted_time": None}], ids=["no state", "no time"])
def test_nothing_is_read_of_what_was_not_accepted(fields: dict[str, Any]) -> None:
    """There is nothing to compare with."""
    assert next_read(status_of(**fields), SCHEDULE, led_until=NOW) is None


@pytest.mark.parametrize(
    ("reason", "led_until", "expected"),
    [
        pytest.param(None, 4000.0, 30.0, id="nothing was ever read"),
        pytest.param(Reason.READ_FORBIDDEN, 400_000.0, 30.0, id="it could not be read, for lack of a permission"),
        pytest.param(Reason.READ_UNAVAILABLE, 90_000.0, None, id="all reads were made, without success"),
        pytest.param(Reason.READ_BACK, 80_000.0, 86_400.0, id="the last read is to come"),
        pytest.param(Reason.READ_BACK, 86_459.0, 86_400.0, id="the last read was due shortly before the end"),
        pytest.param(Reason.READ_BACK, 86_461.0, None, id="the last read was made"),
        pytest.param(Reason.DEPLOYMENT_MISSING, 4000.0, 86_400.0, id="four reads of a missing one were made"),
    ],
)
def test_what_an_earlier_process_has_read(reason: Reason | None, led_until: float, expected: float | None) -> None:
    """A read without news is not written: what was due while the earlier process led counts as made."""
    due = next_read(status_of(reason), SCHEDULE, led_until=after(led_until))
    assert ((due - NOW).total_seconds() if due is not None else None) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, 0), (29, 0), (30, 1), (125, 2), (3600, 4), (86_399, 4), (86_400, 5), (900_000, 5)]
)
def test_the_number_of_a_read_is_how_many_were_due(seconds: float, expected: int) -> None:
    """A read that is late stands for those before it: a mark found not applied then is sent again."""
    assert reads_due(status_of(), SCHEDULE, after(seconds)) == expected


@dataclass
class Lives:
    """Processes one after the other that read one accepted state; each writes what is news, and nothing else."""

    answer: Callable[[datetime], Stored | ReadProblem]
    on_missing: OnMissing = OnMissing.WAIT

    def run(self, ends: list[tuple[float, float]]) -> list[float]:
        """Return when it was read, in seconds; `ends` are when each process ends, and how long none runs after it."""
        status, target, reads, begins, led_until = status_of(), BY_VERSION, [], NOW, NOW
        for alive, down in [*ends, (FOREVER.total_seconds(), 0.0)]:
            ends_at, last, now = begins + timedelta(seconds=alive), None, begins
            while True:
                due = next_read(status, SCHEDULE, led_until=led_until, last_read=last, on_missing=self.on_missing)
                if due is None or max(due, now) >= ends_at:
                    break
                last = now = max(due, now)
                reads.append((now - NOW).total_seconds())
                read = Read(number=reads_due(status, SCHEDULE, now), now=now, on_missing=self.on_missing)
                finding = evaluate(self.answer(now), target, status, read)
                target = finding.target
                status = status_of(finding.verification.reason, read_back=finding.read_back)
            begins, led_until = ends_at + timedelta(seconds=down), ends_at
        return reads


ANSWERS: dict[str, Callable[[datetime], Stored | ReadProblem]] = {
    "equal": lambda _: (stored(),),
    "missing": lambda _: (),
    "not applied": lambda _: (stored(change_failure=False),),
    "null": lambda _: (stored(change_failure=None),),
    "ambiguous": lambda _: (stored(), stored("two")),
    "an outage": lambda _: UNAVAILABLE,
    "an outage of ten minutes": lambda now: UNAVAILABLE if now < after(600) else (stored(),),
    "missing for an hour": lambda now: () if now < after(3600) else (stored(change_failure=False),),
}
CALM = {
    "equal": [30.0, 86_400.0],
    "missing": [*SCHEDULE, *DAILY],
    "an outage of ten minutes": [30.0, 120.0, 600.0, 86_400.0],
}
DUE = {*SCHEDULE, 900.0, *DAILY}


@pytest.mark.parametrize("name", ANSWERS)
def test_one_process_reads_by_the_schedule(name: str) -> None:
    """At most six reads of an accepted state; of a missing one, one a day for a week beside these."""
    assert Lives(ANSWERS[name]).run([]) == CALM.get(name, [*SCHEDULE])


@given(
    name=st.sampled_from(sorted(ANSWERS)),
    on_missing=st.sampled_from(OnMissing),
    ends=st.lists(st.tuples(st.integers(1, 400_000), st.integers(0, 100_000)), max_size=8),
)
@example("equal", OnMissing.WAIT, [(86_300, 600)])
@example("an outage", OnMissing.WAIT, [(700_000, 1)] * 8)
@example("missing", OnMissing.WAIT, [(3500, 500)])
def test_a_restart_neither_forgets_a_read_nor_adds_one(
    name: str, on_missing: OnMissing, ends: list[tuple[float, float]]
) -> None:
    """Each due time is served once: at the time, or when a process runs again; several that passed, by one read.

    The exception is a process that ends within a minute after a read was due: whether it was made is not known.
    """
    alive_until, is_clear = 0.0, True
    down: list[tuple[float, float]] = []
    for alive, pause in ends:
        alive_until += alive
        is_clear &= not any(0 <= alive_until - each <= 60 for each in DUE)
        down.append((alive_until, alive_until + pause))
        alive_until += pause
    reads = Lives(ANSWERS[name], on_missing).run(ends)
    assert len(set(reads)) == len(reads)
    if not is_clear:
        return
    assert len(reads) <= 6 + (DAYS_MISSING if "missing" in name else 0)
    calm = Lives(ANSWERS[name], on_missing).run([])
    expected = {next((end for start, end in down if start <= each < end), each) for each in calm}
    if name in {"equal", "missing", "not applied", "null", "ambiguous", "an outage"}:  # else news come later
        assert reads == sorted(expected)


# Whether a link would be negative


def link_of(*finished: float | None) -> Any:
    """Check a rollback from version 2, which finished at 0, to version 1, whose deployments finished then."""
    ones = tuple(stored(f"deployment-{number}", each, version="1") for number, each in enumerate(finished))
    return check_link((stored("failed"), *ones), BY_VERSION, TO_VERSION_1, None)


@pytest.mark.parametrize(
    ("finished", "expected", "is_negative"),
    [
        pytest.param([], None, True, id="none that is shown: Datadog would take an older one, or none"),
        pytest.param([-100], None, True, id="only one before the failure"),
        pytest.param([-100, 50], "deployment-1", False, id="one before and one after"),
        pytest.param([90, 50], "deployment-1", False, id="the first after it, not the newest"),
        pytest.param([0], "deployment-0", False, id="at the same second: a recovery time of 0"),
        pytest.param([None], None, True, id="one that has not finished"),
    ],
)
def test_the_link_of_a_rollback(finished: list[float | None], expected: str | None, is_negative: bool) -> None:  # noqa: FBT001
    """Datadog would take the most recently finished deployment of the version, whenever that was."""
    checked = link_of(*finished)
    assert (checked.deployment_id, checked.is_negative) == (expected, is_negative)
    assert (checked.target.by, checked.target.id) == (TargetKind.ID, "failed")


@pytest.mark.parametrize(
    "found",
    [
        pytest.param((), id="the failed one is missing"),
        pytest.param((stored(), stored("two")), id="the failed one is ambiguous"),
        pytest.param((stored(finished=None),), id="the failed one has not finished"),
    ],
)
def test_a_link_from_an_unknown_deployment(found: Stored) -> None:
    """Nothing is known: neither a link nor a warning."""
    one = stored("deployment-old", 50, version="1")
    assert check_link((*found, one), BY_VERSION, TO_VERSION_1, None) == LinkChecked(BY_VERSION)


@given(st.lists(st.integers(-20, 20), max_size=6))
def test_negative_exactly_where_every_link_would_be(finished: list[int]) -> None:
    """A link that is sent gives a recovery time of 0 or more, and it is sent wherever there is one."""
    checked = link_of(*finished)
    not_before = [each for each in finished if each >= 0]
    assert checked.is_negative is not bool(not_before)
    if not_before:
        assert checked.deployment_id is not None
        assert finished[int(checked.deployment_id.removeprefix("deployment-"))] == min(not_before)


@given(seconds=st.floats(-1e6, 1e6, allow_nan=False))
def test_a_read_says_negative_exactly_below_zero(seconds: float) -> None:
    """What Datadog has computed decides."""
    reason = evaluated((stored(recovery_time_seconds=seconds),), status_of()).verification.reason
    assert (reason is Reason.RECOVERY_NEGATIVE) is (seconds < 0)


def test_a_restoration_may_end_with_the_failure() -> None:
    """A recovery time of 0 is not negative; a failure whose end is not known holds nothing back."""
    assert is_earlier(NOW, NOW)
    assert is_earlier(None, NOW)
    assert not is_earlier(after(1), NOW)


def test_no_answer_is_an_outage() -> None:
    """A broken connection says nothing about the deployment."""
    found = parse_answer(NoAnswer(FailureKind.TIMEOUT, "no answer in 10 s"))
    assert isinstance(found, ReadProblem)
    assert found.reason is Reason.READ_UNAVAILABLE
