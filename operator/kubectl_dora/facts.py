"""What is known of one Rollout: its objects, its history, and why the operator decides nothing about it.

Pure. `explain` and `backfill` read it, `gather` makes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from dora_operator.domain import raw
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.history.advance import advance
from dora_operator.domain.history.history import Cause, Failure, History, Revision, State, VerdictKind
from dora_operator.domain.history.identity import Identity
from dora_operator.domain.history.verdicts import skipped, span_of
from dora_operator.domain.lookup import fitting
from dora_operator.domain.records import IGNORE_ANNOTATION
from dora_operator.domain.resource import DoraDeployment
from dora_operator.domain.sources.rollout import observation_of, parse_rollout
from dora_operator.domain.stored import StoredDeployment
from dora_operator.settings import Settings
from kubectl_dora.planning import Context

Service = tuple[str, str]
"""Service and env."""
Rows = Mapping[Service, Sequence[StoredDeployment]]
"""The deployments in Datadog of each service that could be read."""


class WhyNot(StrEnum):
    """Why a revision has no mark. The words are API: `-o json` shows them."""

    OPTED_OUT = "OptedOut"
    NOT_SELECTED = "NotSelected"
    NOT_WATCHED = "NotWatched"
    LOOKBACK = "Lookback"
    NOT_COUNTED = "NotCounted"
    NOT_IDENTIFIED = "NotIdentified"
    SAME_VERSION = "SameVersionAsStable"
    ID_USED = "DeploymentIdAlreadyDeployed"
    FIRST_REVISION = "FirstRevision"
    SUPERSEDED = "Superseded"
    NOT_ABORTED = "DegradedWithoutAbort"
    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Reasoned:
    """A reason with its explanation."""

    reason: WhyNot
    message: str


@dataclass(frozen=True, slots=True)
class RolloutFacts:
    """The objects around one Rollout."""

    rollout: Mapping[str, Any]
    settings: Settings
    replica_sets: Sequence[Mapping[str, Any]] = ()
    stored: History | None = None
    """Its DoraHistory; None: there is none."""
    deployments: Sequence[DoraDeployment] = ()
    """The DoraDeployments of its namespace."""
    contexts: Mapping[ObjectKey, Context] = field(default_factory=dict)
    """What the operator makes of those of this Rollout."""
    namespace_annotations: Mapping[str, str] = field(default_factory=dict)
    operator: str = ""
    """Namespace and name of the operator's Deployment; empty where none was found."""
    is_selected: bool = True
    """Whether the operator's label selector for Rollouts matches."""
    notes: tuple[str, ...] = ()
    """What could not be read, and what is assumed instead."""

    @property
    def key(self) -> ObjectKey:
        """Its namespace and name."""
        return parse_rollout(self.rollout).key

    @property
    def phase(self) -> str:
        """What the controller says about the Rollout; decisions do not read it."""
        return raw.identifier(self.rollout, "status", "phase") or "unknown"

    def history(self, now: datetime) -> History:
        """Return the DoraHistory; where there is none, what the operator's first observation would give."""
        if self.stored is not None:
            return self.stored
        return advance(None, observation_of(self.rollout, self.replica_sets), now, self.settings.rollout_policy)


def with_old_aborts(history: History) -> History:
    """Return the history with the aborts that were before the lookback of a first observation as failures."""
    return replace(
        history,
        revisions=tuple(
            replace(r, failure=Failure(verdict=VerdictKind.ABORTED, cause=Cause.ABORT, time=r.ended_time))
            if r.state is State.ABORTED and r.failure is None and skipped(history, r) is None
            else r
            for r in history.revisions
        ),
    )


def candidates_of(history: History, revision: Revision, rows: Rows) -> list[StoredDeployment] | None:
    """Return the deployments that a revision can be, its known one alone; None: they were not read."""
    service, env, version = revision.service or "", revision.env or "", revision.version or ""
    stored = rows.get((service, env))
    known = revision.deployment_id or (revision.datadog.id if revision.datadog is not None else None)
    if stored is None:
        return None
    if known is not None:
        return [row for row in stored if row.id == known]
    return fitting(stored, service, env, version, span_of(history, revision))


def blockers(facts: RolloutFacts) -> list[Reasoned]:
    """Return why the operator does not decide about this Rollout."""
    rollout, settings = parse_rollout(facts.rollout), facts.settings
    namespace, reasons = rollout.key.namespace, []
    if not facts.operator and not facts.notes:
        reasons.append(Reasoned(WhyNot.NOT_WATCHED, "no Deployment of the operator was found: install it"))
    if not settings.rollouts:
        reasons.append(Reasoned(WhyNot.NOT_WATCHED, "DORA_OPERATOR_SOURCES of the operator has no Rollout"))
    if settings.namespaces and namespace not in settings.namespaces:
        watched = ", ".join(settings.namespaces)
        message = f"the operator watches only {watched}: add {namespace} to DORA_OPERATOR_NAMESPACES"
        reasons.append(Reasoned(WhyNot.NOT_WATCHED, message))
    if not facts.is_selected:
        message = f"its labels do not match the operator's selector {settings.rollout_selector!r}"
        reasons.append(Reasoned(WhyNot.NOT_SELECTED, message))
    for what, annotations in (("the Rollout", rollout.annotations), ("the Namespace", facts.namespace_annotations)):
        if annotations.get(IGNORE_ANNOTATION) == "true":
            reasons.append(Reasoned(WhyNot.OPTED_OUT, f'{what} has the annotation {IGNORE_ANNOTATION}: "true"'))
    return reasons


def source_name(deployment: DoraDeployment) -> str | None:
    """Return the name of the workload that a DoraDeployment follows or was created for."""
    spec = deployment.spec
    return spec.source_ref.name if spec is not None and spec.source_ref is not None else None


def identity_text(identity: Identity) -> str:
    """Return the name of a deployment for people."""
    if not identity.is_known:
        return "not identifiable"
    if identity.deployment_id is not None:
        return f"id {identity.deployment_id}"
    return f"service {identity.service} env {identity.env} version {identity.version}"
