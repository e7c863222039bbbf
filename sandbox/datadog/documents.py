"""Reads JSON:API request bodies member by member and refuses them in Datadog's words.

Recorded or observed words: `got type "" expected one of "..."`, `attribute "..." must be one of "..."` and
`error decoding attribute "...": invalid type number`. `Missing required attribute in body` is the specification's
sample; the other wordings are made in their manner. Knows no endpoint and keeps nothing.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

_NAMES: Mapping[type, str] = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "bool",
    int: "number",
    float: "number",
}
INT64_MAXIMUM = 2**63 - 1


class RefusedError(Exception):
    """The body is not as the API wants it; the text is the `detail` of the 400."""


def type_name(value: Any) -> str:
    """Return what JSON calls the type of a value."""
    return _NAMES.get(type(value), "null")


def _no_constant(name: str) -> None:
    """Python takes NaN and Infinity for JSON; nobody else does."""
    raise ValueError(name)


def parsed(body: bytes) -> Mapping[str, Any]:
    """Return the JSON object that a body is."""
    try:
        document = json.loads(body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise RefusedError("request body is not valid JSON") from None
    if not isinstance(document, dict):
        raise RefusedError(f"request body must be an object, not {type_name(document)}")
    return document


@dataclass(frozen=True, slots=True)
class Members:
    """The members of one JSON object, read one at a time; members that nobody reads are ignored, as observed."""

    values: Mapping[str, Any]

    def text(self, name: str, *, required: bool = False) -> str | None:
        """Return a string; an empty one counts as missing where one is required."""
        value = self._value(name, str, required=required)
        if required and value == "":
            raise _missing(name)
        return value if value is None else str(value)

    def wanted_text(self, name: str) -> str:
        """Return a string that must be there."""
        return str(self.text(name, required=True))

    def one_of(self, name: str, choices: Collection[str], *, required: bool = False) -> str | None:
        """Return one of the strings that are allowed."""
        value = self.text(name, required=required)
        if value is not None and value not in choices:
            raise RefusedError(f'attribute "{name}" must be one of "{" ".join(choices)}"')
        return value

    def flag(self, name: str, *, required: bool = False) -> bool | None:
        """Return a boolean."""
        value = self._value(name, bool, required=required)
        return value if value is None else bool(value)

    def integer(self, name: str, *, minimum: int, maximum: int = INT64_MAXIMUM, required: bool = False) -> int | None:
        """Return a whole number between two bounds."""
        value = self._value(name, int, required=required)
        if value is not None and not minimum <= value <= maximum:
            raise RefusedError(f'attribute "{name}" must be between {minimum} and {maximum}')
        return value if value is None else int(value)

    def members(self, name: str, *, required: bool = False) -> "Members | None":
        """Return the members of an object."""
        value = self._value(name, dict, required=required)
        return value if value is None else Members(value)

    def texts(self, name: str, *, maximum: int) -> tuple[str, ...]:
        """Return a list of strings; null is allowed here and means none."""
        if self.values.get(name) is None:
            return ()
        value = self._value(name, list, required=False)
        wrong = [item for item in value if not isinstance(item, str)]
        if wrong:
            raise RefusedError(f'error decoding attribute "{name}": invalid type {type_name(wrong[0])}')
        if len(value) > maximum:
            raise RefusedError(f'attribute "{name}" must have at most {maximum} entries')
        return tuple(value)

    def only(self, names: Collection[str]) -> None:
        """Refuse every member that is not among these."""
        for name in self.values:
            if name not in names:
                raise RefusedError(f'attribute "{name}" is not allowed here, only "{" ".join(names)}"')

    def _value(self, name: str, kind: type, *, required: bool) -> Any:
        if name not in self.values:
            if required:
                raise _missing(name)
            return None
        value = self.values[name]
        if type(value) is not kind:
            raise RefusedError(f'error decoding attribute "{name}": invalid type {type_name(value)}')
        return value


def _missing(name: str) -> RefusedError:
    return RefusedError(f'Missing required attribute in body: "{name}"')


def data_of(body: bytes, *, expected_type: str | None) -> Members:
    """Return the members of `data`, whose type must be the expected one."""
    data = Members(parsed(body)).members("data", required=True) or Members({})
    if expected_type is not None:
        given = data.text("type") or ""
        if given != expected_type:
            raise RefusedError(f'got type "{given}" expected one of "{expected_type}"')
    return data


def attributes_of(data: Members) -> Members:
    """Return the members of `attributes`, which must be there."""
    return data.members("attributes", required=True) or Members({})
