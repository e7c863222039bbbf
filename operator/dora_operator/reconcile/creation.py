"""Post the event of a failed revision that Datadog does not have, before its mark: `onMissing: Create`."""

from dataclasses import replace

from dora_operator.domain.fields import OnMissing
from dora_operator.domain.plan import Send, request_for
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import ConditionType, TargetKind
from dora_operator.domain.rollout.posted_events import failed_event, is_own_id
from dora_operator.reconcile.context import Planned


def is_creating(planned: Planned, plan: Send) -> bool:
    """Return whether a missing deployment was to be created, and that has not succeeded yet."""
    status, known_id = planned.status, plan.target.id
    is_resend = status.accepted is None and status.accepted_time is not None
    if not is_resend or planned.on_missing is not OnMissing.CREATE:
        return False
    if known_id is not None and not is_own_id(known_id):  # it was missing, and has been found since
        return False
    verified = status.condition(ConditionType.VERIFIED)
    return verified is not None and verified.reason == Reason.DEPLOYMENT_MISSING


def creating(planned: Planned, plan: Send) -> Send | None:
    """Return the plan that posts the event of the failed revision and marks it by its id; None: times are unknown."""
    event = failed_event(planned.source) if planned.source is not None else None
    if event is None:
        return None
    target = replace(plan.target, by=TargetKind.ID, id=event.deployment_id)
    return replace(plan, event=event, target=target, request=request_for(target, plan.request.state))
