"""Find the deployment of a late mark by reading the deployments of its service and env, before the mark is sent."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.late import PROMPT, is_created, is_deployed_again, is_late, locate
from dora_operator.domain.outcome import TryAgain
from dora_operator.domain.plan import Send, request_for
from dora_operator.domain.rollout.verdict import Verdict
from dora_operator.domain.stored import NOT_READ, REFUSED, ReadProblem, Stored, searched_from
from dora_operator.reconcile.context import Planned
from dora_operator.reconcile.creation import creating
from dora_operator.reconcile.rate_limits import account_of
from dora_operator.reconcile.read_back import Reader, ReadGroup, ReadResult
from dora_operator.store import RolloutStore

RECHECK_LISTED = timedelta(seconds=1)
"""How often it is checked whether the Rollouts are listed."""


@dataclass(frozen=True, slots=True)
class LateMarks:
    """Finds the deployments of late marks."""

    reader: Reader
    rollouts: RolloutStore
    watches_rollouts: bool
    clock: Callable[[], datetime]

    def locate(self, planned: Planned, plan: Send, result: ReadResult | None) -> Send | TryAgain | datetime | None:
        """Return the plan for the deployment that is meant, why there is none yet, or when to ask again.

        A plan that is not late stays as it is. None: a read is on its way, and reconciles again.
        """
        verdict, now = planned.source, self.clock()
        is_again = self._is_deployed_again(planned, verdict) if verdict is not None else None
        if verdict is None or not is_late(plan.target, plan.request.state, verdict, now, is_again=is_again):
            return plan
        stored = self._read(planned, plan, verdict, result)
        if stored is None:
            return None
        found = locate(stored, plan.target, verdict, is_again=is_again)
        if isinstance(found, TryAgain):
            is_due = is_created(found, planned.status, planned.on_missing, now)
            return (creating(planned, plan) if is_due else None) or found
        if found is None:
            return now + RECHECK_LISTED
        return replace(plan, target=found, request=request_for(found, plan.request.state))

    def _read(
        self, planned: Planned, plan: Send, verdict: Verdict, result: ReadResult | None
    ) -> Stored | ReadProblem | None:
        """Return what was just read, or plan a read."""
        key, target, now = planned.deployment.key, plan.target, self.clock()
        if not planned.reads_back:
            return NOT_READ
        result = result or self.reader.take(key)
        if result is not None and now - result.time <= PROMPT:
            return result.stored
        if self.reader.is_refused(key):
            return REFUSED
        group = ReadGroup(account_of(key.namespace, target), target.service, target.env)
        self.reader.schedule(key, group, now, searched_from(planned.deployment.created_time, verdict.started_time))
        return None

    def _is_deployed_again(self, planned: Planned, verdict: Verdict) -> bool | None:
        """Return whether the Rollout has deployed the version again. None: the Rollouts are not listed yet."""
        tracked = self.rollouts.get(ObjectKey(planned.deployment.key.namespace, verdict.name))
        if tracked is not None:
            return is_deployed_again(verdict, tracked.rollout, tracked.replica_sets)
        is_listed = self.rollouts.is_listed(planned.deployment.key.namespace)
        return False if is_listed or not self.watches_rollouts else None
