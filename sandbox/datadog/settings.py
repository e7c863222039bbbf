"""What the stand-in can be told before it starts.

Values only: no clock, no connection, no environment.
"""

import enum

from pydantic import BaseModel, ConfigDict, Field


class UnknownDeployment(enum.StrEnum):
    """What a PATCH for a deployment that was never ingested is answered."""

    ACCEPT = "accept"
    """202, as recorded: the answer proves syntax and credentials only. The mark is lost."""

    NOT_FOUND = "not_found"
    """404. No source says that Datadog does this; a client must still bear it."""


class RateLimit(BaseModel):
    """So many requests per calendar-aligned period for each API key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: int = Field(default=100_000, ge=1)
    period: int = Field(default=10, ge=1, description="seconds")
    name: str = "dora_metrics"


class Settings(BaseModel):
    """How this stand-in behaves; the defaults are as recorded and as quick as possible."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65_535, description="0 takes a free one")
    api_keys: frozenset[str] = Field(default=frozenset(), description="empty: every key that is not empty")
    application_keys: frozenset[str] = Field(default=frozenset(), description="empty: every key that is not empty")
    rate_limit: RateLimit = RateLimit()
    latency: float = Field(default=0, ge=0, description="seconds before every answer")
    ingest_delay: float = Field(default=0, ge=0, description="seconds until a posted deployment can be seen")
    patch_delay: float = Field(default=0, ge=0, description="seconds until an accepted mark is applied")
    evaluation_delay: float | None = Field(
        default=None,
        ge=0,
        description="seconds after ingestion until change_failure turns from null to false; absent: never",
    )
    unknown_deployment: UnknownDeployment = UnknownDeployment.ACCEPT
    empty_body_by_version: bool = Field(
        default=True, description='the PATCH by version is answered without a body; false: {"data":null} as by id'
    )
    observed_attributes: bool = Field(
        default=True, description="answers carry what real ones do beyond the published schema (change_failure, ...)"
    )
    kept_requests: int = Field(default=100_000, ge=1)
    kept_deployments: int = Field(default=100_000, ge=1)
