"""What an answer of Datadog, or its absence, means: accepted, try again, or refused.

One pure table over status codes and failures. It decides nothing about time or attempts beyond what the answer itself
says (`X-RateLimit-Reset`); pauses are `backoff`, texts are cleaned by `answer_text`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from http import HTTPStatus

from dora_operator.domain.answer_text import first_words
from dora_operator.domain.ratelimit import seconds_until_reset
from dora_operator.domain.reasons import Reason


class FailureKind(Enum):
    """Why there is no answer."""

    TIMEOUT = auto()
    UNREACHABLE = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """Datadog's answer: status, headers with lower-case names, and at most the first 64 KiB of the body."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The request failed on the way. Whether Datadog saw it is unknown; repeating it is safe."""

    kind: FailureKind
    detail: str


class Pace(Enum):
    """How soon the next try makes sense."""

    BACKOFF = auto()
    """Growing pauses, capped, without end: an outage."""
    INGESTION = auto()
    """Growing pauses up to a deadline, then slowly: the deployment may not have been ingested yet."""
    SLOWLY = auto()
    """A pause of minutes: somebody has to change a permission or a key."""
    AT_RESET = auto()
    """When the account's rate limit window begins anew."""


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
    """Return what the reply to a deployment event means: as for a mark, but 200 is its word for success too."""
    if isinstance(reply, Answer) and reply.status == HTTPStatus.OK:
        return _accepted(reply)
    return classify(reply, now)


def _by_class(answer: Answer) -> Outcome:
    """Statuses without a meaning of their own."""
    if HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        message = _with_words(f"Datadog refused the request ({answer.status})", answer)
        return Rejected(Reason.REQUEST_REJECTED, message, answer.status)
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _unavailable(answer)
    return _unexpected(answer)


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
    seconds = seconds_until_reset(answer.headers.get("x-ratelimit-reset"), now)
    message = "Datadog's rate limit for this account is used up (429)"
    return TryAgain(Reason.RATE_LIMITED, message, Pace.AT_RESET, answer.status, seconds)


_UNAUTHORIZED = "Datadog does not know the keys on this site (401): check the API key, the application key and the site"
_FORBIDDEN = (
    "Datadog does not let these keys mark deployments (403): give the application key's owner, and its scopes,"
    " dora_metrics_write"
)
_NOT_FOUND = "Datadog does not have this deployment (404): it may not have been ingested yet"


def _accepted(answer: Answer) -> Outcome:
    """202 counts with an empty body or a JSON object without errors; a login page with 202 does not."""
    text = answer.body.strip()
    if not text:
        return Accepted(answer.status)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return _unexpected(answer)
    if isinstance(document, dict) and not document.get("errors"):
        return Accepted(answer.status)
    return _unexpected(answer)


def _unexpected(answer: Answer) -> TryAgain:
    message = _with_words(
        f"an answer that Datadog's API does not give ({answer.status}): is a proxy between the operator and Datadog?",
        answer,
    )
    return TryAgain(Reason.UNEXPECTED_ANSWER, message, Pace.BACKOFF, answer.status)


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
