"""What was asked and what was answered, without the values of keys, the newest 100,000.

May be read from any thread while the server's thread writes. Must never hold the value of a key.
"""

import itertools
import json
import re
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sandbox.datadog.access import fingerprint

BODY_LIMIT = 16_384
_SECRET_HEADERS = frozenset({"dd-api-key", "dd-application-key", "authorization", "cookie", "proxy-authorization"})
_SECRET_PARAMETERS = re.compile(r"((?:api|app|application)_key=)[^&]*")


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request and its outcome; status is absent where no HTTP answer was sent."""

    sequence: int
    time: float
    method: str
    path: str
    headers: Mapping[str, str]
    body: str
    status: int | None
    fault: str | None
    applied: bool

    def document(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    @property
    def api_key(self) -> str | None:
        """The fingerprint of the API key, comparable with `fingerprint(key)`."""
        return self._secret("dd-api-key")

    @property
    def application_key(self) -> str | None:
        """The fingerprint of the application key."""
        return self._secret("dd-application-key")

    def as_json(self) -> dict[str, Any]:
        """Return what `GET /_requests` shows."""
        return asdict(self)

    def _secret(self, name: str) -> str | None:
        return self.headers[name].removeprefix(_PRESENT) if name in self.headers else None


_PRESENT = "present sha256:"


def without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers by their lower-case names, keys replaced by `present` and a fingerprint."""
    kept: dict[str, str] = {}
    for given, text in headers.items():
        name = given.lower()
        value = _PRESENT + fingerprint(text) if name in _SECRET_HEADERS else text
        kept[name] = f"{kept[name]}, {value}" if name in kept else value
    return kept


def path_without_secrets(path: str) -> str:
    """Return a path whose query string carries no key."""
    return _SECRET_PARAMETERS.sub(r"\1present", path) if "?" in path else path


class Log:
    """The requests so far; waiting for more needs no polling."""

    def __init__(self, kept: int) -> None:
        self._kept: deque[Recorded] = deque(maxlen=kept)
        self._count = 0
        self._cleared_at = 0
        self._awaited: list[int] = []
        """The count that each waiting thread needs: a wake-up at every request would slow down the answers."""
        self._grown = threading.Condition()

    def append(self, entry: Mapping[str, Any], body: bytes) -> None:
        """Keep one request."""
        text = body[:BODY_LIMIT].decode("utf-8", "replace")
        with self._grown:
            self._count += 1
            self._kept.append(Recorded(sequence=self._count, body=text, **entry))
            if any(self._count - self._cleared_at >= count for count in self._awaited):
                self._grown.notify_all()

    def all(self, after: int = 0) -> list[Recorded]:
        """Return what is kept, oldest first, of what came after a sequence number."""
        with self._grown:
            wanted = min(len(self._kept), max(0, self._count - after))
            return list(itertools.islice(self._kept, len(self._kept) - wanted, None))

    def count(self) -> int:
        """Return how many requests came since the last clearing."""
        with self._grown:
            return self._count - self._cleared_at

    def clear(self) -> None:
        """Forget; sequence numbers go on."""
        with self._grown:
            self._kept.clear()
            self._cleared_at = self._count

    def wait(self, count: int, timeout: float) -> list[Recorded]:
        """Return all requests once there are this many since the last clearing; TimeoutError otherwise."""
        with self._grown:
            self._awaited.append(count)
            try:
                if not self._grown.wait_for(lambda: self._count - self._cleared_at >= count, timeout):
                    seen = self._count - self._cleared_at
                    raise TimeoutError(f"{seen} of {count} requests after {timeout:g} s")
            finally:
                self._awaited.remove(count)
            return list(self._kept)
