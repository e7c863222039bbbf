"""What `doctor` gathers, and the finding that a check makes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from dora_operator.domain.history.identity import Identity
from dora_operator.domain.resource import DoraDeployment
from dora_operator.settings import Settings

SEEN_DAYS = 30
"""How far back Datadog is asked for deployments."""


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: a line of evidence and, unless it is ok, a line of what to do."""

    name: str
    status: Status
    evidence: str
    fix: str = ""
    details: tuple[str, ...] = ()
    """Names of the objects that are meant; shown with -o wide."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What Datadog answered to one request; without a status, why there was no answer."""

    status: int | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class SeenService:
    """What Datadog has of one service and env in the last days."""

    deployments: int
    sources: frozenset[str] = frozenset()


Service = tuple[str, str]
"""Service and env."""


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What Datadog answered with the operator's keys."""

    site: str
    no_keys: str = ""
    """Why there are none; then nothing was asked."""
    validate: Reply = Reply(None)
    listing: Reply = Reply(None)
    write: Reply = Reply(None)
    skew_seconds: float | None = None
    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None
    services: Mapping[Service, SeenService] | None = None
    """None: they could not be read."""
    unchecked: int = 0
    """Services that were not asked about, to spare the rate limit."""


@dataclass(frozen=True, slots=True)
class Permission:
    """A request that the operator makes."""

    group: str
    resource: str
    verb: str
    namespace: str = ""
    """Empty: in all namespaces."""

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        group = f".{self.group}" if self.group else ""
        return f"{self.verb} {self.resource}{group}{where}"


@dataclass(frozen=True, slots=True)
class LeaseFacts:
    """The Lease of the leader election."""

    holder: str
    renewed_at: datetime | None
    acquired_at: datetime | None


@dataclass(frozen=True, slots=True)
class RolloutIdentity:
    """A Rollout, and the deployment that its newest pod template is."""

    name: str
    """With its namespace."""
    identity: Identity


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that is checked."""

    now: datetime
    settings: Settings
    account: AccountFacts
    served_fields: frozenset[str] | None
    """Fields of the CRD that the API server has; None: it is not installed."""
    known_fields: frozenset[str]
    permissions: Mapping[Permission, bool]
    is_own_login: bool
    """Whether the permissions are those of the operator's ServiceAccount."""
    missing_namespaces: tuple[str, ...] = ()
    has_rollouts: bool = True
    """Whether Argo Rollouts is installed."""
    rollouts: Sequence[RolloutIdentity] = ()
    not_selected: int = 0
    """Rollouts that the operator's selector leaves out."""
    lease: LeaseFacts | None = None
    deployments: Sequence[DoraDeployment] = ()


def wanted_services(rollouts: Sequence[RolloutIdentity]) -> list[Service]:
    """Return the services and envs of Rollouts."""
    pairs = ((rollout.identity.service, rollout.identity.env) for rollout in rollouts if rollout.identity.is_known)
    return sorted({(service, env) for service, env in pairs if service is not None and env is not None})


def read_check(document: Mapping[str, Any]) -> Check:
    """Read a check that another process printed as JSON."""
    return Check(
        str(document["name"]),
        Status(document["status"]),
        str(document["evidence"]),
        str(document.get("fix") or ""),
        tuple(map(str, document.get("details") or ())),
    )
