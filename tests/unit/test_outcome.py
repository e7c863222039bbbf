"""What Datadog's answers mean."""

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.domain.outcome import (
    Accepted,
    Answer,
    FailureKind,
    NoAnswer,
    Pace,
    Rejected,
    TryAgain,
    classify,
)
from dora_operator.domain.reasons import Reason
from tests.support.builders import NOW


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="an empty body, as the call by version gives"),
        pytest.param(b" \n", id="white space"),
        pytest.param(b'{"data":null}', id="data null, as the call by id gives"),
        pytest.param(b'{"data":{"id":"x"}}', id="some day, data"),
        pytest.param(b'{"errors":[]}', id="an empty list of errors"),
    ],
)
def test_202_is_the_only_success(body: bytes) -> None:
    """202 is a success with or without a body."""
    assert classify(Answer(202, {}, body), NOW) == Accepted(202)


@pytest.mark.parametrize(
    ("status", "body", "reason", "pace"),
    [
        pytest.param(202, b"<html>log in</html>", Reason.UNEXPECTED_ANSWER, Pace.BACKOFF, id="a login page with 202"),
        pytest.param(202, b'{"errors":["no"]}', Reason.UNEXPECTED_ANSWER, Pace.BACKOFF, id="202 with errors"),
        pytest.param(202, b'"text"', Reason.UNEXPECTED_ANSWER, Pace.BACKOFF, id="202 with JSON that is no object"),
        pytest.param(200, b"{}", Reason.UNEXPECTED_ANSWER, Pace.BACKOFF, id="200 is not a success"),
        pytest.param(204, b"", Reason.UNEXPECTED_ANSWER, Pace.BACKOFF, id="204 neither"),
        pytest.param(302, b"", Reason.UNEXPECTED_ANSWER, Pace.BACKOFF, id="a redirect is not followed"),
        pytest.param(407, b"", Reason.UNEXPECTED_ANSWER, Pace.BACKOFF, id="a proxy wants a password"),
        pytest.param(401, b"", Reason.UNAUTHORIZED, Pace.SLOWLY, id="unknown keys"),
        pytest.param(403, b"", Reason.FORBIDDEN, Pace.SLOWLY, id="keys without the permission"),
        pytest.param(404, b"", Reason.DEPLOYMENT_NOT_FOUND, Pace.INGESTION, id="not ingested yet"),
        pytest.param(408, b"", Reason.DATADOG_UNAVAILABLE, Pace.BACKOFF, id="Datadog timed out"),
        pytest.param(425, b"", Reason.DATADOG_UNAVAILABLE, Pace.BACKOFF, id="too early"),
        pytest.param(429, b"<html>", Reason.RATE_LIMITED, Pace.AT_RESET, id="rate limited, with an HTML body"),
        pytest.param(500, b"", Reason.DATADOG_UNAVAILABLE, Pace.BACKOFF, id="500"),
        pytest.param(503, b"\xff\xfe", Reason.DATADOG_UNAVAILABLE, Pace.BACKOFF, id="503 with bytes that are no text"),
        pytest.param(599, b"", Reason.DATADOG_UNAVAILABLE, Pace.BACKOFF, id="any 5xx"),
    ],
)
def test_answers_that_are_tried_again(status: int, body: bytes, reason: Reason, pace: Pace) -> None:
    """Everything that may pass is tried again, at its own pace."""
    outcome = classify(Answer(status, {}, body), NOW)
    assert isinstance(outcome, TryAgain)
    assert (outcome.reason, outcome.pace, outcome.http_status) == (reason, pace, status)


@pytest.mark.parametrize("status", [400, 402, 405, 409, 410, 413, 415, 422, 451])
def test_answers_that_refuse_the_request(status: int) -> None:
    """A request that Datadog refuses is not repeated."""
    outcome = classify(Answer(status, {}, b""), NOW)
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.http_status) == (Reason.REQUEST_REJECTED, status)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param({"errors": ["API key required"]}, "API key required", id="an array of strings"),
        pytest.param(
            {"errors": [{"status": "400", "title": "Bad Request", "detail": 'attribute "type" must be one of "a b"'}]},
            'attribute "type" must be one of "a b"',
            id="an array of JSON:API objects",
        ),
        pytest.param({"errors": [{"title": "Generic Error"}]}, "Generic Error", id="an object without a detail"),
        pytest.param({"error": {"code": "x", "message": "no such thing"}}, "no such thing", id="one error object"),
        pytest.param(["one", {"detail": "two"}], "one; two", id="a bare list"),
        pytest.param({"errors": [{"meta": {}}]}, "", id="an object that says nothing"),
        pytest.param({"errors": None}, "", id="null"),
    ],
)
def test_datadogs_own_words(body: object, words: str) -> None:
    """Whatever the shape of an error body, its words reach the user."""
    outcome = classify(Answer(400, {}, json.dumps(body).encode()), NOW)
    expected = f"Datadog refused the request (400); it says: {words}" if words else "Datadog refused the request (400)"
    assert isinstance(outcome, Rejected)
    assert outcome.message == expected


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        pytest.param(FailureKind.TIMEOUT, Reason.DATADOG_TIMEOUT, id="no answer in time"),
        pytest.param(FailureKind.UNREACHABLE, Reason.DATADOG_UNREACHABLE, id="no connection"),
    ],
)
def test_no_answer_is_tried_again(kind: FailureKind, reason: Reason) -> None:
    """A request that failed on the way is repeated with growing pauses."""
    outcome = classify(NoAnswer(kind, "detail"), NOW)
    assert isinstance(outcome, TryAgain)
    assert (outcome.reason, outcome.pace, outcome.http_status) == (reason, Pace.BACKOFF, None)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param("7", 7.0, id="seconds"),
        pytest.param("7, 7", 7.0, id="a doubled header"),
        pytest.param(" 0.5 ", 0.5, id="a fraction"),
        pytest.param("0", 0.0, id="zero"),
        pytest.param(str(int(NOW.timestamp()) + 30), 30.0, id="an epoch in seconds"),
        pytest.param(str(int(NOW.timestamp() * 1000) + 30_000), 30.0, id="an epoch in milliseconds"),
        pytest.param(str(int(NOW.timestamp()) - 30), 0.0, id="an epoch in the past"),
        pytest.param("999999", 3600.0, id="more than an hour is not believed"),
        pytest.param("-3", None, id="a negative number"),
        pytest.param("soon", None, id="not a number"),
        pytest.param("nan", None, id="not a number"),
        pytest.param("inf", None, id="for ever"),
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="absent"),
    ],
)
def test_reading_the_reset_header(header: str | None, seconds: float | None) -> None:
    """X-RateLimit-Reset is read as it really comes."""
    headers = {} if header is None else {"x-ratelimit-reset": header}
    outcome = classify(Answer(429, headers, b""), NOW)
    assert isinstance(outcome, TryAgain)
    assert outcome.reset_seconds == seconds


@given(st.integers(100, 999), st.binary(max_size=2000), st.text(max_size=40))
def test_every_answer_has_an_outcome(status: int, body: bytes, reset: str) -> None:
    """No status, body or header breaks the table, and no message is long or has control characters."""
    outcome = classify(Answer(status, {"x-ratelimit-reset": reset}, body), NOW + timedelta(0))
    if isinstance(outcome, Accepted):
        assert status == 202
    else:
        assert len(outcome.message) <= 400
        assert outcome.message.isprintable()
