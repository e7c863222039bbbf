"""What is logged and how: text on a terminal, else one JSON object per line (python-json-logger).

Libraries that could log a request's headers or the body of a Secret stay at WARNING, whatever level is configured.
"""

import logging
import sys
from contextvars import ContextVar
from time import gmtime
from typing import Any, Literal

from pythonjsonlogger.json import JsonFormatter

SILENT_BELOW_WARNING = ("httpcore", "httpx", "kubernetes", "aiohttp", "urllib3", "asyncio")
TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

subject: ContextVar[tuple[str, str, str] | None] = ContextVar("subject", default=None)
"""Kind, namespace and name of the object that is reconciled now."""


def configure(level: str, form: Literal["text", "json"] | None = None) -> None:
    """Log to standard error at this level. Without a form: text on a terminal, else JSON."""
    form = form or ("text" if sys.stderr.isatty() else "json")
    handler = logging.StreamHandler()
    handler.setFormatter(Json() if form == "json" else Text(TEXT))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in SILENT_BELOW_WARNING:
        logging.getLogger(name).setLevel(logging.WARNING)
    if level != "DEBUG":
        logging.getLogger("kopf").setLevel(logging.CRITICAL)  # the watch reports why kopf's requests fail, once
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)  # at DEBUG it logs whole bodies


class Json(JsonFormatter):
    """One JSON object per line with fixed fields. What a library adds to a record stays out."""

    converter = staticmethod(gmtime)

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Set the fields of the line. Source: python-json-logger, "Cookbook"."""
        moment = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        log_data |= {"time": f"{moment}.{int(record.msecs):03}Z", "level": record.levelname, "logger": record.name}
        log_data["message"] = record.getMessage()
        if "exc_info" in message_dict:
            log_data["exception"] = message_dict["exc_info"]
        log_data |= zip(("kind", "namespace", "name"), subject.get() or (), strict=False)


class Text(logging.Formatter):
    """A line for people. The object follows where the message does not name it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Return the line without its traceback."""
        line, about = super().formatMessage(record), subject.get()
        if about is None or f"{about[1]}/{about[2]}" in record.message:
            return line
        return f"{line} [{about[0]} {about[1]}/{about[2]}]"
