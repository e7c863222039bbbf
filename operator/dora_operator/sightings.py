"""What a watch brings.

Values only: who watches is `adapters.watching`, who takes them in is `handlers`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dora_operator.domain.object_key import ObjectKey


@dataclass(frozen=True, slots=True)
class Found:
    """An object of a list that is under way; `Listed` comes when it is complete."""

    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Listed:
    """A list is complete: all objects that there are. Others are gone. Empty where the kind is not installed."""

    keys: frozenset[ObjectKey]
    version: str = ""
    """The resource version of the list: an object that is newer is not gone because the list lacks it."""
    installed: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """An object was created or changed."""

    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Gone:
    """An object was deleted."""

    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing has happened, and the watch stands."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """The objects are not watched at this moment; it is tried again."""

    message: str


Sighting = Found | Listed | Seen | Gone | Quiet | Trouble
