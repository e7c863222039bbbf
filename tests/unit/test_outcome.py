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
    RateLimitState,
    Rejected,
    TryAgain,
    classify,
    classify_event,
    first_words,
    rate_limit_of,
    remaining_requests,
    seconds_until_reset,
    shorten,
)
from dora_operator.domain.reasons import Reason
from tests.support.builders import NOW

WORDS = b'{"errors":["why"]}'


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
        pytest.param(400, b"", Reason.UNEXPECTED_ANSWER, Pace.SLOWLY, id="400 without a word"),
        pytest.param(451, b"<html>blocked", Reason.UNEXPECTED_ANSWER, Pace.SLOWLY, id="a proxy's page with 451"),
        pytest.param(413, b"too large", Reason.UNEXPECTED_ANSWER, Pace.SLOWLY, id="a proxy's text with 413"),
        pytest.param(400, b'["no"]', Reason.UNEXPECTED_ANSWER, Pace.SLOWLY, id="400 with JSON that is no object"),
        pytest.param(400, b'{"error":"no"}', Reason.UNEXPECTED_ANSWER, Pace.SLOWLY, id="400 with another's JSON"),
        pytest.param(409, b'{"errors":[]}', Reason.UNEXPECTED_ANSWER, Pace.SLOWLY, id="an empty list of errors"),
        pytest.param(499, b'{"errors":["cut', Reason.UNEXPECTED_ANSWER, Pace.SLOWLY, id="JSON that was cut"),
    ],
)
def test_answers_that_are_tried_again(status: int, body: bytes, reason: Reason, pace: Pace) -> None:
    """Everything that may pass is tried again, at its own pace."""
    outcome = classify(Answer(status, {}, body), NOW)
    assert isinstance(outcome, TryAgain)
    assert (outcome.reason, outcome.pace, outcome.http_status) == (reason, pace, status)


@pytest.mark.parametrize("status", [400, 402, 405, 409, 410, 413, 415, 422, 451])
def test_answers_that_refuse_the_request(status: int) -> None:
    """A request that Datadog refuses in its own words is not repeated."""
    outcome = classify(Answer(status, {}, WORDS), NOW)
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
        pytest.param({"errors": [{"meta": {}}]}, "", id="an object that says nothing"),
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


@pytest.mark.parametrize(
    ("status", "message"),
    [
        pytest.param(400, "Datadog refused the request (400); it says: why", id="refused"),
        pytest.param(503, "Datadog is not available (503); it says: why", id="an outage"),
        pytest.param(
            401,
            "Datadog does not know the keys on this site (401): check the API key, the application key and the site; it"
            " says: why",
            id="unknown keys",
        ),
        pytest.param(
            403,
            "Datadog does not let these keys mark deployments (403): give the owner of the application key, and its"
            " scopes, the permission dora_metrics_write; it says: why",
            id="no permission",
        ),
        pytest.param(
            404,
            "Datadog does not have this deployment (404): it may not have been ingested yet; it says: why",
            id="not ingested",
        ),
        pytest.param(429, "Datadog's rate limit for this account is used up (429)", id="a rate limit"),
        pytest.param(
            302,
            "an answer that Datadog's API does not give (302): is a proxy between the operator and Datadog?; it says:"
            " why",
            id="a redirect",
        ),
    ],
)
def test_what_a_message_says(status: int, message: str) -> None:
    """What is wrong, and what to check."""
    outcome = classify(Answer(status, {}, WORDS), NOW)
    assert not isinstance(outcome, Accepted)
    assert outcome.message == message


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (FailureKind.TIMEOUT, "Datadog did not answer in time: 5 s"),
        (FailureKind.UNREACHABLE, "Datadog cannot be reached: 5 s"),
    ],
)
def test_what_a_message_says_without_an_answer(kind: FailureKind, message: str) -> None:
    """With the detail of the failure."""
    outcome = classify(NoAnswer(kind, "5 s"), NOW)
    assert isinstance(outcome, TryAgain)
    assert outcome.message == message


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        pytest.param(Answer(200, {}, b"{}"), Accepted, id="200"),
        pytest.param(Answer(202, {}, b""), Accepted, id="202"),
        pytest.param(Answer(200, {}, b"<html>"), TryAgain, id="a login page"),
        pytest.param(Answer(503, {}, b""), TryAgain, id="an outage"),
        pytest.param(Answer(400, {}, WORDS), Rejected, id="a refusal"),
        pytest.param(Answer(400, {}, b""), TryAgain, id="a proxy's refusal"),
        pytest.param(NoAnswer(FailureKind.TIMEOUT, ""), TryAgain, id="no answer"),
    ],
)
def test_the_reply_to_a_deployment_event(reply: Answer | NoAnswer, kind: type) -> None:
    """As for a mark, but 200 is success too."""
    assert isinstance(classify_event(reply, NOW), kind)


