"""The API server's audit log: who asked for what. Reads, and decides which entries are meant."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def entries(log: Path) -> Iterator[dict[str, Any]]:
    """Iterate over the requests that were answered so far."""
    whole, _, _ = log.read_text().rpartition("\n")  # the last line may still be in the making
    for line in whole.splitlines():
        yield json.loads(line)


def matches(entry: dict[str, Any], wanted: Mapping[str, str]) -> bool:
    """Return whether an entry has these values of `user`, `verb`, `resource`, `subresource`, `namespace` and `name`."""
    about = entry.get("objectRef", {})
    found = {"user": entry["user"]["username"], "verb": entry["verb"]} | {
        name: about.get(name, "") for name in ("resource", "subresource", "namespace", "name")
    }
    return all(found[name] == value for name, value in wanted.items())
