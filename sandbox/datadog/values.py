"""The values of the stand-in's model: events, marks, and deployments with what was stored about them.

Moments are seconds since 1970. No HTTP, no clock.
"""

import enum
from dataclasses import dataclass, replace

Key = tuple[str, str | None, str | None]
"""Service, env and version."""


class Marker(enum.StrEnum):
    """The origin of a stored mark."""

    PATCH = "patch"
    EDIT = "edit"
    DETECTION = "detection"


class Unchanged(enum.Enum):
    """The default of an edit: the attribute stays as it is (None clears it)."""

    UNCHANGED = "unchanged"


UNCHANGED = Unchanged.UNCHANGED


@dataclass(frozen=True, slots=True)
class Git:
    """The deployed commit."""

    commit_sha: str
    repository_url: str


@dataclass(frozen=True, slots=True)
class Event:
    """A deployment as a caller of the API, or APM, describes it."""

    service: str
    started_at: float
    finished_at: float
    env: str | None = None
    version: str | None = None
    id: str | None = None
    team: str | None = None
    custom_tags: tuple[str, ...] = ()
    git: Git | None = None
    is_fix: bool = False
    """Its pull request is a revert or a hot fix, as Datadog's default rules see it."""

    @property
    def key(self) -> Key:
        """What identifies a deployment apart from its id."""
        return (self.service, self.env, self.version)

    @property
    def stream(self) -> tuple[str, str | None]:
        """The sequence of deployments that this one belongs to: its service and env."""
        return (self.service, self.env)


@dataclass(frozen=True, slots=True)
class Remediation:
    """The deployment that restored the service; without id and version nothing is linked."""

    id: str | None = None
    version: str | None = None
    type: str | None = None

    def bound_to(self, deployment_id: str) -> "Remediation":
        """Return the same link by id."""
        return replace(self, id=deployment_id)


@dataclass(frozen=True, slots=True)
class Mark:
    """A change of a deployment; absent attributes stay as they are."""

    change_failure: bool | None = None
    remediation: Remediation | None = None


@dataclass(slots=True, eq=False)
class Deployment:
    """An ingested deployment; only the model changes it."""

    id: str
    event: Event
    sequence: int
    """Orders deployments that are equal otherwise: the order of ingestion."""
    source: str
    created_at: float
    change_failure: bool | None = None
    """True, false, or None: neither evaluated nor marked."""
    remediation: Remediation | None = None
    failure_set_by: Marker | None = None
    remediation_set_by: Marker | None = None
    is_rollback: bool = False
    """Automatic detection found that this deployment is a rollback."""
    evaluated: bool = False
    hides_mark: bool = False
    """The mark is stored, but change_failure reads as null until the evaluation."""

    @property
    def shown_failure(self) -> bool | None:
        """What a read shows as change_failure."""
        return None if self.hides_mark else self.change_failure
