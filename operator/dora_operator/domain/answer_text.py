"""Datadog's own words out of an error body, in any of the shapes that were seen, cleaned and shortened.

Never raises and never returns more than a limit: the text goes into status and Events.
Shapes: array of strings, array of JSON:API objects, `{"error": {...}}`, anything else (`tests/standin/recorded`).
"""

import json
from collections.abc import Iterator

from dora_operator.domain.observed import MESSAGE_LIMIT

WORDS_LIMIT = 160


def first_words(body: bytes) -> str:
    """Return what the body says to people, at most 160 characters; empty where it says nothing."""
    text = body.decode("utf-8", errors="replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return shorten(text, WORDS_LIMIT)
    return shorten("; ".join(_sentences(document)), WORDS_LIMIT)


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
    for field in ("detail", "message", "title", "code"):
        value = document.get(field)
        if isinstance(value, str) and value:
            yield value
            return
