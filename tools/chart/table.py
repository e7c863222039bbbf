"""The README's table of values. A comment with `# --` above a key of values.yaml describes the key and its children."""

import json
from collections.abc import Iterator
from typing import Any

import yaml

MARK = "# -- "


class UndescribedError(Exception):
    """A value has no description."""


def table(text: str) -> str:
    """Return a Markdown table with a row for each value.

    Raises:
        UndescribedError: a value without a description; the message names it.
    """
    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    rows = [f"| `{path}` | {_code(value)} | {words} |" for path, value, words in _walk(root, text.splitlines(), "")]
    return "\n".join(["| value | default | meaning |", "|---|---|---|", *rows])


def _walk(node: yaml.MappingNode, lines: list[str], above: str) -> Iterator[tuple[str, Any, str]]:
    for key, value in node.value:
        path = above + key.value
        words = _words(lines, key.start_mark.line)
        if words:
            yield path, yaml.safe_load(yaml.serialize(value)), words
        elif isinstance(value, yaml.MappingNode) and value.value:
            yield from _walk(value, lines, f"{path}.")
        else:
            raise UndescribedError(f"values.yaml: {path} has no description: write one above it, after `{MARK}`")


def _words(lines: list[str], line: int) -> str:
    found: list[str] = []
    for text in reversed(lines[:line]):
        stripped = text.strip()
        if stripped.startswith(MARK):
            return " ".join([stripped.removeprefix(MARK), *found])
        if not stripped.startswith("#"):
            return ""
        found.insert(0, stripped.removeprefix("#").strip())
    return ""


def _code(value: Any) -> str:
    return f"`{json.dumps(value)}`" if value not in ("", None) else ""
