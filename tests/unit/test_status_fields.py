"""Whole statuses: which fields a step carries over, which it sets, and which it removes."""

from dataclasses import replace
from typing import Any

import pytest

from dora_operator.domain import status as statuses
from dora_operator.domain.fields import to_api
from dora_operator.domain.outcome import Accepted, Pace, Rejected, TryAgain
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import (
    DoraDeploymentStatus,
    DryRunRequest,
    HistoryEntry,
    ReadBack,
)
from dora_operator.domain.status import ConditionSummary, Phase
from tests.support.builders import (
    BY_VERSION,
    DEPLOYMENT_ID,
    NOW,
    OTHER_ID,
    after,
    planned,
    send,
    status_context,
    verdict,
)

SEND = send()
EMPTY = DoraDeploymentStatus()
OUTAGE = TryAgain(Reason.DATADOG_UNAVAILABLE, "Datadog answered 503", Pace.BACKOFF, 503)
REFUSED = Rejected(Reason.REQUEST_REJECTED, "Datadog refused it", 400)
READ = ReadBack(time=NOW, id=DEPLOYMENT_ID)
ACCEPTED = statuses.with_outcome(EMPTY, SEND, Accepted(202), status_context())
FAILED = statuses.with_outcome(EMPTY, SEND, OUTAGE, status_context())


def fields(status: DoraDeploymentStatus) -> dict[str, Any]:
    """Return everything but conditions and history that is present."""
    return {name: value for name, value in to_api(status).items() if name not in {"conditions", "history"}}


TARGET = {"by": "ID", "id": DEPLOYMENT_ID, "site": "datadoghq.com"}
COMMON = {"observedGeneration": 1, "desired": {"changeFailure": True}, "target": TARGET}
DONE = COMMON | {"accepted": {"changeFailure": True}, "acceptedTime": "2026-11-23T12:00:00Z", "httpStatus": 202}
WAITING = COMMON | {"pendingSinceTime": "2026-11-23T12:00:00Z"}
AT_ONCE = "2026-11-23T12:00:00.750000Z"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(ACCEPTED, DONE, id="accepted"),
        pytest.param(
            FAILED,
            WAITING
            | {"attempts": 1, "lastError": "Datadog answered 503", "httpStatus": 503, "nextAttemptTime": AT_ONCE},
            id="an outage",
        ),
        pytest.param(
            statuses.with_outcome(FAILED, SEND, REFUSED, status_context(now=after(60))),
            WAITING | {"attempts": 2, "lastError": "Datadog refused it", "httpStatus": 400},
            id="a refusal after an outage",
        ),
        pytest.param(
            statuses.with_outcome(FAILED, SEND, Accepted(202), status_context()), DONE, id="accepted after an outage"
        ),
        pytest.param(
            statuses.settled(replace(ACCEPTED, attempts=2, last_error="x"), SEND, status_context(now=after(60))),
            DONE,
            id="settled: nothing of a failure is left",
        ),
        pytest.param(
            statuses.with_outcome(
                replace(FAILED, dry_run=DryRunRequest(method="PATCH", path="/", body="{}")),
                SEND,
                Accepted(202),
                status_context(),
            ),
            DONE,
            id="a dry run's request is removed",
        ),
        pytest.param(
            statuses.postponed(
                FAILED,
                SEND,
                ConditionSummary(Phase.WORKING, Reason.CREDENTIALS_NOT_FOUND, "no keys"),
                after(300),
                status_context(),
            ),
            WAITING
            | {"attempts": 1, "httpStatus": 503, "lastError": "no keys", "nextAttemptTime": "2026-11-23T12:05:00Z"},
            id="postponed: no request, so no attempt",
        ),
        pytest.param(
            statuses.invalid(replace(FAILED, observed_generation=7), "the spec is broken", status_context()),
            WAITING | {"attempts": 1, "lastError": "Datadog answered 503", "httpStatus": 503},
            id="an invalid spec keeps what was there",
        ),
        pytest.param(
            statuses.without_request(FAILED, planned({"changeFailure": True, "suspend": True}), status_context()),
            WAITING | {"attempts": 1, "lastError": "Datadog answered 503", "httpStatus": 503},
            id="suspended during an outage",
        ),
        pytest.param(
            statuses.without_request(EMPTY, planned({"changeFailure": True, "dryRun": True}), status_context()),
            WAITING
            | {
                "dryRun": {
                    "method": "PATCH",
                    "path": f"/api/v2/dora/deployments/{DEPLOYMENT_ID}",
                    "body": '{"data":{"attributes":{"change_failure":true},"id":"43vkaZNgiso",'
                    '"type":"dora_deployment_patch_request"}}',
                }
            },
            id="a dry run",
        ),
        pytest.param(
            statuses.with_outcome(FAILED, send(changeFailure=False), OUTAGE, status_context(now=after(60))),
            WAITING
            | {
                "desired": {"changeFailure": False},
                "pendingSinceTime": "2026-11-23T12:01:00Z",
                "attempts": 1,
                "lastError": "Datadog answered 503",
                "httpStatus": 503,
                "nextAttemptTime": "2026-11-23T12:01:00.750000Z",
            },
            id="another state: counted from the beginning",
        ),
        pytest.param(
            statuses.with_outcome(
                replace(ACCEPTED, read_back=READ), send(site="datadoghq.eu"), OUTAGE, status_context(now=after(60))
            ),
            WAITING
            | {
                "target": TARGET | {"site": "datadoghq.eu"},
                "pendingSinceTime": "2026-11-23T12:01:00Z",
                "attempts": 1,
                "lastError": "Datadog answered 503",
                "httpStatus": 503,
                "nextAttemptTime": "2026-11-23T12:01:00.750000Z",
            },
            id="another account: nothing of the former one is left",
        ),
        pytest.param(
            statuses.without_request(
                replace(ACCEPTED, read_back=READ),
                planned({"changeFailure": True, "suspend": True, "site": "datadoghq.eu"}),
                status_context(now=after(60)),
            ),
            WAITING | {"target": TARGET | {"site": "datadoghq.eu"}, "pendingSinceTime": "2026-11-23T12:01:00Z"},
            id="another account, suspended",
        ),
        pytest.param(
            statuses.without_request(
                FAILED, planned({"changeFailure": False, "suspend": True}), status_context(now=after(60))
            ),
            WAITING
            | {
                "desired": {"changeFailure": False},
                "pendingSinceTime": "2026-11-23T12:01:00Z",
                "httpStatus": 503,
            },
            id="another state, suspended: no attempt was made for it",
        ),
        pytest.param(
            statuses.settled(EMPTY, SEND, replace(status_context(), source=verdict())),
            COMMON | {"source": to_api(verdict())},
            id="what the Rollout decided is shown",
        ),
    ],
)
def test_the_fields_of_a_status(status: DoraDeploymentStatus, expected: dict[str, Any]) -> None:
    """Exactly these are present."""
    assert fields(status) == expected


