"""What an answer of Datadog, or its absence, means: accepted, try again, or rejected.

One pure table over status codes and failures, and the reading of what the answer says: rate limit headers and error
bodies. How long to wait before the next try is decided in `retry`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from http import HTTPStatus
from math import isfinite

from dora_operator.domain.fields import MESSAGE_LIMIT
from dora_operator.domain.reasons import Reason

WORDS_LIMIT = 160
EPOCH_FROM = 1_000_000_000
"""Larger numbers in X-RateLimit-Reset are points in time, in seconds or milliseconds."""
LONGEST_RESET = 3600.0
"""Seconds. A header that asks for more is not believed: the account is tried again after an hour at most."""
MAX_REQUESTS = 1_000_000
"""A header with more requests says as much as this many."""
NAME_LIMIT = 64


class FailureKind(Enum):
    """Why there is no answer."""

    TIMEOUT = auto()
    UNREACHABLE = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """Datadog's answer: status, headers with lower-case names, and the beginning of the body."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_cut: bool = False
    """Whether the body was longer than what is read of one."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The request failed on the way. Whether Datadog received it is unknown; repeating it is safe."""

    kind: FailureKind
    detail: str


class Pace(Enum):
    """How soon the next try makes sense."""

    BACKOFF = auto()
    """Growing delays, capped, without end: an outage."""
    INGESTION = auto()
    """Growing delays up to a deadline, then slowly: the deployment may not have been ingested yet."""
    SLOWLY = auto()
    """Minutes: a permission, a key or a proxy has to be changed first."""
    AT_RESET = auto()
    """When the next rate limit window of the account begins."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """202: Datadog accepted exactly this request."""

    http_status: int


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Not accepted; the same request may be accepted later."""

    reason: Reason
    message: str
    pace: Pace
    http_status: int | None = None
    reset_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Not accepted; the same request will never be."""

    reason: Reason
    message: str
    http_status: int


Outcome = Accepted | TryAgain | Rejected


def classify(reply: Answer | NoAnswer, now: datetime) -> Outcome:
    """Return what the reply means. Total: every status and every body has an outcome."""
    if isinstance(reply, NoAnswer):
        return _no_answer(reply)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return _rate_limited(reply, now)
    return _MEANINGS.get(reply.status, _by_class)(reply)


def classify_event(reply: Answer | NoAnswer, now: datetime) -> Outcome:
    """Return what the reply to a deployment event means: as for a mark, but 200 is success too."""
    if isinstance(reply, Answer) and reply.status == HTTPStatus.OK:
        return _accepted(reply)
    return classify(reply, now)


def _by_class(answer: Answer) -> Outcome:
    """Statuses without an entry in the table. A 4xx is final only in Datadog's own words: a proxy gives them too."""
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _unavailable(answer)
    if answer.status < HTTPStatus.BAD_REQUEST:
        return _unexpected(answer)
    document = _json(answer.body)
    if not (isinstance(document, dict) and document.get("errors")):
        return _unexpected(answer, Pace.SLOWLY)
    message = _with_words(f"Datadog refused the request ({answer.status})", answer)
    return Rejected(Reason.REQUEST_REJECTED, message, answer.status)


def _unavailable(answer: Answer) -> Outcome:
    message = _with_words(f"Datadog is not available ({answer.status})", answer)
    return TryAgain(Reason.DATADOG_UNAVAILABLE, message, Pace.BACKOFF, answer.status)


def _unauthorized(answer: Answer) -> Outcome:
    return TryAgain(Reason.UNAUTHORIZED, _with_words(_UNAUTHORIZED, answer), Pace.SLOWLY, answer.status)


def _forbidden(answer: Answer) -> Outcome:
    return TryAgain(Reason.FORBIDDEN, _with_words(_FORBIDDEN, answer), Pace.SLOWLY, answer.status)


def _not_found(answer: Answer) -> Outcome:
    return TryAgain(Reason.DEPLOYMENT_NOT_FOUND, _with_words(_NOT_FOUND, answer), Pace.INGESTION, answer.status)


def _rate_limited(answer: Answer, now: datetime) -> Outcome:
    seconds = rate_limit_of(answer.headers, now).reset_seconds
    message = "Datadog's rate limit for this account is used up (429)"
    return TryAgain(Reason.RATE_LIMITED, message, Pace.AT_RESET, answer.status, seconds)


_UNAUTHORIZED = "Datadog does not know the keys on this site (401): check the API key, the application key and the site"
_FORBIDDEN = (
    "Datadog does not let these keys mark deployments (403): give the owner of the application key, and its scopes,"
    " the permission dora_metrics_write"
)
_NOT_FOUND = "Datadog does not have this deployment (404): it may not have been ingested yet"


