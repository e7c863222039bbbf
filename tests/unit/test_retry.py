"""When a request is sent again: exact delays, what a status is believed, and which acceptance still counts."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from dora_operator.domain.outcome import Pace, TryAgain
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import Condition, ConditionStatus, DoraDeploymentStatus, MarkState
from dora_operator.domain.retry import (
    Backoff,
    RetryPolicy,
    adopt_acceptance,
    believed_next_attempt,
    forget_acceptance,
    next_backoff,
    overwrites,
    without_overwritten,
)
from tests.support.builders import FAILURE, NOW, PINNED, TARGET, after

POLICY = RetryPolicy()
ELSEWHERE = replace(TARGET, version="3")
NO_FAILURE = MarkState(change_failure=False)
AN_HOUR = timedelta(hours=1)


def again(pace: Pace, reset: float | None = None) -> TryAgain:
    """Return an answer that is tried again."""
    return TryAgain(Reason.DATADOG_UNAVAILABLE, "", pace, 503, reset)


def status(reason: Reason | None = None, **fields: object) -> DoraDeploymentStatus:
    """Return a status with this reason of Ready."""
    if reason is None:
        return DoraDeploymentStatus(**fields)
    ready = Condition(
        type="Ready",
        status=ConditionStatus.FALSE,
        observed_generation=1,
        last_transition_time=NOW,
        reason=reason.value,
        message="",
    )
    return DoraDeploymentStatus(conditions=(ready,), **fields)


def accepted(state: MarkState | None, at: datetime | None = NOW, **fields: object) -> DoraDeploymentStatus:
    """Return a status with an acceptance."""
    made = DoraDeploymentStatus(accepted=state, accepted_time=at, target=TARGET, http_status=202)
    return replace(made, **fields)


@pytest.mark.parametrize(
    ("outcome", "attempts", "jitter", "seconds"),
    [
        pytest.param(again(Pace.BACKOFF), 1, 1.0, 1.0, id="the first retry after a second"),
        pytest.param(again(Pace.BACKOFF), 1, 0.0, 0.5, id="with the least jitter after half of it"),
        pytest.param(again(Pace.BACKOFF), 2, 1.0, 2.0, id="then twice as long"),
        pytest.param(again(Pace.BACKOFF), 9, 1.0, 256.0, id="and twice again, each time"),
        pytest.param(again(Pace.BACKOFF), 10, 1.0, 300.0, id="up to the longest"),
        pytest.param(again(Pace.BACKOFF), 10_000, 1.0, 300.0, id="which any number of failures has"),
        pytest.param(again(Pace.BACKOFF), 0, 1.0, 1.0, id="no failure counts as the first"),
        pytest.param(again(Pace.SLOWLY), 1, 1.0, 300.0, id="wrong keys: at the slow pace at once"),
        pytest.param(again(Pace.SLOWLY), 1, 0.0, 150.0, id="wrong keys, least jitter"),
        pytest.param(again(Pace.INGESTION), 1, 1.0, 5.0, id="not ingested yet: after five seconds"),
        pytest.param(again(Pace.INGESTION), 5, 1.0, 60.0, id="not ingested yet: a minute at most"),
        pytest.param(again(Pace.AT_RESET), 1, 1.0, 5.0, id="a rate limit without a reset"),
        pytest.param(again(Pace.AT_RESET), 8, 1.0, 300.0, id="a rate limit without a reset, again and again"),
        pytest.param(again(Pace.AT_RESET, 10.0), 1, 0.0, 10.1, id="a reset, least jitter"),
        pytest.param(again(Pace.AT_RESET, 10.0), 1, 1.0, 11.0, id="a reset: spread over nine tenths of a second"),
        pytest.param(again(Pace.AT_RESET, 2.0), 1, 1.0, 2.3, id="a short reset: spread over a tenth of it"),
        pytest.param(again(Pace.AT_RESET, 10.0), 3, 0.0, 10.1, id="a reset for the third time"),
        pytest.param(again(Pace.AT_RESET, 10.0), 4, 0.0, 10.2, id="a reset that did not help: later in the window"),
        pytest.param(again(Pace.AT_RESET, 10.0), 50, 0.0, 15.0, id="five seconds into the window at most"),
    ],
)
def test_how_long_to_wait(outcome: TryAgain, attempts: int, jitter: float, seconds: float) -> None:
    """Exact delays of the default policy."""
    found = next_backoff(outcome, attempts=attempts, pending_for=timedelta(0), policy=POLICY, jitter=jitter)
    assert (round(found.seconds, 6), found.stalled) == (seconds, False)


@pytest.mark.parametrize(
    ("pending", "expected"),
    [
        pytest.param(AN_HOUR - timedelta(seconds=1), Backoff(60.0), id="shortly before the deadline"),
        pytest.param(AN_HOUR, Backoff(3600.0, stalled=True), id="at the deadline"),
        pytest.param(2 * AN_HOUR, Backoff(3600.0, stalled=True), id="after it"),
    ],
)
def test_a_deployment_that_datadog_never_gets(pending: timedelta, expected: Backoff) -> None:
    """After an hour it counts as stalled, and is tried once an hour."""
    found = next_backoff(again(Pace.INGESTION), attempts=20, pending_for=pending, policy=POLICY, jitter=1.0)
    assert found == expected


@pytest.mark.parametrize(
    ("reason", "pending", "seconds"),
    [
        pytest.param(Reason.DATADOG_UNAVAILABLE, timedelta(0), 300, id="an outage"),
        pytest.param(None, timedelta(0), 300, id="no reason"),
        pytest.param(Reason.UNAUTHORIZED, timedelta(0), 300, id="wrong keys"),
        pytest.param(Reason.RATE_LIMITED, timedelta(0), 3606, id="a rate limit: an hour and the delay after it"),
        pytest.param(Reason.DEPLOYMENT_NOT_FOUND, timedelta(0), 60, id="not ingested yet"),
        pytest.param(Reason.DEPLOYMENT_NOT_FOUND, AN_HOUR, 3600, id="not ingested for an hour"),
    ],
)
def test_a_next_attempt_is_believed_up_to_the_longest_delay(
    reason: Reason | None, pending: timedelta, seconds: float
) -> None:
    """A later time was written with a wrong clock: the request is sent now."""
    since = NOW - pending
    at_most = status(reason, next_attempt_time=after(seconds), pending_since_time=since)
    assert believed_next_attempt(at_most, NOW, POLICY) == after(seconds)
    beyond = status(reason, next_attempt_time=after(seconds + 1), pending_since_time=since)
    assert believed_next_attempt(beyond, NOW, POLICY) is None


def test_the_slow_pace_has_its_own_limit() -> None:
    """A policy with another slow pace is believed up to that."""
    policy = RetryPolicy(slowly=900)
    for reason, believed in ((Reason.UNAUTHORIZED, after(900)), (Reason.DATADOG_UNAVAILABLE, None)):
        assert believed_next_attempt(status(reason, next_attempt_time=after(900)), NOW, policy) == believed


@pytest.mark.parametrize("at", [NOW, after(-1)])
def test_a_time_that_has_come_is_not_waited_for(at: datetime) -> None:
    """Now and earlier."""
    assert believed_next_attempt(status(next_attempt_time=at), NOW, POLICY) is None


@pytest.mark.parametrize(
    ("other", "own", "expected"),
    [
        pytest.param(accepted(NO_FAILURE, after(1)), accepted(FAILURE), True, id="the opposite, later"),
        pytest.param(accepted(NO_FAILURE), accepted(FAILURE), True, id="the opposite, in the same second"),
        pytest.param(accepted(NO_FAILURE, after(-1)), accepted(FAILURE), False, id="the opposite, earlier"),
        pytest.param(accepted(FAILURE, after(1)), accepted(FAILURE), False, id="the same, later"),
        pytest.param(accepted(None, after(1)), accepted(FAILURE), False, id="nothing accepted by the other"),
        pytest.param(accepted(NO_FAILURE, None), accepted(FAILURE), False, id="the other without a time"),
        pytest.param(accepted(NO_FAILURE, after(1)), accepted(None), False, id="nothing accepted by this one"),
        pytest.param(accepted(NO_FAILURE, after(1)), accepted(FAILURE, None), False, id="this one without a time"),
        pytest.param(
            accepted(NO_FAILURE, after(1), target=ELSEWHERE), accepted(FAILURE), False, id="another deployment"
        ),
        pytest.param(accepted(NO_FAILURE, after(1), target=None), accepted(FAILURE), False, id="no known deployment"),
    ],
)
def test_whether_a_later_acceptance_overwrites(
    other: DoraDeploymentStatus, own: DoraDeploymentStatus, *, expected: bool
) -> None:
    """Only the opposite about the same deployment, not earlier."""
    assert overwrites(other, own) is expected
    assert without_overwritten(own, [other]) == (forget_acceptance(own) if expected else own)
    assert without_overwritten(own, [accepted(FAILURE), other]) == without_overwritten(own, [other])


def test_what_is_forgotten_of_an_acceptance() -> None:
    """All three fields of it, and nothing else."""
    found = forget_acceptance(accepted(FAILURE, attempts=3))
    assert found == DoraDeploymentStatus(target=TARGET, attempts=3)


@pytest.mark.parametrize(
    ("own", "record", "is_adopted"),
    [
        pytest.param(DoraDeploymentStatus(), accepted(FAILURE), True, id="what the record had accepted"),
        pytest.param(DoraDeploymentStatus(), accepted(None), False, id="a record with nothing accepted"),
        pytest.param(DoraDeploymentStatus(), accepted(FAILURE, target=ELSEWHERE), False, id="another deployment"),
        pytest.param(DoraDeploymentStatus(), accepted(FAILURE, target=None), False, id="no known deployment"),
        pytest.param(
            DoraDeploymentStatus(accepted=NO_FAILURE),
            accepted(FAILURE),
            False,
            id="an acceptance of its own comes first",
        ),
    ],
)
def test_what_a_resource_adopts_from_a_record(
    own: DoraDeploymentStatus, record: DoraDeploymentStatus, *, is_adopted: bool
) -> None:
    """State, time, answer and the deployment that was meant."""
    expected = replace(own, accepted=FAILURE, accepted_time=NOW, http_status=202, target=TARGET)
    assert adopt_acceptance(own, PINNED, record) == (expected if is_adopted else own)
