"""The schema of the CRD as rows of a table: path, type with limits, meaning. Pure."""

from collections.abc import Iterator
from typing import Any, NamedTuple

LONGEST_LIST = 3
"""Words of an enum that stand in the type's cell; longer lists have a page of their own."""
Schema = dict[str, Any]


class Row(NamedTuple):
    """One field."""

    path: str
    kind: str
    meaning: str


def rows(schema: Schema, path: str = "") -> Iterator[Row]:
    """Iterate over all fields below an object, parents first."""
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        inner = _items(field)
        here = f"{path}.{name}" if path else name
        yield Row(here, _kind(field, required=name in required), field.get("description", ""))
        yield from rows(inner, here + "[]" * (field.get("type") == "array"))


def rules(schema: Schema, path: str = "") -> Iterator[tuple[str, str]]:
    """Iterate over what the API server says where a rule is broken: where it stands, and the message."""
    for rule in schema.get("x-kubernetes-validations", ()):
        yield rule.get("fieldPath", "").lstrip(".") or path, rule["message"]
    for name, field in schema.get("properties", {}).items():
        yield from rules(_items(field), f"{path}.{name}" if path else name)


def _items(field: Schema) -> Schema:
    found: Schema = field.get("items", field)
    return found


def _kind(field: Schema, *, required: bool) -> str:
    words = [_type(field)]
    if required:
        words.append("required")
    words += _limits(field)
    return ", ".join(words)


def _type(field: Schema) -> str:
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}s"
    if "enum" in field:
        return " or ".join(f"`{word}`" for word in field["enum"]) if len(field["enum"]) <= LONGEST_LIST else "string"
    if field.get("format") == "date-time":
        return "time"
    return str(field.get("type", "object"))


def _limits(field: Schema) -> Iterator[str]:
    if "enum" in field and len(field["enum"]) > LONGEST_LIST:
        yield "one of " + ", ".join(f"`{word}`" for word in field["enum"])
    least, most = field.get("minLength"), field.get("maxLength")
    if most is not None:
        yield f"{least} to {most} characters" if least is not None else f"up to {most} characters"
    if "maxItems" in field:
        yield f"up to {field['maxItems']}"
    if "pattern" in field:
        yield f"pattern `{field['pattern']}`"
