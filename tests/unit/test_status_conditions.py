"""The conditions of a status: all of them with reason and message, and what a read leaves in Verified."""

from dataclasses import replace
from datetime import datetime

import pytest

from dora_operator.domain import status as statuses
from dora_operator.domain.outcome import Accepted
from dora_operator.domain.plan import Hold, Refuse, Send, Wait
from dora_operator.domain.posted_events import DeploymentEvent
from dora_operator.domain.read_back import Finding, Verification
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import (
    ConditionStatus,
    DoraDeploymentStatus,
)
from dora_operator.domain.status import ConditionSummary, Override, Phase
from tests.support.builders import (
    FAILURE,
    NOW,
    PINNED,
    after,
    planned,
    send,
    status_context,
)
from tests.unit.test_status_fields import ACCEPTED, EMPTY, FAILED, OUTAGE, READ, SEND

FOUND = Finding(Verification(ConditionStatus.TRUE, Reason.READ_BACK, "stored"), SEND.target, READ)


MISSING = Finding(Verification(ConditionStatus.FALSE, Reason.DEPLOYMENT_MISSING, "missing"), SEND.target, None)


PENDING_ROW = ("Verified", "Unknown", "Pending", "the state is read back after Datadog accepted it")


def rows(status: DoraDeploymentStatus) -> list[tuple[str, str, str, str]]:
    """Return the conditions without their times."""
    assert all(condition.observed_generation == 1 for condition in status.conditions or ())
    return [(each.type, each.status.value, each.reason, each.message) for each in status.conditions or ()]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(
            ACCEPTED,
            [
                ("Ready", "True", "Accepted", "Datadog accepted: change failure"),
                ("Accepted", "True", "Accepted", "Datadog accepted: change failure"),
                PENDING_ROW,
                ("Reconciling", "False", "Accepted", ""),
                ("Stalled", "False", "Accepted", ""),
            ],
            id="accepted",
        ),
        pytest.param(
            FAILED,
            [
                ("Ready", "False", "DatadogUnavailable", "Datadog answered 503"),
                ("Accepted", "False", "DatadogUnavailable", "Datadog answered 503"),
                PENDING_ROW,
                ("Reconciling", "True", "DatadogUnavailable", ""),
                ("Stalled", "False", "DatadogUnavailable", ""),
            ],
            id="an outage",
        ),
        pytest.param(
            statuses.invalid(EMPTY, "the spec is broken", status_context()),
            [
                ("Ready", "False", "InvalidSpec", "the spec is broken"),
                ("Accepted", "False", "InvalidSpec", "the spec is broken"),
                PENDING_ROW,
                ("Reconciling", "False", "InvalidSpec", ""),
                ("Stalled", "True", "InvalidSpec", ""),
            ],
            id="an invalid spec",
        ),
        pytest.param(
            statuses.postponed(
                EMPTY,
                SEND,
                ConditionSummary(Phase.WORKING, Reason.RATE_LIMITED, "wait"),
                None,
                status_context(),
            ),
            [
                ("Ready", "False", "RateLimited", "wait"),
                ("Accepted", "False", "RateLimited", "wait"),
                PENDING_ROW,
                ("Reconciling", "True", "RateLimited", ""),
                ("Stalled", "False", "RateLimited", ""),
            ],
            id="postponed",
        ),
        pytest.param(
            statuses.settled(ACCEPTED, SEND, replace(status_context(), finding=MISSING)),
            [
                ("Ready", "False", "DeploymentMissing", "missing"),
                ("Accepted", "True", "Accepted", "Datadog accepted: change failure"),
                ("Verified", "False", "DeploymentMissing", "missing"),
                ("Reconciling", "True", "DeploymentMissing", ""),
                ("Stalled", "False", "DeploymentMissing", ""),
            ],
            id="accepted, and missing in Datadog",
        ),
        pytest.param(
            statuses.settled(ACCEPTED, SEND, replace(status_context(), override=Override(True, "Aborted"))),
            [
                ("Ready", "True", "Accepted", "Datadog accepted: change failure"),
                ("Accepted", "True", "Accepted", "Datadog accepted: change failure"),
                PENDING_ROW,
                ("Reconciling", "False", "Accepted", ""),
                ("Stalled", "False", "Accepted", ""),
                (
                    "Overridden",
                    "True",
                    "SpecWins",
                    "the Rollout's verdict is Aborted; spec says otherwise, and spec wins",
                ),
            ],
            id="the spec overrides the Rollout",
        ),
        pytest.param(
            statuses.settled(
                ACCEPTED,
                SEND,
                replace(status_context(), override=Override(False, "Aborted"), reads_back=False),
            ),
            [
                ("Ready", "True", "Accepted", "Datadog accepted: change failure"),
                ("Accepted", "True", "Accepted", "Datadog accepted: change failure"),
                ("Verified", "Unknown", "Disabled", "reading back is switched off"),
                ("Reconciling", "False", "Accepted", ""),
                ("Stalled", "False", "Accepted", ""),
                ("Overridden", "False", "FollowsRollout", ""),
            ],
            id="the spec follows the Rollout, without reads",
        ),
    ],
)
def test_the_conditions_of_a_status(status: DoraDeploymentStatus, expected: list[tuple[str, str, str, str]]) -> None:
    """All of them, in this order, with the generation that they are about."""
    assert rows(status) == expected