def test_a_rate_limit_of_a_deployment_event_has_its_reset() -> None:
    """An epoch is compared with the clock."""
    header = str(int(NOW.timestamp()) + 30)
    outcome = classify_event(Answer(429, {"x-ratelimit-reset": header}, b""), NOW)
    assert isinstance(outcome, TryAgain)
    assert outcome.reset_seconds == 30.0


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("7", 7),
        ("7, 8", 7),
        (" 0 ", 0),
        ("-3", 0),
        ("1.5", None),
        ("", None),
        (None, None),
        pytest.param("9" * 309, 1_000_000, id="309 digits, which no float holds"),
        pytest.param("9" * 5000, None, id="5000 digits, which Python does not read"),
    ],
)
def test_the_requests_that_remain(header: str | None, expected: int | None) -> None:
    """A whole number that is not negative, and not beyond what a metric can show."""
    assert remaining_requests(header) == expected


def test_what_an_answer_says_about_its_rate_limit() -> None:
    """All of it is optional, and whatever comes is bounded."""
    headers = {"limit": "600", "remaining": "599", "reset": "7", "name": "dora_read"}
    assert rate_limit_of({f"x-ratelimit-{name}": value for name, value in headers.items()}, NOW) == RateLimitState(
        "dora_read", 600, 599, 7.0
    )
    assert rate_limit_of({}, NOW) == RateLimitState(None, None, None, None)
    assert rate_limit_of({"x-ratelimit-name": ""}, NOW).name is None
    assert len(rate_limit_of({"x-ratelimit-name": "x" * 1000}, NOW).name or "") == 64


def test_epochs_begin_far_above_seconds() -> None:
    """A number up to a thousand million is seconds."""
    assert seconds_until_reset("1000000000", NOW) == 3600.0
    assert seconds_until_reset("1000000001", NOW) == 0.0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b'{"errors":["a","b","c","d","e","f"]}', "a; b; c; d; e", id="the first five of a list"),
        pytest.param(b'{"error":{"code":"C","title":"T"}}', "T", id="the title before the code"),
        pytest.param(b'{"error":{"code":"C"}}', "C", id="the code alone"),
        pytest.param(b'{"error":{"detail":7,"message":"m"}}', "m", id="text alone"),
        pytest.param(b'{"error":{"detail":"","message":"m"}}', "m", id="not an empty text"),
        pytest.param(b'{"errors":[],"message":"m"}', "m", id="an empty list"),
        pytest.param(b"a\n\tb\x00c", "a b c", id="plain text on one line"),
        pytest.param(b"\xff", "\N{REPLACEMENT CHARACTER}", id="bytes that are no text"),
        pytest.param(b"x" * 161, "x" * 159 + "…", id="cut with an ellipsis"),
        pytest.param(b"x" * 160, "x" * 160, id="the longest"),
        pytest.param(b'"' + b"x" * 161 + b'"', "x" * 159 + "…", id="the longest of JSON"),
        pytest.param(b"7", "", id="a number"),
        pytest.param(b'["one",{"detail":"two"}]', "one; two", id="a bare list"),
        pytest.param(b'{"errors":null}', "", id="null"),
    ],
)
def test_the_words_of_an_error(body: bytes, words: str) -> None:
    """In any of the shapes that were seen."""
    assert first_words(body) == words


def test_a_message_has_256_characters() -> None:
    """More are cut; spaces do not count."""
    assert shorten("x" * 256) == "x" * 256
    assert shorten("x" * 257) == "x" * 255 + "…"
    assert shorten(" " * 20 + "x" * 3, 4) == "xxx"
    assert shorten(" " * 32 + "x", 4) == ""
