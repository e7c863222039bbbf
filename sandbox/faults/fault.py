"""Faults on the way to the API server: what happens, and to which requests. Values that count, no connection."""

import re
from dataclasses import dataclass
from enum import Enum, auto

from aiohttp import web


class What(Enum):
    """What happens to a request."""

    ANSWER = auto()
    """A Status with the fault's code, instead of an answer."""
    ANSWER_LOST = auto()
    """The request has its effect; the connection is cut before the answer."""
    CUT = auto()
    """The connection is cut, and the request never arrives."""
    HANG = auto()
    """No answer, ever."""
    STREAM_ERROR = auto()
    """A watch brings an ERROR event with the fault's code, and ends."""
    STREAM_SILENT = auto()
    """A watch begins and never says a word."""
    STREAM_TWICE = auto()
    """Each event of a watch comes twice."""
    STREAM_LOSSY = auto()
    """A watch loses every event but bookmarks, and is cut with the first bookmark or after `seconds`."""


@dataclass(slots=True)
class Fault:
    """One fault: what happens to which requests, how many times."""

    what: What
    path: str = ""
    """A regular expression that is searched in path and query."""
    method: str = ""
    code: int = 0
    times: int | None = None
    skip: int = 0
    hits: int = 0

    def takes(self, request: web.BaseRequest) -> bool:
        """Return whether this request is hit, and count it."""
        if self.method not in ("", request.method) or not re.search(self.path, str(request.rel_url)):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None and self.hits >= self.times:
            return False
        self.hits += 1
        return True