@pytest.mark.parametrize(
    ("plan", "phase"),
    [
        pytest.param(planned({"changeFailure": True, "suspend": True}), ("False", "False"), id="held back"),
        pytest.param(planned({"sourceRef": {"name": "checkout", "version": "2"}}), ("True", "False"), id="waiting"),
        pytest.param(planned({"deployment": {"service": "checkout"}}), ("False", "True"), id="refused"),
    ],
)
def test_a_plan_without_a_request(plan: Hold | Wait | Refuse, phase: tuple[str, str]) -> None:
    """Reconciling and Stalled follow from the kind of the plan; a next attempt is removed."""
    status = statuses.without_request(replace(FAILED, next_attempt_time=after(60)), plan, status_context())
    found = {kind: value for kind, value, _, _ in rows(status)}
    assert (found["Reconciling"], found["Stalled"]) == phase
    assert status.next_attempt_time is None
    assert status.dry_run is None
    assert rows(status)[0][2:] == (plan.reason.value, plan.message)


FORGOTTEN = replace(ACCEPTED, accepted=None)
"""What Datadog accepted is sent once more: a read has shown that it was not applied."""


@pytest.mark.parametrize(
    ("previous", "plan", "expected"),
    [
        pytest.param(FORGOTTEN, SEND, NOW, id="sent again after a read: the schedule of reads goes on"),
        pytest.param(ACCEPTED, SEND, after(60), id="accepted once more"),
        pytest.param(EMPTY, SEND, after(60), id="the first time"),
        pytest.param(FORGOTTEN, send(changeFailure=False), after(60), id="another state"),
    ],
)
def test_when_a_state_was_accepted(previous: DoraDeploymentStatus, plan: Send, expected: datetime) -> None:
    """The schedule of reads begins at acceptedTime."""
    status = statuses.with_outcome(previous, plan, Accepted(202), status_context(now=after(60)))
    assert status.accepted_time == expected


def created() -> Send:
    """Return the plan that posts a deployment and marks it."""
    event = DeploymentEvent("an-own-id-of-ours", "checkout", "prod", "2", NOW, NOW)
    return replace(SEND, target=replace(PINNED, id="an-own-id-of-ours"), event=event)


@pytest.mark.parametrize(
    ("created_time", "begins"),
    [pytest.param(None, True, id="the marked deployment was posted"), pytest.param(NOW, False, id="posted before")],
)
def test_a_created_deployment_begins_the_schedule_of_reads(created_time: datetime | None, *, begins: bool) -> None:
    """And nothing that a read has shown before is about it."""
    previous = replace(FORGOTTEN, target=created().target, created_time=created_time, desired=FAILURE)
    context = replace(status_context(now=after(60)), finding=MISSING)
    status = statuses.with_outcome(previous, created(), Accepted(202), context)
    assert status.accepted_time == (after(60) if begins else NOW)
    assert status.created_time == (after(60) if begins else NOW)
    assert rows(status)[2][2] == ("Pending" if begins else "DeploymentMissing")


def test_a_finding_stays_until_a_read_shows_something_else() -> None:
    """Also with its message; a state that is accepted again is Pending."""
    found = statuses.settled(ACCEPTED, SEND, replace(status_context(), finding=FOUND))
    assert found.read_back == READ
    assert rows(found)[2] == ("Verified", "True", "ReadBack", "stored")
    later = statuses.settled(found, SEND, status_context(now=after(60)))
    assert rows(later)[2] == rows(found)[2]
    assert later.read_back == READ
    again = statuses.with_outcome(later, send(changeFailure=False), Accepted(202), status_context(now=after(60)))
    assert rows(again)[2] == PENDING_ROW


def test_switching_reads_on_again_makes_it_pending() -> None:
    """Disabled is not a finding, nor is a reason that this version does not know."""
    disabled = statuses.settled(ACCEPTED, SEND, replace(status_context(), reads_back=False))
    assert rows(statuses.settled(disabled, SEND, status_context()))[2] == PENDING_ROW
    assert disabled.conditions is not None
    unknown = tuple(replace(each, reason="OfANewerVersion") for each in disabled.conditions)
    assert rows(statuses.settled(replace(disabled, conditions=unknown), SEND, status_context()))[2] == PENDING_ROW


def test_a_read_of_nothing_accepted_is_not_shown() -> None:
    """There is nothing that it could verify."""
    status = statuses.with_outcome(EMPTY, SEND, OUTAGE, replace(status_context(), finding=FOUND))
    assert status.read_back is None
    assert rows(status)[2] == PENDING_ROW
