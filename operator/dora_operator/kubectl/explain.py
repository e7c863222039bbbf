"""What the operator makes of a Rollout, and why: the decision code of the operator itself, on objects as they are now.

Pure: facts in, an explanation out. `explain_view` prints it, `gather` reads the facts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dora_operator.domain.plan import follows
from dora_operator.domain.resource import DoraDeployment
from dora_operator.domain.rollout import raw
from dora_operator.domain.rollout.decide import context_of
from dora_operator.domain.rollout.identity import (
    ID_ANNOTATION,
    LABEL_PREFIX,
    OVERRIDE_PREFIX,
    TAGS,
    ById,
    Unidentified,
)
from dora_operator.domain.rollout.observation import POD_TEMPLATE_HASH, Observation
from dora_operator.domain.rollout.rules import RULES, RuleContext
from dora_operator.domain.rollout.timeline import Entry, Promotion
from dora_operator.domain.rollout.verdict import Decision, Verdict, VerdictKind
from dora_operator.kubectl.explain_resource import ResourceExplained, explain_resource
from dora_operator.kubectl.facts import FOR_EVER, Reasoned, RolloutFacts, blockers, decided, identity_text, recorded
from dora_operator.kubectl.why_not import Unmarked, why_not

RULE_TEXTS: Mapping[VerdictKind, str] = {
    VerdictKind.ABORTED: "an aborted update is a change failure at once",
    VerdictKind.UNDONE: "a return to an older version before the newer one was promoted marks the newer one",
    VerdictKind.ROLLED_BACK: "a rollback marks the first deployment after its target (setting rollbackMarks)",
    VerdictKind.REVERTED: "an older version came back; whether the newer one was promoted is unknown: no link",
    VerdictKind.RECOVERED: "a marked version that is promoted later is no failure (retrySuccess: MarkStable)",
    VerdictKind.KEPT: "a marked version that is promoted later keeps its mark (retrySuccess: Keep)",
}


@dataclass(frozen=True, slots=True)
class RevisionExplained:
    """One revision of a Rollout."""

    revision: int
    pod_template_hash: str
    created_time: datetime | None
    is_current: bool
    is_stable: bool
    promotion: str
    deployment: str | None
    """Which Datadog deployment it stands for; None: not identifiable."""
    identified_by: tuple[str, ...]
    """Labels and annotations of the pod template that say so."""
    problem: str | None
    verdict: Verdict | None
    is_recorded: bool
    """Whether the verdict is in the cluster already."""
    rule: str | None
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
    abort: bool
    abort_message: str
    operator: str | None
    blockers: tuple[Reasoned, ...]
    """Why the operator decides nothing about this Rollout, whatever it does."""
    is_changing: bool
    """The controller is between two revisions: some answers come with its next write."""
    revisions: tuple[RevisionExplained, ...]


@dataclass(frozen=True, slots=True)
class _Decided:
    facts: RolloutFacts
    observation: Observation
    records: tuple[Verdict, ...]
    decision: Decision
    without_limit: Decision
    context: RuleContext
    stable: Entry | None


def explain_rollout(facts: RolloutFacts, now: datetime, revision: int | None = None) -> RolloutExplained:
    """Explain every revision of a Rollout, or one."""
    observation, decision = decided(facts, now)
    rollout, records = observation.rollout, recorded(facts)
    context = context_of(observation, records, facts.settings.rollout_policy, now)
    stable = _stable_entry(context)
    revisions: tuple[RevisionExplained, ...] = ()
    if context is not None:
        without_limit = decided(facts, now, FOR_EVER)[1]
        given = _Decided(facts, observation, records, decision, without_limit, context, stable)
        wanted = [each for each in reversed(context.timeline.entries) if revision in (None, each.number)]
        revisions = tuple(_explain_revision(given, entry) for entry in wanted)
    return RolloutExplained(
        namespace=rollout.key.namespace,
        name=rollout.key.name,
        phase=facts.phase,
        revision=rollout.revision,
        stable_revision=stable.number if stable else None,
        abort=rollout.abort,
        abort_message=rollout.abort_message,
        operator=facts.operator or None,
        blockers=tuple(blockers(facts)),
        is_changing=not rollout.up_to_date,
        revisions=revisions,
    )


def _stable_entry(context: RuleContext | None) -> Entry | None:
    stable = context.observation.stable if context is not None else None
    if context is None or stable is None:
        return None
    candidates = [each for each in context.timeline.entries if each.replica_set is stable]
    promoted = [each for each in candidates if each.promotion is not Promotion.NOT_PROMOTED] or candidates
    return promoted[-1] if promoted else None


def _explain_revision(given: _Decided, entry: Entry) -> RevisionExplained:
    identity, facts = entry.replica_set.identity, given.facts
    verdict = next((each for each in given.decision.verdicts if each.revision == entry.number), None)
    unidentified = identity if isinstance(identity, Unidentified) else None
    return RevisionExplained(
        revision=entry.number,
        pod_template_hash=entry.replica_set.pod_template_hash,
        created_time=entry.replica_set.created_at,
        is_current=entry == given.context.timeline.current,
        is_stable=entry == given.stable,
        promotion=entry.promotion.value,
        deployment=None if unidentified else identity_text(identity),
        identified_by=() if unidentified else identified_by(_template(facts, entry.replica_set.pod_template_hash)),
        problem=f"{unidentified.problem}; {unidentified.fix}" if unidentified else None,
        verdict=verdict,
        is_recorded=verdict is not None and verdict in given.records,
        rule=_rule(given, entry, verdict) if verdict is not None else None,
        why_not=_why_not(given, entry) if verdict is None else None,
        resources=tuple(
            explain_resource(each, facts.deployments, facts.settings, facts.namespace_annotations)
            for each in facts.deployments
            if verdict is not None and _carries(each, verdict)
        ),
    )


def _why_not(given: _Decided, entry: Entry) -> Reasoned:
    hours = given.facts.settings.lookback_hours
    timeline = given.context.timeline
    return why_not(
        Unmarked(entry, timeline, given.observation, given.decision, given.without_limit, hours, given.facts.phase)
    )


def _carries(deployment: DoraDeployment, verdict: Verdict) -> bool:
    if deployment.record is not None:
        return deployment.record.uid == verdict.uid and deployment.record.identity == verdict.identity
    return deployment.spec is not None and not deployment.is_record and follows(deployment.spec, verdict)


def _template(facts: RolloutFacts, pod_template_hash: str) -> Mapping[str, Any]:
    for each in facts.replica_sets:
        if raw.identifier(each, "metadata", "labels", POD_TEMPLATE_HASH) == pod_template_hash:
            return raw.mapping(each, "spec", "template")
    return {}


def identified_by(template: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the labels and annotations of a pod template that name the deployment."""
    annotations = raw.mapping(template, "metadata", "annotations")
    if ID_ANNOTATION in annotations:
        return (f"annotation {ID_ANNOTATION}",)
    return tuple(
        f"annotation {OVERRIDE_PREFIX}{tag}" if OVERRIDE_PREFIX + tag in annotations else f"label {LABEL_PREFIX}{tag}"
        for tag in TAGS
    )


def _rule(given: _Decided, entry: Entry, verdict: Verdict) -> str:
    """Return the text of the rule that decided, and what ended the failure since."""
    text = RULE_TEXTS[verdict.verdict]
    if verdict.remediation is not None:
        number = _linked_revision(given.context.timeline.entries, verdict)
        by = f"revision {number}" if number else "a deployment of the operator's own"
        return f"{text}; ended by {by} ({verdict.remediation.type.value})"
    is_visible = any(True for rule in RULES for _ in rule(given.context, entry))
    is_ended = verdict.verdict in {VerdictKind.RECOVERED, VerdictKind.KEPT}
    return text if is_visible or is_ended else f"{text} (the cluster has shown it before; it is on record)"


def _linked_revision(entries: Sequence[Entry], verdict: Verdict) -> int | None:
    link = verdict.remediation
    for entry in entries:
        identity = entry.replica_set.identity
        if link is None or entry.number < verdict.decided_by_revision or isinstance(identity, Unidentified):
            continue
        if link.id is not None and isinstance(identity, ById) and identity.deployment_id == link.id:
            return entry.number
        if link.id is None and identity.version == link.version:
            return entry.number
    return None
