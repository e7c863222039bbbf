"""The values that a decision about a Rollout takes and gives: policy, verdicts, notices, memory.

A verdict is also its own record: what the operator wrote down is read back as the same value (see `manifest`).
No rule lives here.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from dora_operator.domain.rollout.identity import ById, Identified


class Kind(Enum):
    """What became of a revision. The words are API: they stand in status and annotations."""

    ABORTED = "Aborted"
    """Argo aborted its update."""
    UNDONE = "Undone"
    """The Rollout went back to an older version before this one was promoted."""
    ROLLED_BACK = "RolledBack"
    """It was promoted, and the Rollout goes or went back to an older version."""
    REVERTED = "Reverted"
    """An older version took its place; that it was promoted before can no longer be told, so nothing is ever linked."""
    RECOVERED = "Recovered"
    """It was marked, but then promoted after all: no failure."""
    KEPT = "Kept"
    """As Recovered, but the setting `retrySuccess: Keep` leaves the mark as it is."""


class RemediationType(Enum):
    """Datadog's two words."""

    ROLLBACK = "rollback"
    ROLLFORWARD = "rollforward"


@dataclass(frozen=True, slots=True)
class Remediation:
    """The deployment that ended the failure, by exactly one of id and version."""

    type: RemediationType
    deployment_id: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one deployment's mark in Datadog should be, and why."""

    rollout_uid: str
    pod_template_hash: str
    """The ReplicaSet under which this deployment was first written down; gives the resource its name."""
    identity: Identified
    kind: Kind
    revision: int
    """The revision that failed, or that recovered."""
    cause: int
    """The revision whose abort, start or promotion decided it. A later cause overrules an earlier one."""
    at: datetime | None = None
    """When it happened, by the objects; never the time of deciding."""
    message: str = ""
    remediation: Remediation | None = None
    restored_at: datetime | None = None
    """When the stable version was seen whole again after the abort; only with `restoredDeployment: Record`."""

    @property
    def change_failure(self) -> bool:
        """What Datadog is to be told."""
        return self.kind is not Kind.RECOVERED


def asks_again(recorded: Verdict | None, wanted: Verdict) -> bool:
    """Tell whether `wanted` is a new fact for Datadog, and not only a time or a message learnt late."""
    return recorded is None or _asked(recorded) != _asked(wanted)


def _asked(verdict: Verdict) -> tuple[str, str, bool, Remediation | None, int]:
    # The revision: the same version failing again is another deployment event, though the request reads the same.
    failed = verdict.rollout_uid, verdict.identity.key
    return *failed, verdict.change_failure, verdict.remediation, verdict.revision


def remediation(kind: RemediationType, fixed: Identified) -> Remediation:
    """Return the link to the deployment that ended a failure."""
    if isinstance(fixed, ById):
        return Remediation(kind, deployment_id=fixed.deployment_id)
    return Remediation(kind, version=fixed.version)


class RetrySuccess(Enum):
    """What becomes of the mark when the marked version is promoted after all."""

    MARK_STABLE = "MarkStable"
    KEEP = "Keep"


class RestoredDeployment(Enum):
    """Whether the return to the stable version after an abort is posted as a deployment of its own."""

    NONE = "None"
    RECORD = "Record"


class RollbackMarks(Enum):
    """Which deployment a rollback marks."""

    FIRST_AFTER_TARGET = "FirstAfterTarget"
    REPLACED = "Replaced"


@dataclass(frozen=True, slots=True)
class Policy:
    """The operator-wide settings that change what a Rollout means."""

    retry_success: RetrySuccess = RetrySuccess.MARK_STABLE
    restored_deployment: RestoredDeployment = RestoredDeployment.NONE
    rollback_marks: RollbackMarks = RollbackMarks.FIRST_AFTER_TARGET
    lookback: timedelta = timedelta(hours=24)


class About(Enum):
    """What a notice tells. The words are API: they are the reasons of Events and a label of a metric."""

    NOT_IDENTIFIED = "NotIdentified"
    SAME_AS_STABLE = "SameVersionAsStable"
    ID_ALREADY_DEPLOYED = "DeploymentIdAlreadyDeployed"
    ROLLBACK_UNCLEAR = "RollbackUnclear"


@dataclass(frozen=True, slots=True)
class Notice:
    """Why nothing is said about a revision that failed. Equal notices are one fact: show it once."""

    about: About
    revision: int
    cause: int
    message: str


@dataclass(frozen=True, slots=True)
class Memory:
    """What was seen of a Rollout in this process: which revisions were promoted, and which were left without it.

    Losing it (a restart) never makes a decision wrong. It can only leave open how revisions ended that were replaced
    before the restart, which `Decision.wants_events` then shows.
    """

    rollout_uid: str = ""
    seen: int = 0
    """The newest revision that was looked at."""
    promoted: frozenset[int] = frozenset()
    unpromoted: frozenset[int] = frozenset()
    events_read: int = 0
    """The newest revision at which Events were read: they are wanted once for each revision at most."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is wanted. Deciding again with `verdicts` as the records changes nothing."""

    verdicts: tuple[Verdict, ...] = ()
    """All that should be on record for this Rollout, one for each Datadog deployment."""
    changes: tuple[Verdict, ...] = ()
    """Those of `verdicts` to write down now, aborts first."""
    notices: tuple[Notice, ...] = ()
    memory: Memory = field(default_factory=Memory)
    wants_events: bool = False
    """List the Rollout's Events, observe and decide again before acting: they may tell what the levels no longer do."""