def test_only_a_dry_run_shows_the_request() -> None:
    """A suspended resource does not."""
    suspended = statuses.without_request(
        replace(EMPTY, dry_run=DryRunRequest(method="PATCH", path="/", body="{}")),
        planned({"changeFailure": True, "suspend": True}),
        status_context(),
    )
    assert suspended.dry_run is None


def test_a_dry_run_shows_text_as_it_is() -> None:
    """No escapes, which would be six times as long, and no spaces."""
    status = statuses.without_request(
        EMPTY,
        planned({"deployment": BY_VERSION | {"version": "1.5.0-ä"}, "changeFailure": True, "dryRun": True}),
        status_context(),
    )
    assert status.dry_run is not None
    assert "1.5.0-ä" in status.dry_run.body
    assert ": " not in status.dry_run.body
    assert ", " not in status.dry_run.body


def test_the_history_has_each_change_of_outcome() -> None:
    """With the time, the answer and what was desired; the same outcome again adds nothing."""
    first = HistoryEntry(
        time=NOW, reason="DatadogUnavailable", message="Datadog answered 503", http_status=503, change_failure=True
    )
    assert FAILED.history == (first,)
    same = statuses.with_outcome(FAILED, SEND, OUTAGE, status_context(now=after(60)))
    assert same.history == (first,)
    linked = send(remediation={"type": "rollback", "id": OTHER_ID})
    done = statuses.with_outcome(same, linked, Accepted(202), status_context(now=after(60)))
    link = linked.request.state.remediation
    assert done.history == (
        HistoryEntry(
            time=after(60),
            reason="Accepted",
            message=f"Datadog accepted: change failure, rollback to id {OTHER_ID}",
            http_status=202,
            change_failure=True,
            remediation=link,
        ),
        first,
    )


def test_times_are_whole_seconds() -> None:
    """As metav1.Time writes them; the next attempt alone is finer."""
    precise = status_context(now=NOW.replace(microsecond=400_000))
    status = statuses.with_outcome(EMPTY, SEND, OUTAGE, precise)
    assert status.pending_since_time == NOW
    assert {each.last_transition_time for each in status.conditions or ()} == {NOW}
    assert [each.time for each in status.history or ()] == [NOW]
