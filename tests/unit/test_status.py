"""From plans and outcomes to statuses: conditions, counters, history, and the patch that writes them."""

import json
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.domain import status as statuses
from dora_operator.domain.fields import adapter, to_api
from dora_operator.domain.outcome import Accepted, Answer, FailureKind, NoAnswer, Outcome, Pace, TryAgain, classify
from dora_operator.domain.plan import Hold, Send
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import DoraDeploymentStatus
from dora_operator.domain.retry import NothingDue, RetryPolicy, SendNow, WaitUntil, next_action, next_backoff
from tests.support.builders import NOW, OTHER_ID, conditions, planned, reason, send, status_context, verdict

NEW = DoraDeploymentStatus(observed_generation=-1)
LATER = NOW + timedelta(minutes=5)
EARLIER = NOW - timedelta(hours=2)
ACCEPTED = statuses.with_outcome(NEW, send(), Accepted(202), status_context())


def answered(status: int, body: bytes = b"", **headers: str) -> Outcome:
    """Classify an answer; 400 and 422 come with Datadog's words."""
    words = b'{"errors":["no"]}' if status in {400, 422} else b""
    return classify(Answer(status, headers, body or words), NOW)


REFUSED = answered(400, b'{"errors": ["bad id"]}')


def failed(outcome: Outcome, previous: DoraDeploymentStatus = NEW) -> DoraDeploymentStatus:
    """Return the status after an outcome."""
    return statuses.with_outcome(previous, send(), outcome, status_context())


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(ACCEPTED, "Ready Accepted", id="accepted"),
        pytest.param(failed(answered(503)), "Reconciling", id="an outage"),
        pytest.param(failed(answered(429)), "Reconciling", id="a rate limit"),
        pytest.param(failed(answered(401)), "Reconciling", id="unknown keys"),
        pytest.param(failed(answered(403)), "Reconciling", id="a missing permission"),
        pytest.param(failed(answered(404)), "Reconciling", id="not ingested yet"),
        pytest.param(failed(REFUSED), "Stalled", id="a refused request"),
        pytest.param(failed(classify(NoAnswer(FailureKind.TIMEOUT, "x"), NOW)), "Reconciling", id="a timeout"),
        pytest.param(
            statuses.without_request(NEW, planned({"changeFailure": True, "suspend": True}), status_context()),
            "",
            id="suspended: neither at work nor stalled",
        ),
        pytest.param(
            statuses.invalid(NEW, "broken", status_context()), "Stalled", id="a spec that cannot be understood"
        ),
    ],
)
def test_which_conditions_are_true(status: DoraDeploymentStatus, expected: str) -> None:
    """Each outcome makes exactly these conditions true; Verified stays Unknown."""
    found = conditions(status)
    assert list(found) == ["Ready", "Accepted", "Verified", "Reconciling", "Stalled"]
    assert " ".join(kind for kind, value in found.items() if value == "True") == expected
    assert found["Verified"] == "Unknown"


def test_accepted_status() -> None:
    """202 is recorded with what was accepted, when, and for which deployment; nothing is left pending."""
    shown = to_api(ACCEPTED)
    assert shown["accepted"] == shown["desired"] == {"changeFailure": True}
    assert shown["acceptedTime"] == "2026-11-23T12:00:00Z"
    assert shown["httpStatus"] == 202
    assert shown["target"] == {"by": "ID", "id": "43vkaZNgiso", "site": "datadoghq.com"}
    assert shown["observedGeneration"] == 1
    assert not {"attempts", "pendingSinceTime", "nextAttemptTime", "lastError"} & set(shown)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({}, "change failure", id="a failure"),
        pytest.param({"changeFailure": False}, "no change failure", id="none"),
        pytest.param(
            {"remediation": {"type": "rollback", "id": OTHER_ID}},
            f"change failure, rollback to id {OTHER_ID}",
            id="by id",
        ),
        pytest.param(
            {"remediation": {"type": "rollforward", "version": "2"}},
            "change failure, rollforward to version 2",
            id="by version",
        ),
    ],
)
def test_the_message_says_what_was_accepted(fields: dict, words: str) -> None:
    """A person reads in Ready's message what Datadog knows now."""
    status = statuses.with_outcome(NEW, send(**fields), Accepted(202), status_context())
    assert status.conditions is not None
    assert status.conditions[0].message == f"Datadog accepted: {words}"


