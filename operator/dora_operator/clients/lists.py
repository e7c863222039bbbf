"""A page of a list, of which only the versions are read at first.

Most lists bring what is stored already. Parsing every body would make so many Python objects that collecting them stops
the event loop for a fifth of a second, with ten thousand objects in memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, TypeAdapter
from pydantic_core import from_json

from dora_operator.domain.fields import ObjectKey

# ruff: noqa: N815 - names of the JSON


@dataclass(frozen=True, slots=True)
class _ObjectMetadata:
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""


@dataclass(frozen=True, slots=True)
class _Item:
    metadata: _ObjectMetadata = field(default_factory=_ObjectMetadata)


@dataclass(frozen=True, slots=True)
class _ListMetadata:
    resourceVersion: str = ""
    token: Annotated[str, Field(validation_alias="continue")] = ""


@dataclass(frozen=True, slots=True)
class _List:
    metadata: _ListMetadata
    items: list[_Item]


_LIST = TypeAdapter(_List)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list."""

    versions: Mapping[ObjectKey, tuple[str, str]]
    """uid and resourceVersion of each object."""
    resource_version: str
    """Version of the whole list."""
    token: str
    """Of the next page; empty in the last one."""
    data: bytes = field(repr=False)

    @property
    def items(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = from_json(self.data, cache_strings="keys")["items"]
        return items


def read_page(data: bytes) -> Page:
    """Read an answer. ValueError: it is not a list."""
    page = _LIST.validate_json(data)
    objects = (item.metadata for item in page.items)
    versions = {ObjectKey(one.namespace, one.name): (one.uid, one.resourceVersion) for one in objects}
    return Page(versions, page.metadata.resourceVersion, page.metadata.token, data)
