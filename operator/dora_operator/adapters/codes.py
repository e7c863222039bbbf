"""HTTP status codes as a label: well-known ones by number, all others by class, so that their number stays small."""

from http import HTTPStatus

NO_ANSWER = "none"
_KNOWN = frozenset(status.value for status in HTTPStatus)


def code_label(code: int | None) -> str:
    """Return a label for a status code, or for the absence of an answer."""
    if code is None:
        return NO_ANSWER
    return str(code) if code in _KNOWN else f"{code // 100}xx"
