"""Errors of requests to the API server, by the status of its answer."""

from http import HTTPStatus

from pydantic_core import from_json


class KubernetesError(Exception):
    """The API server did not take a request this time; it can be repeated."""

    def __init__(self, message: str, code: int | None = None, detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.detail = detail
        """The API server's own words. Empty: the answer is no Status of Kubernetes."""


class UnauthorizedError(KubernetesError):
    """The credentials are not valid, or not any more."""


class ForbiddenError(KubernetesError):
    """A permission is missing."""


class NotFoundError(KubernetesError):
    """There is no such object, or no such kind."""


class ConflictError(KubernetesError):
    """Another version, another object of the same name, or a field that belongs to another manager."""


class ExpiredError(KubernetesError):
    """The version or the page that was asked for is no longer kept."""


class NotLeaderError(KubernetesError):
    """This process may not write: another one is the leader, or may become it soon."""

    def __init__(self) -> None:
        super().__init__("this process is not the leader")


ERRORS: dict[int, type[KubernetesError]] = {
    HTTPStatus.UNAUTHORIZED: UnauthorizedError,
    HTTPStatus.FORBIDDEN: ForbiddenError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.GONE: ExpiredError,
}
"""By the status of the answer; any other is a KubernetesError."""


def message_of(body: bytes) -> str:
    """Return the message of a Status, or an empty text where a body is none."""
    try:
        answer = from_json(body)
    except ValueError:
        return ""
    is_status = isinstance(answer, dict) and answer.get("kind") == "Status"
    return str(answer.get("message") or "") if is_status else ""
