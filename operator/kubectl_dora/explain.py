"""What became of the revisions of a Rollout, and why each is marked or not: from its history.

Pure: facts in, an explanation out. `explain_view` prints it, `gather` reads the facts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from dora_operator.domain.history.history import History, Revision, State, last_promoted
from dora_operator.domain.history.identity import fix_of
from dora_operator.domain.history.verdicts import Verdict, skipped, verdicts
from dora_operator.domain.plan import follows
from dora_operator.domain.resource import DoraDeployment
from dora_operator.domain.sources.rollout import parse_rollout
from kubectl_dora.explain_resource import ResourceExplained, explain_resource
from kubectl_dora.facts import Reasoned, RolloutFacts, WhyNot, blockers, identity_text


@dataclass(frozen=True, slots=True)
class RevisionExplained:
    """One revision of a Rollout."""

    revision: Revision
    """As it is in the history."""
    is_current: bool
    is_stable: bool
    deployment: str | None
    """Which Datadog deployment it stands for; None: not identifiable."""
    problem: str | None
    verdict: Verdict | None
    why_not: Reasoned | None
    resources: tuple[ResourceExplained, ...] = ()


@dataclass(frozen=True, slots=True)
class RolloutExplained:
    """A Rollout, newest revision first."""

    namespace: str
    name: str
    phase: str
    revision: int | None
    stable_revision: int | None
    operator: str | None
    blockers: tuple[Reasoned, ...]
    """Why the operator decides nothing about this Rollout, whatever it does."""
    notes: tuple[str, ...]
    """What could not be read, and what is assumed instead."""
    revisions: tuple[RevisionExplained, ...]


def explain_rollout(facts: RolloutFacts, now: datetime, revision: int | None = None) -> RolloutExplained:
    """Explain every revision of a Rollout, or one."""
    history, rollout = facts.history(now), parse_rollout(facts.rollout)
    stable = last_promoted(history.revisions)
    wanted = [r for r in reversed(history.revisions) if revision in (None, r.number)]
    return RolloutExplained(
        namespace=rollout.key.namespace,
        name=rollout.key.name,
        phase=facts.phase,
        revision=rollout.number,
        stable_revision=stable.number if stable else None,
        operator=facts.operator or None,
        blockers=tuple(blockers(facts)),
        notes=(*facts.notes, *_notes(facts, history, rollout.number)),
        revisions=tuple(_explain_revision(facts, history, r) for r in wanted),
    )


def _notes(facts: RolloutFacts, history: History, newest: int | None) -> list[str]:
    if facts.stored is None:
        return ["there is no DoraHistory: shown is what a first observation gives. What came before it is not known"]
    if history.current is not None and newest is not None and history.current.number < newest:
        return [f"the history ends at revision {history.current.number}: the operator has not observed the newest yet"]
    return []


def _explain_revision(facts: RolloutFacts, history: History, revision: Revision) -> RevisionExplained:
    name = (revision.number, revision.pod_template_hash)
    found = verdicts(history, facts.settings.rollout_policy)
    verdict = next((v for v in found if (v.revision, v.pod_template_hash) == name), None)
    is_known = revision.identity.is_known
    return RevisionExplained(
        revision=revision,
        is_current=revision is history.current,
        is_stable=revision is last_promoted(history.revisions),
        deployment=identity_text(revision.identity) if is_known else None,
        problem=None if is_known else fix_of(revision.identity),
        verdict=verdict,
        why_not=why_not(facts, history, revision) if verdict is None else None,
        resources=tuple(
            explain_resource(deployment, facts.contexts.get(deployment.key))
            for deployment in facts.deployments
            if verdict is not None and _carries(deployment, verdict)
        ),
    )


def _carries(deployment: DoraDeployment, verdict: Verdict) -> bool:
    source = deployment.status.source
    if source is not None:
        return (source.uid, source.revision) == (verdict.uid, verdict.revision)
    return deployment.spec is not None and follows(deployment.spec, verdict)


def why_not(facts: RolloutFacts, history: History, revision: Revision) -> Reasoned:
    """Return why a revision has no mark."""
    note = skipped(history, revision)
    if note is not None:
        return Reasoned(WhyNot(note.reason.value), note.message)
    if revision.failure is not None:
        message = f"the cause {revision.failure.cause.value} does not count by the operator's settings"
        return Reasoned(WhyNot.NOT_COUNTED, message)
    is_degraded = revision is history.current and facts.phase == "Degraded"
    if is_degraded and last_promoted(r for r in history.revisions if r.number < revision.number) is None:
        return Reasoned(WhyNot.FIRST_REVISION, "the first revision is Degraded: there was nothing to go back to")
    if revision.state is State.ABORTED:
        hours = f"{facts.settings.lookback_hours:g} h"
        message = f"it was aborted longer ago than the operator's lookback ({hours}): see `kubectl dora backfill`"
        return Reasoned(WhyNot.LOOKBACK, message)
    if revision.state is State.IN_FLIGHT and is_degraded:
        message = "it is Degraded and not aborted: Argo still tries, so it is no failure yet"
        return Reasoned(WhyNot.NOT_ABORTED, message)
    return Reasoned(*_STATES[revision.state])


_STATES: Mapping[State, tuple[WhyNot, str]] = {
    State.PROMOTED: (WhyNot.SUCCEEDED, "it was promoted, and no rollback has marked it"),
    State.IN_FLIGHT: (WhyNot.IN_PROGRESS, "its update goes on"),
    State.SUPERSEDED: (WhyNot.SUPERSEDED, "another revision replaced it before it was promoted; that is no failure"),
    State.UNDONE: (WhyNot.SUPERSEDED, "it was itself a rollback, and one to a still older version replaced it"),
    State.UNKNOWN: (
        WhyNot.UNKNOWN,
        "it began and ended unobserved: whether it failed is not known; see `kubectl dora backfill`",
    ),
}
