"""Read fields of raw Kubernetes objects that may be missing or of another type.

Every function returns a value or an empty one and never raises: other controllers wrote these objects.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

LONGEST_NUMBER = 10
"""Digits. Revisions are counted one by one; a longer number is not a revision."""
LONGEST_NAME = 253

NOTHING: Mapping[str, Any] = {}


def mapping(source: object, *path: str) -> Mapping[str, Any]:
    for name in path:
        source = source.get(name) if isinstance(source, Mapping) else None
    return source if isinstance(source, Mapping) else NOTHING


def items(source: object, *path: str) -> Sequence[Mapping[str, Any]]:
    """Return the objects of the list at `path` below `source`, without items that are not objects."""
    value = mapping(source, *path[:-1]).get(path[-1]) if path else source
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []


def texts(source: object, *path: str, prefix: str = "") -> dict[str, str]:
    found = mapping(source, *path).items()
    return {name: value for name, value in found if isinstance(value, str) and str(name).startswith(prefix)}


def text(source: object, *path: str) -> str:
    value = mapping(source, *path[:-1]).get(path[-1])
    return value if isinstance(value, str) else ""


def identifier(source: object, *path: str) -> str:
    """Return the name, uid or hash at `path`, or an empty string; Kubernetes has them in ASCII and short."""
    value = text(source, *path)
    return value if value.isascii() and len(value) <= LONGEST_NAME else ""


def flag(source: object, *path: str) -> bool:
    return mapping(source, *path[:-1]).get(path[-1]) is True


def integer(source: object, *path: str) -> int | None:
    """Return the number at `path` that is not negative; Argo writes some of them as strings."""
    return counted(mapping(source, *path[:-1]).get(path[-1]))


def counted(value: object) -> int | None:
    """Return a count that is not negative from a number or its decimal digits, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if 0 <= value < 10**LONGEST_NUMBER else None
    if isinstance(value, str) and len(value) <= LONGEST_NUMBER and value.isascii() and value.isdigit():
        return int(value)
    return None


def moment(source: object, *path: str) -> datetime | None:
    """Return the RFC 3339 time at `path` in UTC, or None."""
    try:
        read = datetime.fromisoformat(text(source, *path))
        return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
