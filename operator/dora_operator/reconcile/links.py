"""Check a remediation that a Rollout decides before it is linked: the link must not give a negative recovery time.

Datadog takes the most recently finished deployment of a version. If the redeployment of an old version is not ingested
yet, or never becomes a deployment of its own, that one is older than the failure.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.plan import Send, request_for
from dora_operator.domain.read_back import Finding, Verification, check_link
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import ConditionStatus, ConditionType, MarkState
from dora_operator.domain.stored import ReadProblem, searched_from
from dora_operator.reconcile.context import Planned
from dora_operator.reconcile.rate_limits import account_of
from dora_operator.reconcile.read_back import Reader, ReadGroup, ReadResult

CHECKS = 3
"""How many scheduled reads a link waits for, beside the one at once."""
NEGATIVE = Verification(
    ConditionStatus.FALSE,
    Reason.RECOVERY_NEGATIVE,
    "every deployment of the remediation's version finished before the failed one, so no link is sent: Datadog would"
    " compute a negative recovery time",
)


@dataclass(frozen=True, slots=True)
class CheckedLink:
    """The plan to follow, and a finding where it has no link."""

    plan: Send
    finding: Finding | None = None
    result: ReadResult | None = None
    """The read that was taken for the check; it verifies the mark, too."""
    is_pending: bool = False
    """The link is checked when the mark is accepted."""


@dataclass(slots=True)
class LinkChecks:
    """Checks links by reading the deployments of the service and env."""

    reader: Reader
    schedule: Sequence[float]
    clock: Callable[[], datetime]
    _checks: dict[ObjectKey, int] = field(default_factory=dict)

    def is_needed(self, planned: Planned, plan: Send) -> bool:
        """Return whether a plan has a link that a Rollout decides, by a version whose deployment is not known."""
        spec, link = planned.deployment.spec, plan.request.state.remediation
        is_own = spec is not None and (spec.remediation is None or planned.deployment.is_record)
        return planned.reads_back and is_own and link is not None and link.id is None and None not in plan.target.tags

    def check(self, planned: Planned, plan: Send) -> CheckedLink | None:  # noqa: PLR0911 - one for each state of a check
        """Return the plan with the link by id, or without a link. None: a read is on its way.

        The mark never waits for its link.
        """
        key, status, state = planned.deployment.key, planned.status, plan.request.state
        without = MarkState(change_failure=state.change_failure)
        stripped = replace(plan, request=request_for(plan.target, without))
        if status.accepted is None or status.accepted.change_failure != state.change_failure:
            return CheckedLink(stripped, is_pending=True)
        result, link, count = self.reader.take(key), state.remediation, self._checks.get(key, 0)
        is_left_out = _is_negative(planned, without)
        is_over = count >= min(CHECKS, len(self.schedule)) or is_left_out
        if result is None and not is_over:
            self._read(planned, plan, self.clock())
            return None
        if result is None or link is None or is_left_out:
            return CheckedLink(stripped, result=result)
        if isinstance(result.stored, ReadProblem):
            return CheckedLink(stripped if is_over else plan, result=result)  # nothing is known against the link
        not_after = planned.source.time if planned.source is not None else None
        checked = check_link(result.stored, plan.target, link, not_after)
        if checked.deployment_id is not None:
            self._checks.pop(key, None)
            linked = replace(state, remediation=replace(link, id=checked.deployment_id))
            return CheckedLink(replace(plan, target=checked.target, request=request_for(checked.target, linked)))
        if not is_over:
            self._checks[key] = count + 1
            self._read(planned, plan, self.clock() + timedelta(seconds=self.schedule[count]))
            return None
        finding = Finding(NEGATIVE, checked.target, status.read_back) if checked.is_negative else None
        return CheckedLink(stripped, finding, result)

    def forget(self, key: ObjectKey) -> None:
        """Drop what is known about a resource that is gone."""
        self._checks.pop(key, None)

    def _read(self, planned: Planned, plan: Send, at: datetime) -> None:
        key, target = planned.deployment.key, plan.target
        started = planned.source.started_time if planned.source is not None else None
        group = ReadGroup(account_of(key.namespace, target), target.service, target.env)
        self.reader.schedule(key, group, at, searched_from(planned.deployment.created_time, started))


def _is_negative(planned: Planned, without: MarkState) -> bool:
    reason = planned.status.reason(ConditionType.VERIFIED)
    return reason == Reason.RECOVERY_NEGATIVE and planned.status.accepted == without
