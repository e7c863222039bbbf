"""Settings of the stand-in: how its HTTP answers are, beside the behaviour of its model.

Values only: no clock, no connection, no environment.
"""

import enum
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sandbox.datadog.behaviour import Behaviour


class Permission(enum.StrEnum):
    """A permission of an application key."""

    READ = "dora_metrics_read"
    """For GET and list."""

    WRITE = "dora_metrics_write"
    """For PATCH and DELETE."""


class Endpoint(enum.StrEnum):
    """An endpoint, for its latency."""

    POST = "post"
    GET = "get"
    LIST = "list"
    PATCH = "patch"
    PATCH_BY_VERSION = "patch_by_version"
    DELETE = "delete"
    FAILURES = "failures"


RECORDED_LATENCY: Mapping[Endpoint, float] = {
    Endpoint.POST: 0.16,
    Endpoint.LIST: 0.54,
    Endpoint.PATCH: 0.118,
    Endpoint.PATCH_BY_VERSION: 0.118,
    Endpoint.GET: 0.54,
}
"""Seconds, from the recordings; nobody recorded GET of one deployment or a PATCH by version: taken from their like."""


class ReadSchema(enum.StrEnum):
    """Which attributes GET and list show."""

    OBSERVED = "observed"
    """All that were seen in real lists, in both."""

    OBSERVED_IN_LIST = "observed_in_list"
    """All in the list; GET, which nobody has seen with keys, shows the published schema."""

    PUBLISHED = "published"
    """The published schema in both: neither change_failure nor remediation."""


class RateLimit(BaseModel):
    """So many requests per calendar-aligned period for each API key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: int = Field(default=100_000, ge=1)
    period: int = Field(default=10, ge=1, description="seconds")
    name: str = "dora_metrics"


Seconds = float
ALL_PERMISSIONS = frozenset(Permission)
FIXED = frozenset({"host", "port", "api_keys", "application_keys", "rate_limit", "kept_requests"})
"""Settings that cannot be changed, or shown, while the stand-in runs."""


class Settings(Behaviour):
    """How this stand-in behaves; the defaults are as recorded and without delays."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65_535, description="0 takes a free one")
    api_keys: frozenset[str] = Field(default=frozenset(), description="empty: every key that is not empty")
    application_keys: frozenset[str] = Field(default=frozenset(), description="empty: every key that is not empty")
    permissions: frozenset[Permission] = Field(default=ALL_PERMISSIONS, description="of every application key")
    key_permissions: dict[str, frozenset[Permission]] = Field(
        default={}, description="of single application keys, by their fingerprint"
    )
    rate_limit: RateLimit = RateLimit()
    latency: Seconds = Field(default=0, ge=0, description="seconds before every answer")
    endpoint_latency: dict[Endpoint, Seconds] = Field(default={}, description="the same for single endpoints")
    read_schema: ReadSchema = ReadSchema.OBSERVED
    exact_times: bool = Field(
        default=True, description="a list takes from and to only as 2026-01-31T00:00:00Z; false: any RFC 3339"
    )
    empty_body_by_version: bool = Field(
        default=True, description='the PATCH by version is answered without a body; false: {"data":null} as by id'
    )
    kept_requests: int = Field(default=100_000, ge=1)

    def changed(self, changes: Mapping[str, Any]) -> "Settings":
        """Return the settings with changes, which are checked.

        Raises:
            ValueError: a value is wrong, or the setting is fixed.
        """
        fixed = FIXED & changes.keys()
        if fixed:
            raise ValueError(f"cannot change {', '.join(sorted(fixed))} while the stand-in runs")
        return Settings.model_validate(self.model_dump() | dict(changes))

    def shown(self) -> dict[str, Any]:
        """Return what can be changed, as JSON."""
        return self.model_dump(mode="json", exclude=set(FIXED))
