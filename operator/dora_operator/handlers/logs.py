"""What is logged, how, and what must never be.

Libraries that could show a request's headers or a Secret's body stay at WARNING, whatever level is asked for. Of a
record only the fields named here are printed: whatever else a library hangs on it stays inside.
"""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

SILENT_BELOW_WARNING = ("httpcore", "httpx", "kubernetes", "aiohttp", "urllib3", "asyncio")
TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

_about: ContextVar[dict[str, str]] = ContextVar("about", default={})  # noqa: B039 - never changed in place


@contextmanager
def about(kind: str, key: object) -> Iterator[None]:
    """Say of every line that is logged inside which object it is about."""
    namespace, _, name = str(key).partition("/")
    token = _about.set({"kind": kind, "namespace": namespace, "name": name})
    try:
        yield
    finally:
        _about.reset(token)


def subject() -> Mapping[str, str]:
    """Return what is looked at now: kind, namespace and name; nothing outside of a look."""
    return _about.get()


def configure(level: str, form: Literal["text", "json"] | None = None) -> None:
    """Log to standard error at this level; without a form as text on a terminal, else as JSON."""
    form = form or ("text" if sys.stderr.isatty() else "json")
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter(TEXT))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in SILENT_BELOW_WARNING:
        logging.getLogger(name).setLevel(logging.WARNING)
    if level != "DEBUG":  # kopf says "handler succeeded" for every event at INFO
        logging.getLogger("kopf").setLevel(logging.WARNING)


class JsonFormatter(logging.Formatter):
    """One JSON object per line, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, str] = {
            "time": _moment(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= object_of(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """A line for people; the object stands behind it where the message does not name it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Return the line without its traceback."""
        line, subject = super().formatMessage(record), object_of(record)
        name = "/".join(filter(None, (subject.get("namespace"), subject.get("name"))))
        return line if not name or name in record.message else f"{line} [{subject.get('kind', '')} {name}]"


def object_of(record: logging.LogRecord) -> dict[str, str]:
    """Return kind, namespace and name of the object that a record is about: kopf's word, else where it was logged."""
    reference = getattr(record, "k8s_ref", None)
    if not isinstance(reference, dict):
        return _about.get()
    return {field: str(reference[field]) for field in ("kind", "namespace", "name") if reference.get(field)}


def _moment(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
