"""What a read means for a mark: the condition Verified, when a mark is sent again, when an event is posted."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.domain.fields import OnMissing
from dora_operator.domain.posted_events import own_id
from dora_operator.domain.read_back import Finding, Read, evaluate, may_create
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import ConditionStatus, DoraDeploymentStatus, MarkState, ReadBack, Target, TargetKind
from dora_operator.domain.stored import ReadProblem, Stored
from tests.support.builders import (
    FORBIDDEN,
    NOW,
    PINNED,
    SITE,
    STATUSES,
    TAGS,
    TARGET,
    UNAVAILABLE,
    after,
    link,
    read_status,
    stored,
    verdict,
)

TO_VERSION_1 = link(version="1")
TO_ONE_OF_1 = link(id="deployment-old")
READ_BACK = ReadBack(time=after(31), id="deployment-one", change_failure=True)


def evaluated(
    found: Stored | ReadProblem, status: DoraDeploymentStatus, target: Target = TARGET, **read: Any
) -> Finding:
    """Evaluate the first read, unless it is said otherwise."""
    return evaluate(found, target, status, Read(**({"number": 1, "now": after(31), "created": NOW} | read)))


LINKED = MarkState(change_failure=True, remediation=TO_VERSION_1)
OLD = stored("deployment-old", -100, version="1", change_failure=False)
BACK: dict[str, Any] = {"remediation_type": "rollback", "remediation_id": "deployment-old"}


@pytest.mark.parametrize(
    ("found", "status", "reason"),
    [
        pytest.param((stored(),), read_status(), Reason.READ_BACK, id="equal"),
        pytest.param((), read_status(), Reason.DEPLOYMENT_MISSING, id="none"),
        pytest.param((OLD,), read_status(), Reason.DEPLOYMENT_MISSING, id="only another version"),
        pytest.param(
            (stored(change_failure=False),), read_status(), Reason.NOT_APPLIED, id="false, never seen applied"
        ),
        pytest.param(
            (stored(change_failure=False),), read_status(Reason.READ_BACK), Reason.CHANGED_IN_DATADOG, id="was equal"
        ),
        pytest.param(
            (stored(change_failure=False),),
            read_status(Reason.CHANGED_IN_DATADOG),
            Reason.CHANGED_IN_DATADOG,
            id="was changed before",
        ),
        pytest.param((stored(),), read_status(Reason.CHANGED_IN_DATADOG), Reason.READ_BACK, id="was changed back"),
        pytest.param((stored(),), read_status(Reason.DEPLOYMENT_MISSING), Reason.READ_BACK, id="was missing"),
        pytest.param(
            (stored(change_failure=False),), read_status(Reason.DEPLOYMENT_MISSING), Reason.NOT_APPLIED, id="came late"
        ),
        pytest.param(
            (stored(has_mark=False, change_failure=None),), read_status(), Reason.FIELDS_NOT_RETURNED, id="no field"
        ),
        pytest.param((stored(change_failure=None),), read_status(), Reason.NOT_EVALUATED, id="null"),
        pytest.param((stored(), stored("two")), read_status(), Reason.AMBIGUOUS, id="two of the version"),
        pytest.param(
            (OLD, stored(recovery_time_seconds=60, **BACK)),
            read_status(accepted=LINKED),
            Reason.READ_BACK,
            id="linked to the version",
        ),
        pytest.param(
            (OLD, stored(**BACK)), read_status(accepted=LINKED), Reason.RECOVERY_MISSING, id="no recovery time"
        ),
        pytest.param((OLD, stored()), read_status(accepted=LINKED), Reason.NOT_APPLIED, id="no link"),
        pytest.param(
            (OLD, stored(**BACK | {"remediation_type": "rollforward"})),
            read_status(accepted=LINKED),
            Reason.NOT_APPLIED,
            id="a link of another type",
        ),
        pytest.param(
            (stored("deployment-old", version="3"), stored(**BACK)),
            read_status(accepted=LINKED),
            Reason.NOT_APPLIED,
            id="a link to another version",
        ),
        pytest.param(
            (stored(recovery_time_seconds=60, **BACK),),
            read_status(accepted=LINKED),
            Reason.AMBIGUOUS,
            id="a link whose version is not shown",
        ),
        pytest.param(
            (stored(**BACK | {"remediation_id": "deployment-new"}),),
            read_status(accepted=replace(LINKED, remediation=TO_ONE_OF_1)),
            Reason.NOT_APPLIED,
            id="a link to another id",
        ),
        pytest.param(
            (stored(**BACK),),
            read_status(),
            Reason.REMEDIATION_BY_DATADOG,
            id="a link that nobody asked for is Datadog's",
        ),
        pytest.param(
            (OLD, stored(recovery_time_seconds=-1, **BACK)),
            read_status(accepted=LINKED),
            Reason.RECOVERY_NEGATIVE,
            id="negative",
        ),
        pytest.param((stored(recovery_time_seconds=0),), read_status(), Reason.READ_BACK, id="recovered at once"),
        pytest.param(
            (stored(change_failure=True),),
            read_status(accepted=MarkState(remediation=None)),
            Reason.READ_BACK,
            id="nothing was asked about failure",
        ),
        pytest.param(UNAVAILABLE, read_status(), Reason.READ_UNAVAILABLE, id="an outage"),
        pytest.param(FORBIDDEN, read_status(Reason.PENDING), Reason.READ_FORBIDDEN, id="no permission"),
        pytest.param(FORBIDDEN, read_status(Reason.READ_UNAVAILABLE), Reason.READ_FORBIDDEN, id="after an outage"),
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
    verification = evaluated(problem, read_status(reason)).verification
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
    """No failure is reported from an answer without change_failure, or with null, and nothing is sent without it."""
    for has_mark in (False, True):
        found = stored(has_mark=has_mark, change_failure=None, **fields)
        finding = evaluated((found,), read_status(before, accepted), number=number)
        assert finding.verification.status is ConditionStatus.UNKNOWN
        assert not (finding.resend and not has_mark)
        assert not finding.create


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        pytest.param(None, {2, 3, 4}, id="never seen applied"),
        pytest.param(Reason.NOT_APPLIED, {2, 3, 4}, id="not applied before"),
        pytest.param(Reason.DEPLOYMENT_MISSING, {2, 3, 4, 5, 6}, id="a missing one has come"),
        pytest.param(Reason.READ_BACK, set(), id="a user changed it"),
        pytest.param(Reason.CHANGED_IN_DATADOG, set(), id="a user had changed it"),
    ],
)
def test_at_which_reads_a_mark_is_sent_again(before: Reason | None, expected: set[int]) -> None:
    """Reads two to four while it was never seen applied; never over an edit in Datadog."""
    found = (stored(change_failure=False),)
    assert {number for number in range(1, 7) if evaluated(found, read_status(before), number=number).resend} == expected
    assert not any(evaluated((stored(),), read_status(before), number=number).resend for number in range(1, 7))


@pytest.mark.parametrize("before", [Reason.READ_BACK, Reason.CHANGED_IN_DATADOG])
def test_a_mark_that_was_stored_is_not_sent_again(before: Reason) -> None:
    """Datadog evaluates the deployment once more: what a person has changed there is not overwritten."""
    found = (stored(change_failure=None),)
    assert not any(evaluated(found, read_status(before), number=number).resend for number in range(1, 7))


def test_an_early_mark_is_sent_again_until_datadog_evaluates_the_deployment() -> None:
    """At each read but the first: what came before the evaluation may be lost."""
    found = (stored(change_failure=None),)
    assert {number for number in range(1, 7) if evaluated(found, read_status(), number=number).resend} == {
        2,
        3,
        4,
        5,
        6,
    }


@pytest.mark.parametrize(
    ("seconds", "changes", "on_missing", "creates"),
    [
        pytest.param(3600, {}, OnMissing.CREATE, True, id="an hour after the revision ended"),
        pytest.param(3599, {}, OnMissing.CREATE, False, id="sooner"),
        pytest.param(3600, {}, OnMissing.WAIT, False, id="Wait"),
        pytest.param(3600, {"started_time": None}, OnMissing.CREATE, False, id="a start that is not known"),
        pytest.param(3600, {"ended_time": None}, OnMissing.CREATE, False, id="an end that is not known"),
    ],
)
def test_when_a_missing_deployment_may_be_created(
    seconds: float, changes: dict[str, Any], on_missing: OnMissing, *, creates: bool
) -> None:
    """Only where it is wanted, late enough for the real one to come first, with the times of the history."""
    failed = verdict(**{"started_time": after(-60), "ended_time": NOW} | changes)
    assert may_create(failed, on_missing, after(seconds), 3600) is creates


def test_a_mark_without_a_workload_creates_nothing() -> None:
    """There are no times to post."""
    assert not may_create(None, OnMissing.CREATE, after(90_000), 3600)


def test_a_missing_deployment_is_created_where_it_may_be() -> None:
    """And not where it may not."""
    assert evaluated((), read_status(), creates=True).create
    assert not evaluated((), read_status()).create


@pytest.mark.parametrize("problem", [UNAVAILABLE, FORBIDDEN], ids=["an outage", "no permission"])
def test_nothing_is_created_where_reading_does_not_work(problem: ReadProblem) -> None:
    """What cannot be read is not known to be missing."""
    assert not evaluated(problem, read_status(Reason.DEPLOYMENT_MISSING), creates=True).create


def test_a_deployment_that_was_there_is_not_created() -> None:
    """A user deleted it in Datadog: that is reported, not undone."""
    finding = evaluated((), read_status(Reason.READ_BACK, read_back=READ_BACK), PINNED, creates=True)
    assert finding.verification.reason is Reason.DEPLOYMENT_MISSING
    assert not finding.create


def test_a_read_without_news_is_the_same_status() -> None:
    """Not even its time changes: a status that is not different is not written."""
    first = evaluated((stored(),), read_status(), number=1, now=after(31)).read_back
    assert first is not None
    again = evaluated((stored(),), read_status(Reason.READ_BACK, read_back=first), PINNED, now=after(86_400)).read_back
    assert again == first
    edited = (stored(change_failure=False),)
    news = evaluated(edited, read_status(Reason.READ_BACK, read_back=first), PINNED, now=after(86_400)).read_back
    assert news is not None
    assert (news.time, news.change_failure) == (after(86_400), False)


def test_the_real_deployment_replaces_the_one_that_the_operator_posted() -> None:
    """The finding has both ids: the real one is marked, the other is deleted."""
    failed = verdict(**TAGS, started_time=after(-60), ended_time=NOW)
    own, real = stored(own_id(failed), started_at=after(-60)), stored("real", started_at=after(-60))
    alone = evaluated((own,), read_status(), verdict=failed)
    assert (alone.own_id, alone.target.id, alone.verification.reason) == (own.id, None, Reason.READ_BACK)
    both = evaluated((own, real), read_status(), verdict=failed)
    assert (both.own_id, both.target.id) == (own.id, "real")


IDS = ["deployment-one", "deployment-two", "deployment-three"]
LISTED = st.lists(
    st.builds(stored, st.sampled_from(IDS), st.integers(-50, 50), version=st.sampled_from(["1", "2", None])),
    unique_by=lambda each: each.id,
).map(tuple)


@given(reads=st.lists(LISTED, max_size=6), created=st.integers(-50, 50))
def test_a_pin_is_never_replaced(reads: list[Stored], created: int) -> None:
    """However the lists change, the id of the first match stays; the tags of the resource stay, too."""
    target, ids = TARGET, []
    for found in reads:
        target = evaluated(found, read_status(), target, created=after(created)).target
        assert target.tags == TARGET.tags
        ids.append(target.id)
    known = [each for each in ids if each is not None]
    assert set(known) <= set(known[:1])
    assert ids[len(ids) - len(known) :] == known
    assert (target.by is TargetKind.ID) is bool(known)


def test_a_resource_by_id_learns_its_tags() -> None:
    """So that `kubectl get dora` shows them; the id stays the one that was given."""
    target = evaluated((stored(),), read_status(), Target(by=TargetKind.ID, id="deployment-one", site=SITE)).target
    assert target == PINNED


@given(seconds=st.floats(-1e6, 1e6, allow_nan=False))
def test_a_read_says_negative_exactly_below_zero(seconds: float) -> None:
    """What Datadog has computed for the link decides."""
    found = (OLD, stored(recovery_time_seconds=seconds, **BACK))
    reason = evaluated(found, read_status(accepted=LINKED)).verification.reason
    assert (reason is Reason.RECOVERY_NEGATIVE) is (seconds < 0)
