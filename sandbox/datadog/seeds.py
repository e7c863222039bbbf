"""What the control endpoints take in: deployments that are there without a POST, those that APM finds, edits in the UI.

Values only.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from sandbox.datadog import moments, values
from sandbox.datadog.request_bodies import REMEDIATION_TYPES


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Found(_Value):
    """A deployment that APM finds; the stand-in makes its id."""

    service: str
    env: str | None = None
    version: str | None = None
    team: str | None = None
    commit_sha: str | None = None
    started_at: float = Field(ge=0, le=moments.LATEST)
    finished_at: float = Field(ge=0, le=moments.LATEST)

    def event(self, deployment_id: str | None = None) -> values.Event:
        """Return the event."""
        git = self.commit_sha and values.Git(self.commit_sha, "https://example.com/example/repository")
        return values.Event(
            service=self.service,
            started_at=self.started_at,
            finished_at=self.finished_at,
            env=self.env,
            version=self.version,
            id=deployment_id,
            team=self.team,
            git=git or None,
        )


class Seed(Found):
    """A deployment that is there without having been posted; any id will do."""

    id: str
    source: str = "apm_deployments"
    change_failure: bool | None = None
    delay: float = Field(default=0, ge=0, description="seconds until it is visible")


class RemediationEdit(_Value):
    """A link made in the UI."""

    id: str
    type: str = Field(default="rollback", pattern=f"^({'|'.join(REMEDIATION_TYPES)})$")


class Edit(_Value):
    """A change made in Datadog's UI; an absent member stays, null clears."""

    change_failure: bool | None = None
    remediation: RemediationEdit | None = None

    def changes(self) -> dict[str, Any]:
        """Return the arguments of `Model.edit`."""
        link = self.remediation and values.Remediation(id=self.remediation.id, type=self.remediation.type)
        given = {"change_failure": self.change_failure, "remediation": link}
        return {name: value for name, value in given.items() if name in self.model_fields_set}


SEEDS: TypeAdapter[list[Seed]] = TypeAdapter(list[Seed])
FOUND: TypeAdapter[list[Found]] = TypeAdapter(list[Found])