def _accepted(answer: Answer) -> Outcome:
    """202 counts with an empty body or a JSON object without errors; a login page with 202 does not."""
    document = _json(answer.body)
    if not answer.body.strip() or (isinstance(document, dict) and not document.get("errors")):
        return Accepted(answer.status)
    return _unexpected(answer)


def _json(body: bytes) -> object:
    """Return the document in a body, or None where there is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _unexpected(answer: Answer, pace: Pace = Pace.BACKOFF) -> TryAgain:
    message = _with_words(
        f"an answer that Datadog's API does not give ({answer.status}): is a proxy between the operator and Datadog?",
        answer,
    )
    return TryAgain(Reason.UNEXPECTED_ANSWER, message, pace, answer.status)


def _no_answer(failure: NoAnswer) -> TryAgain:
    if failure.kind is FailureKind.TIMEOUT:
        return TryAgain(Reason.DATADOG_TIMEOUT, f"Datadog did not answer in time: {failure.detail}", Pace.BACKOFF)
    return TryAgain(Reason.DATADOG_UNREACHABLE, f"Datadog cannot be reached: {failure.detail}", Pace.BACKOFF)


def _with_words(message: str, answer: Answer) -> str:
    words = first_words(answer.body)
    return f"{message}; it says: {words}" if words else message


_MEANINGS: Mapping[int, Callable[[Answer], Outcome]] = {
    HTTPStatus.ACCEPTED: _accepted,
    HTTPStatus.UNAUTHORIZED: _unauthorized,
    HTTPStatus.FORBIDDEN: _forbidden,
    HTTPStatus.NOT_FOUND: _not_found,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: _unexpected,
    HTTPStatus.REQUEST_TIMEOUT: _unavailable,
    HTTPStatus.TOO_EARLY: _unavailable,
}


@dataclass(frozen=True, slots=True)
class RateLimitState:
    """What an answer says about the rate limit that its request counted against. None: nothing usable."""

    name: str | None
    """The limit's own name. Calls with one name share one limit."""
    limit: int | None
    """Requests in a window."""
    remaining: int | None
    """Requests that the window still admits."""
    reset_seconds: float | None
    """Seconds until the next window, 0 to 3600."""


def rate_limit_of(headers: Mapping[str, str], now: datetime) -> RateLimitState:
    return RateLimitState(
        name=shorten(headers.get("x-ratelimit-name", ""), NAME_LIMIT) or None,
        limit=remaining_requests(headers.get("x-ratelimit-limit")),
        remaining=remaining_requests(headers.get("x-ratelimit-remaining")),
        reset_seconds=seconds_until_reset(headers.get("x-ratelimit-reset"), now),
    )


def seconds_until_reset(header: str | None, now: datetime) -> float | None:
    """Return the seconds to wait, 0 to 3600, or None where the header says nothing usable.

    `X-RateLimit-Reset` is documented as seconds until the next window. It also arrives as a list ("7, 7"), as an epoch,
    as invalid content, or not at all.
    Source: Datadog API reference, "Rate Limits"; pull requests datadog-api-client-python 3460 and dd-trace-py 17170.
    """
    if header is None:
        return None
    try:
        number = float(header.split(",")[0].strip())
    except ValueError:
        return None
    if not isfinite(number) or number < 0:
        return None
    if number > EPOCH_FROM * 1000:
        number /= 1000
    if number > EPOCH_FROM:
        number = max(0.0, number - now.timestamp())
    return min(number, LONGEST_RESET)


def remaining_requests(header: str | None) -> int | None:
    """Return a number of requests, 0 to MAX_REQUESTS, or None where the header says nothing usable."""
    if header is None:
        return None
    try:
        number = int(header.split(",")[0].strip())
    except ValueError:
        return None
    return min(max(0, number), MAX_REQUESTS)


def first_words(body: bytes) -> str:
    """Return the message in an error body, at most 160 characters; empty where there is none.

    Never raises. Shapes that were seen: array of strings, array of JSON:API objects, `{"error": {...}}`, plain text
    (`tests/standin/recorded`).
    """
    words = body.decode("utf-8", errors="replace")
    with suppress(ValueError, RecursionError):
        words = "; ".join(_sentences(json.loads(words)))
    return shorten(words, WORDS_LIMIT)


def shorten(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return text on one line without control characters, cut with an ellipsis at `limit` characters."""
    printable = "".join(character if character.isprintable() else " " for character in text[: limit * 8])
    line = " ".join(printable.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _sentences(document: object) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, list):
        for item in document[:5]:
            yield from _sentences(item)
    elif isinstance(document, dict):
        yield from _object_sentences(document)


def _object_sentences(document: dict[str, object]) -> Iterator[str]:
    for container in ("errors", "error"):
        if document.get(container):
            yield from _sentences(document[container])
            return
    for name in ("detail", "message", "title", "code"):
        value = document.get(name)
        if isinstance(value, str) and value:
            yield value
            return