def test_failures_are_counted_and_the_pauses_grow() -> None:
    """Each failure adds an attempt and a later next attempt; pendingSinceTime stays at the first."""
    status, pauses = NEW, []
    for _ in range(12):
        status = statuses.with_outcome(status, send(), answered(503), status_context())
        assert status.next_attempt_time is not None
        pauses.append((status.next_attempt_time - NOW).total_seconds())
    assert status.attempts == 12
    assert status.pending_since_time == NOW
    assert pauses[:4] == [0.75, 1.5, 3.0, 6.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 225.0


def test_after_an_outage_success_clears_what_it_left() -> None:
    """Accepted after failures is like accepted at once, but for its history."""
    shown = to_api(statuses.with_outcome(failed(answered(503, b"oops")), send(), Accepted(202), status_context()))
    assert not {"attempts", "pendingSinceTime", "nextAttemptTime", "lastError"} & set(shown)
    assert [entry["reason"] for entry in shown["history"]] == ["Accepted", "DatadogUnavailable"]


def test_the_last_good_state_stays_visible() -> None:
    """A refused edit keeps what Datadog accepted before."""
    edited = send(changeFailure=False)
    status = statuses.with_outcome(ACCEPTED, edited, answered(400), status_context(generation=2))
    assert status.accepted is not None
    assert status.accepted.change_failure is True
    assert status.desired is not None
    assert status.desired.change_failure is False
    assert conditions(status)["Accepted"] == "False"


def test_another_account_was_never_asked() -> None:
    """What one site accepted says nothing about another."""
    status = statuses.with_outcome(ACCEPTED, send(site="datadoghq.eu"), answered(503), status_context(generation=2))
    assert status.accepted is None
    assert status.accepted_time is None


def test_last_transition_time_moves_with_the_status_alone() -> None:
    """A new reason with the same status keeps lastTransitionTime."""
    first = failed(answered(503))
    second = statuses.with_outcome(first, send(), answered(401), status_context(now=LATER))
    third = statuses.with_outcome(second, send(), Accepted(202), status_context(now=LATER))
    times = [
        next(condition.last_transition_time for condition in one.conditions or ()) for one in (first, second, third)
    ]
    assert times == [NOW, NOW, LATER]


def test_404_until_the_deadline_and_then_slowly() -> None:
    """A deployment that Datadog does not know is stalled after an hour, and still tried again."""
    before = statuses.with_outcome(
        failed(answered(404)), send(), answered(404), status_context(now=NOW + timedelta(minutes=59))
    )
    after = statuses.with_outcome(before, send(), answered(404), status_context(now=NOW + timedelta(minutes=60)))
    assert (conditions(before)["Stalled"], conditions(after)["Stalled"]) == ("False", "True")
    assert reason(after) == "DeploymentNotFound"
    assert after.next_attempt_time is not None
    assert after.next_attempt_time > NOW + timedelta(minutes=80)


@pytest.mark.parametrize(
    ("reset", "earliest", "latest"),
    [
        pytest.param("30", 30, 31.5, id="never before the reset, and soon after it"),
        pytest.param("0", 0.1, 1.5, id="a window that just began"),
        pytest.param("not-a-number", 2.5, 5, id="without a usable header, a pause of its own"),
    ],
)
def test_a_rate_limit_waits_for_its_reset(reset: str, earliest: float, latest: float) -> None:
    """After 429, nextAttemptTime lies behind the reset, spread by the jitter."""
    outcome = answered(429, **{"x-ratelimit-reset": reset})
    for jitter in (0.0, 0.5, 1.0):
        status = statuses.with_outcome(NEW, send(), outcome, status_context(jitter=jitter))
        assert status.next_attempt_time is not None
        assert earliest <= (status.next_attempt_time - NOW).total_seconds() <= latest


def test_history_keeps_ten_changes_newest_first() -> None:
    """The history is bounded, and a repeated outcome adds nothing."""
    status = NEW
    for step in range(30):
        for _ in range(3):
            outcome = answered(503) if step % 2 else answered(401)
            status = statuses.with_outcome(status, send(), outcome, status_context(now=NOW + timedelta(seconds=step)))
    assert status.history is not None
    assert len(status.history) == 10
    assert [entry.time for entry in status.history] == [NOW + timedelta(seconds=29 - n) for n in range(10)]


def test_a_dry_run_shows_the_request() -> None:
    """status.dryRun has method, path and body, and vanishes when the dry run ends."""
    plan = planned({"changeFailure": True, "dryRun": True})
    dry = statuses.without_request(NEW, plan, status_context())
    assert dry.dry_run is not None
    assert dry.dry_run.path == "/api/v2/dora/deployments/43vkaZNgiso"
    assert '"change_failure":true' in dry.dry_run.body
    assert reason(dry) == "DryRun"
    assert statuses.with_outcome(dry, send(), Accepted(202), status_context(2)).dry_run is None


def test_holding_back_what_is_accepted_already_changes_nothing() -> None:
    """Suspending a resource whose state Datadog has keeps it Ready."""
    plan = planned({"changeFailure": True, "suspend": True})
    status = statuses.without_request(ACCEPTED, plan, status_context(2))
    assert conditions(status)["Ready"] == "True"
    assert status.observed_generation == 2


@pytest.mark.parametrize(
    ("status", "generation", "now", "expected"),
    [
        pytest.param(NEW, 1, NOW, SendNow(), id="a new resource is sent"),
        pytest.param(ACCEPTED, 1, NOW, NothingDue(), id="an accepted one is not sent again"),
        pytest.param(ACCEPTED, 2, NOW, NothingDue(), id="nor after an edit that changes nothing for Datadog"),
        pytest.param(failed(answered(503)), 1, NOW, WaitUntil(NOW + timedelta(seconds=0.75)), id="a pause is kept"),
        pytest.param(failed(answered(503)), 1, LATER, SendNow(), id="and ends"),
        pytest.param(failed(answered(503)), 1, EARLIER, SendNow(), id="and is not kept that a wrong clock has noted"),
        pytest.param(failed(answered(503)), 2, NOW, SendNow(), id="an edit is tried at once"),
        pytest.param(failed(REFUSED), 1, LATER, WaitUntil(None), id="a refused request is not repeated"),
        pytest.param(failed(REFUSED), 2, NOW, SendNow(), id="until the user edits"),
        pytest.param(
            statuses.without_request(NEW, planned({"changeFailure": True, "suspend": True}), status_context()),
            1,
            NOW,
            SendNow(),
            id="what was held back before is sent",
        ),
    ],
)
def test_when_a_request_is_due(
    status: DoraDeploymentStatus, generation: int, now: Any, expected: SendNow | NothingDue | WaitUntil
) -> None:
    """The status alone decides whether to send."""
    assert next_action(send(), status, generation, now, RetryPolicy()) == expected


def test_a_new_desired_state_is_due_at_once() -> None:
    """Neither acceptance nor a pause of the old state holds back the new one."""
    for status in (ACCEPTED, failed(answered(503)), failed(REFUSED)):
        wanted = send(remediation={"type": "rollback", "id": OTHER_ID})
        assert next_action(wanted, status, 1, NOW, RetryPolicy()) == SendNow()


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386, as the API server applies it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


plans = st.sampled_from(
    [
        {"changeFailure": True},
        {"changeFailure": False, "remediation": {"type": "rollforward", "version": "2"}},
        {"changeFailure": True, "remediation": {"type": "rollback", "id": OTHER_ID}},
        {"changeFailure": True, "suspend": True},
        {"changeFailure": True, "dryRun": True},
        {"changeFailure": True, "site": "us5.datadoghq.com"},
        {"remediation": {"type": "rollback", "doraDeploymentRef": {"name": "missing"}}},
    ]
)
outcomes = st.sampled_from([202, 400, 401, 403, 404, 408, 422, 429, 500, 302])
steps = st.lists(st.tuples(plans, outcomes, st.integers(0, 10_000), st.floats(0, 1)), min_size=1, max_size=12)


def walk(path: list[tuple[dict, int, int, float]]) -> list[DoraDeploymentStatus]:
    """Live through a list of edits and answers."""
    status, now, seen = NEW, NOW, []
    for generation, (fields, http_status, seconds, jitter) in enumerate(path, 1):
        now += timedelta(seconds=seconds)
        plan = planned(fields)
        here = status_context(generation, now, jitter)
        if type(plan).__name__ == "Send":
            status = statuses.with_outcome(status, plan, answered(http_status), here)
        else:
            status = statuses.without_request(status, plan, here)
        seen.append(status)
    return seen


@given(steps)
def test_conditions_never_contradict_each_other(path: list) -> None:
    """At most one of Ready, Reconciling and Stalled is true; Ready only with desired equal to accepted."""
    for generation, status in enumerate(walk(path), 1):
        found = conditions(status)
        assert [found["Ready"], found["Reconciling"], found["Stalled"]].count("True") <= 1
        assert found["Ready"] == found["Accepted"]
        if found["Ready"] == "True":
            assert status.accepted == status.desired
        assert status.observed_generation == generation
        assert {condition.observed_generation for condition in status.conditions or ()} == {generation}


@given(steps)
def test_only_the_last_202_counts_as_accepted(path: list) -> None:
    """What is shown as accepted was answered with 202 for this account, whatever came in between."""
    states = walk(path)
    for before, status, (_, http_status, _, _) in zip([NEW, *states], states, path, strict=False):
        if status.accepted is not None and status.accepted != before.accepted:
            assert http_status == 202


@given(steps)
def test_the_patch_makes_kubernetes_copy_equal(path: list) -> None:
    """Applying each merge patch leaves exactly the status, nothing of an older one."""
    stored: dict = {"observedGeneration": -1}
    for status in walk(path):
        stored = merged(deepcopy(stored), statuses.merge_patch(status))
        assert stored == to_api(status)
        assert adapter(DoraDeploymentStatus).validate_python(stored) == status


@given(
    pace=st.sampled_from(Pace),
    reset=st.none() | st.floats(min_value=0, max_value=3600),
    attempts=st.integers(min_value=1, max_value=10_000),
    pending=st.timedeltas(min_value=timedelta(), max_value=timedelta(days=30)),
    jitter=st.floats(min_value=0, max_value=1),
    longest=st.floats(min_value=1, max_value=86_400),
)
def test_no_pause_is_longer_than_the_ceiling(
    pace: Pace, reset: float | None, attempts: int, pending: timedelta, jitter: float, longest: float
) -> None:
    """So a next try that is further ahead can only come from a clock that was wrong."""
    policy = RetryPolicy(longest=longest)
    outcome = TryAgain(REASONS[pace], "", pace, reset_seconds=reset)
    pause = next_backoff(outcome, attempts=attempts, pending_for=pending, policy=policy, jitter=jitter)
    assert 0 <= pause.seconds <= policy.longest_after(outcome.reason, pending)


REASONS = {
    Pace.BACKOFF: Reason.DATADOG_UNAVAILABLE,
    Pace.INGESTION: Reason.DEPLOYMENT_NOT_FOUND,
    Pace.SLOWLY: Reason.FORBIDDEN,
    Pace.AT_RESET: Reason.RATE_LIMITED,
}


def test_the_largest_status_is_bounded() -> None:
    """The longest words in the widest characters, a full history and an answer without end: far below 32 KiB."""
    tag, wide = "\U0001f680" * 200, "\U0001f680" * 256
    deployment = {"service": tag, "env": tag, "version": "0" + tag[1:]}
    wanted = {"deployment": deployment, "remediation": {"type": "rollforward", "version": tag}, "changeFailure": True}
    plan = planned(wanted)
    assert isinstance(plan, Send)
    source = verdict(name=wide, uid=wide, pod_template_hash=wide, message=wide, time=NOW, **deployment)
    status = NEW
    for step in range(30):
        answer = answered(503 if step % 2 else 401, body=("\U0001f680" * 20_000).encode())
        at = replace(status_context(now=NOW + timedelta(seconds=step)), source=source)
        status = statuses.with_outcome(status, plan, answer, at)
    held = planned(wanted | {"dryRun": True})
    assert isinstance(held, Hold)
    status = statuses.without_request(status, held, replace(status_context(), source=source))
    assert len(status.history or ()) == 10
    assert len(json.dumps(to_api(status), ensure_ascii=False).encode()) < 32 * 1024
