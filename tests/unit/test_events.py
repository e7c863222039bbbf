"""Which change of a status becomes an Event: what a user has to fix, and what a Rollout has decided."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dora_operator.domain import status as statuses
from dora_operator.domain.events import EventNote, event_for
from dora_operator.domain.outcome import Accepted
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import Condition, ConditionStatus, DoraDeploymentStatus
from tests.support.builders import BY_VERSION, NOW, OTHER_ID, read_status, send, status_context, verdict
from tests.unit.test_status import ACCEPTED, LATER, NEW, REFUSED, answered, failed


@pytest.mark.parametrize(
    ("before", "after", "warned"),
    [
        pytest.param(NEW, failed(answered(403)), Reason.FORBIDDEN, id="a missing permission"),
        pytest.param(NEW, failed(REFUSED), Reason.REQUEST_REJECTED, id="a refused request"),
        pytest.param(failed(answered(403)), failed(answered(403)), None, id="the same again"),
        pytest.param(failed(answered(503)), failed(answered(401)), Reason.UNAUTHORIZED, id="another problem"),
        pytest.param(NEW, failed(answered(503)), None, id="an outage"),
        pytest.param(NEW, failed(answered(429)), None, id="a rate limit"),
        pytest.param(NEW, failed(answered(404)), None, id="a deployment that may come"),
    ],
)
def test_what_becomes_a_warning(
    before: DoraDeploymentStatus, after: DoraDeploymentStatus, warned: Reason | None
) -> None:
    """A Warning Event is for what a user has to fix, once."""
    warning = event_for(before, after)
    assert (warning and (warning.type, warning.reason)) == (warned and ("Warning", warned))


def test_a_deployment_that_never_comes_is_warned_about() -> None:
    """404 becomes a warning when its deadline passes, once."""
    first = failed(answered(404))
    stalled = statuses.with_outcome(first, send(), answered(404), status_context(now=NOW + timedelta(hours=2)))
    again = statuses.with_outcome(stalled, send(), answered(404), status_context(now=NOW + timedelta(hours=3)))
    warning = event_for(first, stalled)
    assert warning is not None
    assert warning.reason == "DeploymentNotFound"
    assert event_for(stalled, again) is None


FAILURE_LINKED = {"remediation": {"type": "rollback", "id": OTHER_ID}}


@pytest.mark.parametrize(
    ("before", "fields", "reason"),
    [
        pytest.param(NEW, {}, "Marked", id="a change failure"),
        pytest.param(ACCEPTED, {"changeFailure": False}, "Cleared", id="its withdrawal"),
        pytest.param(ACCEPTED, FAILURE_LINKED, "Linked", id="a remediation"),
        pytest.param(NEW, FAILURE_LINKED, "Linked", id="both at once"),
    ],
)
def test_what_a_success_says(before: DoraDeploymentStatus, fields: dict, reason: str) -> None:
    """Each accepted change that a Rollout decided is a Normal Event that names the deployment."""
    because = replace(status_context(2, LATER), source=verdict())
    after = statuses.with_outcome(before, send(**fields), Accepted(202), because)
    note = event_for(before, after)
    assert isinstance(note, EventNote)
    assert (note.type, note.reason) == ("Normal", reason)
    assert "deployment 43vkaZNgiso" in note.message
    assert event_for(after, after) is None


def test_a_success_that_a_user_asked_for_is_no_event() -> None:
    """One write for one change: the conditions and the history of the resource say it."""
    assert event_for(NEW, statuses.with_outcome(NEW, send(), Accepted(202), status_context())) is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        pytest.param({}, "deployment 43vkaZNgiso", id="by id"),
        pytest.param({"deployment": BY_VERSION}, "checkout 1.5.0 in prod", id="by version"),
    ],
)
def test_a_success_as_a_whole(fields: dict, named: str) -> None:
    """The message has what was accepted and for which deployment; the time distinguishes it from the next one."""
    because = replace(status_context(2, LATER), source=verdict())
    after = statuses.with_outcome(NEW, send(**fields), Accepted(202), because)
    expected = EventNote(
        "Normal", "Marked", f"Datadog accepted: change failure, for {named}", "2026-11-23T12:05:00+00:00"
    )
    assert event_for(NEW, after) == expected


def test_the_same_state_accepted_once_more_is_a_fact_of_its_own() -> None:
    """As after a force sync: Marked again, with its own time; a link that was linked before is not linked again."""
    because = replace(status_context(2, NOW), source=verdict())
    linked = send(**FAILURE_LINKED)
    first = statuses.with_outcome(NEW, linked, Accepted(202), because)
    again = statuses.with_outcome(first, linked, Accepted(202), replace(because, now=LATER))
    note = event_for(first, again)
    assert note is not None
    assert (note.reason, note.fact) == ("Marked", "2026-11-23T12:05:00+00:00")


def test_a_warning_as_a_whole() -> None:
    """Reason and message of Ready."""
    after = failed(answered(403))
    assert after.conditions is not None
    assert event_for(NEW, after) == EventNote("Warning", "Forbidden", after.conditions[0].message)


@pytest.mark.parametrize(
    ("before", "after", "warned"),
    [
        pytest.param(None, Reason.CHANGED_IN_DATADOG, True, id="changed in Datadog"),
        pytest.param(Reason.READ_BACK, Reason.CHANGED_IN_DATADOG, True, id="changed after it was read"),
        pytest.param(Reason.CHANGED_IN_DATADOG, Reason.CHANGED_IN_DATADOG, False, id="the same again"),
        pytest.param(None, Reason.RECOVERY_NEGATIVE, True, id="a negative recovery time"),
        pytest.param(None, Reason.READ_FORBIDDEN, True, id="no permission to read"),
        pytest.param(None, Reason.NOT_EVALUATED, False, id="not evaluated"),
        pytest.param(None, None, False, id="no condition"),
    ],
)
def test_what_a_read_warns_about(before: Reason | None, after: Reason | None, *, warned: bool) -> None:
    """Although the resource is Ready."""
    expected = EventNote("Warning", after.value, "as it was found before") if warned and after is not None else None
    assert event_for(read_status(before), read_status(after)) == expected


def test_a_resource_that_is_ready_gets_no_warning() -> None:
    """Whatever the reason of Ready is; nor one without conditions."""
    ready = Condition(
        type="Ready",
        status=ConditionStatus.TRUE,
        observed_generation=1,
        last_transition_time=NOW,
        reason="Forbidden",
        message="",
    )
    assert event_for(NEW, replace(NEW, conditions=(ready,))) is None
    assert event_for(failed(answered(403)), NEW) is None
    waiting = replace(ready, status=ConditionStatus.FALSE)
    assert event_for(NEW, replace(NEW, conditions=(waiting,))) == EventNote("Warning", "Forbidden", "")
    other = replace(waiting, reason="RateLimited")
    assert event_for(NEW, replace(NEW, conditions=(other,))) is None
