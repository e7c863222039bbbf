"""Which change of a status becomes an Event: what a user has to fix, and what a Rollout has decided."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dora_operator.domain import status as statuses
from dora_operator.domain.events import EventNote, event_for
from dora_operator.domain.outcome import Accepted
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import DoraDeploymentStatus
from tests.support.builders import NOW, OTHER_ID, send, status_context, verdict
from tests.unit.test_status import ACCEPTED, LATER, NEW, answered, failed


@pytest.mark.parametrize(
    ("before", "after", "warned"),
    [
        pytest.param(NEW, failed(answered(403)), Reason.FORBIDDEN, id="a missing permission"),
        pytest.param(NEW, failed(answered(400)), Reason.REQUEST_REJECTED, id="a refused request"),
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
