"""Why a revision of a Rollout has no mark. Pure: the first reason that fits decides."""

from collections.abc import Callable
from dataclasses import dataclass

from dora_operator.domain.rollout.identity import Unidentified
from dora_operator.domain.rollout.observation import Observation
from dora_operator.domain.rollout.rules import RuleContext
from dora_operator.domain.rollout.timeline import Entry, Promotion
from dora_operator.domain.rollout.verdict import Decision, Verdict

from kubectl_dora.facts import Reasoned, RolloutFacts, WhyNot


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided about a Rollout."""

    facts: RolloutFacts
    observation: Observation
    records: tuple[Verdict, ...]
    decision: Decision
    without_limit: Decision
    """The decision with an endless lookback."""
    context: RuleContext
    stable: Entry | None

    def is_current(self, entry: Entry) -> bool:
        """Return whether an entry is the newest revision."""
        return entry == self.context.timeline.current


def why_not(given: Decided, entry: Entry) -> Reasoned:
    """Return why there is no mark."""
    for reason in REASONS:
        found = reason(given, entry)
        if found is not None:
            return found
    message = "another revision replaced it, and the cluster does not show any more whether it was promoted before"
    return Reasoned(WhyNot.UNKNOWN_END, message)


def _skipped(given: Decided, entry: Entry) -> Reasoned | None:
    for skipped in (*given.decision.skipped, *given.without_limit.skipped):
        if skipped.revision == entry.number:
            return Reasoned(WhyNot(skipped.reason.value), skipped.message)
    return None


def _older_than_the_lookback(given: Decided, entry: Entry) -> Reasoned | None:
    found = next((each for each in given.without_limit.verdicts if each.revision == entry.number), None)
    if found is None or not found.change_failure:
        return None
    message = (
        f"it would be {found.verdict.value}, but that is longer ago than the lookback of the operator"
        f" ({given.facts.settings.lookback_hours:g} h): see `kubectl dora backfill`"
    )
    return Reasoned(WhyNot.LOOKBACK, message)


def _same_deployment(given: Decided, entry: Entry) -> Reasoned | None:
    found = next((each for each in given.decision.verdicts if each.identity == entry.key), None)
    if found is None:
        return None
    message = f"the same deployment to Datadog as revision {found.revision}, which is {found.verdict.value}"
    return Reasoned(WhyNot.SAME_DEPLOYMENT, message)


def _first_revision(given: Decided, entry: Entry) -> Reasoned | None:
    if entry.number != 1 or not given.is_current(entry) or given.facts.phase == "Healthy":
        return None
    message = (
        f"the first revision has phase {given.facts.phase}: whatever becomes of it, there is nothing to go back to"
    )
    return Reasoned(WhyNot.FIRST_REVISION, message)


def _not_identifiable(given: Decided, entry: Entry) -> Reasoned | None:
    identity = entry.replica_set.identity
    if not isinstance(identity, Unidentified) or not (given.is_current(entry) and given.observation.rollout.abort):
        return None
    return Reasoned(WhyNot.NOT_IDENTIFIED, f"{identity.problem}; {identity.fix}")


def _succeeded(_: Decided, entry: Entry) -> Reasoned | None:
    if entry.promotion is not Promotion.PROMOTED:
        return None
    return Reasoned(WhyNot.SUCCEEDED, "it was promoted, and nothing that the cluster shows went back before it")


def _in_progress(given: Decided, entry: Entry) -> Reasoned | None:
    if not given.is_current(entry) or given.observation.rollout.abort:
        return None
    if given.facts.phase == "Degraded":
        message = "it is Degraded and not aborted: Argo still tries, so it is no failure yet"
        return Reasoned(WhyNot.NOT_ABORTED, message)
    return Reasoned(WhyNot.IN_PROGRESS, f"its update goes on (phase {given.facts.phase})")


def _superseded(given: Decided, entry: Entry) -> Reasoned | None:
    if given.is_current(entry) or entry.promotion is not Promotion.NOT_PROMOTED:
        return None
    return Reasoned(WhyNot.SUPERSEDED, "another revision replaced it before it was promoted; that alone is no failure")


REASONS: tuple[Callable[[Decided, Entry], Reasoned | None], ...] = (
    _skipped,
    _older_than_the_lookback,
    _same_deployment,
    _first_revision,
    _not_identifiable,
    _succeeded,
    _in_progress,
    _superseded,
)
"""The order matters."""
