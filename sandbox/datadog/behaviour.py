"""Settings of the model: delays, and a choice for each behaviour that Datadog does not document.

Values only: no clock, no HTTP, no environment.
"""

import enum

from pydantic import BaseModel, ConfigDict, Field


class UnknownDeployment(enum.StrEnum):
    """The answer to a PATCH or DELETE of a deployment that is not visible."""

    ACCEPT = "accept"
    """202, as recorded: the answer proves syntax and credentials only. The mark is lost."""

    NOT_FOUND = "not_found"
    """404. No source says that Datadog does this; a client must still handle it."""


class EarlyMark(enum.StrEnum):
    """What becomes of a mark whose deployment is not visible when the mark is due, although it got a 202."""

    LOST = "lost"
    APPLIED_LATER = "applied_later"
    """It is applied as soon as the deployment is visible."""


class Precedence(enum.StrEnum):
    """What automatic detection does to a deployment that a PATCH or an edit in the UI has marked already."""

    DETECTION = "detection"
    """Detection overwrites both attributes: the last writer wins."""

    PATCH_FIELDS = "patch_fields"
    """Attributes that were set by hand stay; detection fills in the others."""

    PATCH = "patch"
    """Detection leaves the whole deployment as it is."""


class ApmRows(enum.StrEnum):
    """How many deployments APM makes of one version that is deployed again."""

    ONE_PER_VERSION = "one_per_version"
    """One for each service, env and version, as documented: a redeployment is invisible."""

    EACH = "each"
    """One for each deployment: the only way in which APM alone can show a rollback (observed in one tenant)."""


class RemediationVersion(enum.StrEnum):
    """Which deployment a remediation by version means; there may be several of that version, or none yet."""

    AT_MARK = "at_mark"
    """The one that finished last when the mark is applied; without any, nothing is ever linked."""

    LATEST = "latest"
    """The one that finished last at the time of the read."""


class Behaviour(BaseModel):
    """How the model behaves; the defaults are as recorded or documented, and without delays."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ingest_delay: float = Field(default=0, ge=0, description="seconds until a posted deployment is visible")
    apm_delay: float | None = Field(
        default=None, ge=0, description="seconds until a deployment found by APM is visible; absent: ingest_delay"
    )
    patch_delay: float = Field(default=0, ge=0, description="seconds until an accepted mark is applied")
    evaluation_delay: float | None = Field(
        default=None,
        ge=0,
        description="seconds after ingestion until change_failure turns from null to false; absent: never",
    )
    marks_before_evaluation: bool = Field(
        default=True, description="false: change_failure reads as null until the evaluation, whatever was marked"
    )
    unknown_deployment: UnknownDeployment = UnknownDeployment.ACCEPT
    early_mark: EarlyMark = EarlyMark.LOST
    detection: bool = Field(default=True, description="automatic rollback detection by Datadog's documented rule")
    detection_delay: float = Field(default=0, ge=0, description="seconds from ingestion to detection")
    fix_rules: bool = Field(
        default=False, description="Datadog's default rules: a revert or a hot fix marks the deployment before it"
    )
    precedence: Precedence = Precedence.DETECTION
    apm_rows: ApmRows = ApmRows.ONE_PER_VERSION
    remediation_version: RemediationVersion = RemediationVersion.AT_MARK
    negative_recovery: bool = Field(
        default=True, description="a link to an earlier deployment shows a negative recovery_time_sec; false: none"
    )
    kept_deployments: int = Field(default=100_000, ge=1, description="the oldest ones are forgotten")
