"""Facts about one Rollout, and the operator's own decision about them.

Pure. `explain`, `backfill` and `doctor` decide with what is here; `gather` reads the objects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from dora_operator.domain.resource import DoraDeployment
from dora_operator.domain.rollout import raw
from dora_operator.domain.rollout.decide import decide_in_order
from dora_operator.domain.rollout.identity import ById, Identity, Unidentified
from dora_operator.domain.rollout.observation import (
    Observation,
    observe,
    parse_replica_sets,
    parse_rollout,
)
from dora_operator.domain.rollout.verdict import IGNORE_ANNOTATION, Decision, Memory, Verdict
from dora_operator.settings import Settings

ALIASES = {"DD_SITE": "site"}
PREFIX = "DORA_OPERATOR_"
FOR_EVER = timedelta(days=36_500)
"""A lookback that leaves nothing out."""


class _GivenSettings(Settings):
    """Settings from values alone: the environment of this process says nothing about the operator's."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings gives all of them
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing but the arguments."""
        return (init_settings,)


def settings_of(environment: Mapping[str, str]) -> Settings:
    """Return the settings that an operator with this environment has. Keys are left out.

    Raises:
        ValidationError: the operator would not start with it.
    """
    values = {ALIASES[name]: value for name, value in environment.items() if name in ALIASES and value}
    for name, value in environment.items():
        if name.startswith(PREFIX):
            values[name.removeprefix(PREFIX).lower()] = value
    return _GivenSettings(**values)  # type: ignore[arg-type]  # pydantic reads the texts


def default_settings() -> Settings:
    """Return the settings of an operator that was given none."""
    return settings_of({})


class WhyNot(StrEnum):
    """Why a revision has no mark. The words are API: `-o json` shows them."""

    OPTED_OUT = "OptedOut"
    NOT_SELECTED = "NotSelected"
    NOT_WATCHED = "NotWatched"
    LOOKBACK = "Lookback"
    NOT_IDENTIFIED = "NotIdentified"
    SAME_VERSION = "SameVersionAsStable"
    ID_USED = "DeploymentIdAlreadyDeployed"
    ROLLBACK_UNCLEAR = "RollbackUnclear"
    FIRST_REVISION = "FirstRevision"
    SUPERSEDED = "Superseded"
    NOT_ABORTED = "DegradedWithoutAbort"
    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    UNKNOWN_END = "UnknownEnd"
    SAME_DEPLOYMENT = "SameDeployment"


@dataclass(frozen=True, slots=True)
class Reasoned:
    """A reason with its explanation."""

    reason: WhyNot
    message: str


@dataclass(frozen=True, slots=True)
class RolloutFacts:
    """Raw objects around one Rollout."""

    rollout: Mapping[str, Any]
    replica_sets: Sequence[Mapping[str, Any]] = ()
    deployments: Sequence[DoraDeployment] = ()
    """The DoraDeployments of its namespace."""
    namespace_annotations: Mapping[str, str] = field(default_factory=dict)
    settings: Settings = field(default_factory=default_settings)
    operator: str = ""
    """Namespace and name of the operator's Deployment; empty where none was found."""
    is_selected: bool = True
    """Whether the operator's label selector for Rollouts matches."""

    @property
    def phase(self) -> str:
        """What the controller says about the Rollout; decisions do not read it."""
        return raw.identifier(self.rollout, "status", "phase") or "unknown"


def decided(facts: RolloutFacts, now: datetime, lookback: timedelta | None = None) -> tuple[Observation, Decision]:
    """Decide about a Rollout as the operator does right after its start: from objects and records alone."""
    rollout = parse_rollout(facts.rollout)
    replica_sets = parse_replica_sets(rollout.uid, facts.replica_sets)
    policy = facts.settings.rollout_policy
    policy = policy if lookback is None else replace(policy, lookback=lookback)
    observation = observe(rollout, replica_sets)
    return observation, decide_in_order([observation], recorded(facts), policy, now, Memory())


def recorded(facts: RolloutFacts) -> tuple[Verdict, ...]:
    """Return all recorded verdicts about Rollouts of this name."""
    name = parse_rollout(facts.rollout).key.name
    linked = [each for each in facts.deployments if source_name(each) == name]
    found = [each.record if each.is_record else each.status.source for each in linked]
    return tuple(verdict for verdict in found if verdict is not None)


def blockers(facts: RolloutFacts) -> list[Reasoned]:
    """Return why the operator does not decide about this Rollout."""
    rollout, settings = parse_rollout(facts.rollout), facts.settings
    namespace, found = rollout.key.namespace, []
    if not facts.operator:
        message = "no Deployment of the operator was found: install it, or use a login that may list it"
        found.append(Reasoned(WhyNot.NOT_WATCHED, message))
    if not settings.rollouts:
        found.append(Reasoned(WhyNot.NOT_WATCHED, "the operator runs with DORA_OPERATOR_ROLLOUTS=false"))
    if settings.namespaces and namespace not in settings.namespaces:
        watched = ", ".join(settings.namespaces)
        message = f"the operator watches only {watched}: add {namespace} to DORA_OPERATOR_NAMESPACES"
        found.append(Reasoned(WhyNot.NOT_WATCHED, message))
    if not facts.is_selected:
        message = f"its labels do not match the operator's selector {settings.rollout_selector!r}"
        found.append(Reasoned(WhyNot.NOT_SELECTED, message))
    for what, annotations in (("the Rollout", rollout.annotations), ("the Namespace", facts.namespace_annotations)):
        if annotations.get(IGNORE_ANNOTATION) == "true":
            found.append(Reasoned(WhyNot.OPTED_OUT, f'{what} has the annotation {IGNORE_ANNOTATION}: "true"'))
    return found


def source_name(deployment: DoraDeployment) -> str | None:
    """Return the name of the workload that a DoraDeployment follows or was created for."""
    spec = deployment.spec
    return spec.source_ref.name if spec is not None and spec.source_ref is not None else None


def identity_text(identity: Identity) -> str:
    """Return the name of a deployment for people."""
    if isinstance(identity, Unidentified):
        return "not identifiable"
    if isinstance(identity, ById):
        return f"id {identity.deployment_id}"
    return f"service {identity.service} env {identity.env} version {identity.version}"
