"""A request as received and an answer as it will be sent, with the error bodies that Datadog uses.

Values only. Object errors for 400 are recorded; arrays of strings for 401, 403 and 429 are from the specification.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

JSON_API = "application/vnd.api+json"
CONTENT_TYPE = "Content-Type"


@dataclass(frozen=True, slots=True)
class Received:
    """One request; the path is still percent-encoded and has no query string."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def api_key(self) -> str:
        """The API key, or nothing."""
        return self.headers.get("DD-API-KEY", "")


@dataclass(frozen=True, slots=True)
class Answer:
    """One response; a header may stand there several times."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def with_headers(self, *added: tuple[str, str]) -> "Answer":
        """Return the same answer with these headers too."""
        return replace(self, headers=self.headers + added)


def encoded(document: Any) -> bytes:
    """Return JSON without spaces, in ASCII: no text can make it fail."""
    return json.dumps(document, separators=(",", ":")).encode()


def answer(status: int, document: Any) -> Answer:
    """Return a JSON answer."""
    return Answer(status, encoded(document), ((CONTENT_TYPE, JSON_API),))


def bad_request(detail: str) -> Answer:
    """400 in the recorded form."""
    return answer(400, {"errors": [{"status": "400", "title": "Bad Request", "detail": detail}]})


def deployment_not_found(detail: str) -> Answer:
    """404 for a deployment, in the form of the recorded 400."""
    return answer(404, {"errors": [{"status": "404", "title": "Not Found", "detail": detail}]})


def refused(status: int, message: str) -> Answer:
    """An error from before the DORA API proper: an array of strings."""
    return answer(status, {"errors": [message]})
