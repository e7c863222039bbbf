"""What happened before the operator was installed, as far as the cluster still shows it. Pure.

The operator's own decision with a longer lookback. What is applied is the record that the operator itself would have
written, under the same name and field manager: neither of them makes a second one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from dora_operator.domain.plan import follows
from dora_operator.domain.resource import DoraDeployment
from dora_operator.domain.rollout.decide import context_of
from dora_operator.domain.rollout.observation import Observation
from dora_operator.domain.rollout.rules import RuleContext
from dora_operator.domain.rollout.timeline import Promotion
from dora_operator.domain.rollout.verdict import (
    Decision,
    Skipped,
    Verdict,
    VerdictKind,
    record_manifest,
)
from dora_operator.kubectl.facts import RolloutFacts, WhyNot, blockers, decided, identity_text, recorded, source_name


class State(StrEnum):
    """What `--apply` does with a row. The words are API: `-o json` shows them."""

    NEW = "new"
    """It is created."""
    RECORDED = "recorded"
    """A DoraDeployment says it already."""
    FOLLOWED = "followed"
    """A user's DoraDeployment follows the revision; its spec decides, and nothing is created beside it."""
    BLOCKED = "blocked"
    """The Rollout is opted out or not selected, or a user's DoraDeployment has the record's name."""
    UNKNOWN = "unknown"
    """The cluster does not show what happened: never applied."""


class Confidence(StrEnum):
    """How sure a row is."""

    HIGH = "high"
    """The objects show it as it happened."""
    MEDIUM = "medium"
    """The objects show that a version went away, and not how."""
    NONE = "none"
    """The objects do not show it any more."""


@dataclass(frozen=True, slots=True)
class Row:
    """One revision that failed, may have failed, or recovered."""

    namespace: str
    rollout: str
    revision: int
    deployment: str
    mark: str
    time: datetime | None
    confidence: Confidence
    evidence: str
    state: State
    verdict: Verdict | None = None
    manifest: dict[str, Any] | None = None
    """What is applied; only of new rows."""


def backfill_rows(facts: RolloutFacts, now: datetime, since: timedelta) -> list[Row]:
    """Return a row for everything that the cluster still shows of a Rollout, oldest revision first."""
    observation, decision = decided(facts, now, since)
    policy = replace(facts.settings.rollout_policy, lookback=since)
    context = context_of(observation, recorded(facts), policy, now)
    rows = [_verdict_row(facts, observation, verdict) for verdict in decision.verdicts]
    if context is not None:
        rows += [_skipped_row(context, skipped) for skipped in decision.skipped]
        rows += _unknown_rows(context, decision)
    if reason := _blocker(facts):
        rows = [replace(row, state=State.BLOCKED, evidence=reason, manifest=None) for row in rows]
    return sorted(rows, key=lambda row: row.revision)


def new_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that are applied, oldest first."""
    return sorted(
        (row for row in rows if row.state is State.NEW),
        key=lambda row: (row.time is not None, row.time and row.time.timestamp(), row.namespace, row.rollout),
    )


def _blocker(facts: RolloutFacts) -> str | None:
    """Return why nothing is applied. That no operator runs is no reason: it will find what was applied."""
    found = [each for each in blockers(facts) if each.reason is not WhyNot.NOT_WATCHED]
    return found[0].message if found else None


def _verdict_row(facts: RolloutFacts, observation: Observation, verdict: Verdict) -> Row:
    state, evidence = State.NEW, _evidence(observation, verdict)
    manifest = record_manifest(observation.rollout.key.namespace, _under_one_name(facts, verdict))
    follower = next((each for each in facts.deployments if _follows(each, verdict)), None)
    owner = next((each for each in facts.deployments if each.key.name == manifest["metadata"]["name"]), None)
    if verdict in recorded(facts):
        state = State.RECORDED
    elif follower is not None:
        state, evidence = State.FOLLOWED, f"DoraDeployment {follower.key.name} follows it: {evidence}"
    elif owner is not None and not owner.is_record:
        state, evidence = State.BLOCKED, f"DoraDeployment {owner.key.name} belongs to a user: {evidence}"
    return Row(
        namespace=observation.rollout.key.namespace,
        rollout=verdict.name,
        revision=verdict.revision,
        deployment=identity_text(verdict.identity),
        mark=_mark(verdict),
        time=verdict.time,
        confidence=Confidence.MEDIUM if verdict.verdict is VerdictKind.REVERTED else Confidence.HIGH,
        evidence=evidence,
        state=state,
        verdict=verdict,
        manifest=manifest if state is State.NEW else None,
    )


def _follows(deployment: DoraDeployment, verdict: Verdict) -> bool:
    return not deployment.is_record and deployment.spec is not None and follows(deployment.spec, verdict)


def _under_one_name(facts: RolloutFacts, verdict: Verdict) -> Verdict:
    """A deployment has one record, also when its Rollout was created again, as in the operator."""
    for deployment in facts.deployments:
        record = deployment.record
        if source_name(deployment) == verdict.name and record and record.identity == verdict.identity:
            return replace(verdict, pod_template_hash=record.pod_template_hash)
    return verdict


def _mark(verdict: Verdict) -> str:
    words = f"{verdict.verdict.value}: {'failure' if verdict.change_failure else 'no failure'}"
    link = verdict.remediation
    return words if link is None else f"{words}, {link.type.value} to {link.id or link.version}"


def _evidence(observation: Observation, verdict: Verdict) -> str:
    rollout = observation.rollout
    if verdict.verdict is VerdictKind.ABORTED:
        is_current = rollout.abort and rollout.revision == verdict.decided_by_revision
        source = "status.abort" if is_current else "the record"
    else:
        source = "the revision history of the ReplicaSets"
    return f"{source}: {verdict.message}" if verdict.message else source


def _skipped_row(context: RuleContext, skipped: Skipped) -> Row:
    entry = context.timeline.at(skipped.revision)
    key = context.observation.rollout.key
    return Row(
        namespace=key.namespace,
        rollout=key.name,
        revision=skipped.revision,
        deployment=identity_text(entry.replica_set.identity) if entry else "unknown",
        mark=skipped.reason.value,
        time=None,
        confidence=Confidence.NONE,
        evidence=skipped.message,
        state=State.UNKNOWN,
    )


def _unknown_rows(context: RuleContext, decision: Decision) -> Iterator[Row]:
    """Yield the replaced revisions of which nothing shows any more whether they were promoted."""
    decided = {verdict.revision for verdict in decision.verdicts} | {skipped.revision for skipped in decision.skipped}
    key = context.observation.rollout.key
    for entry in context.timeline.entries[:-1]:
        if (
            entry.promotion is Promotion.UNKNOWN
            and entry.number not in decided
            and context.began_recently(entry.number)
        ):
            yield Row(
                namespace=key.namespace,
                rollout=key.name,
                revision=entry.number,
                deployment=identity_text(entry.replica_set.identity),
                mark=WhyNot.UNKNOWN_END.value,
                time=None,
                confidence=Confidence.NONE,
                evidence="replaced; whether it was promoted, aborted or superseded does not show any more",
                state=State.UNKNOWN,
            )
