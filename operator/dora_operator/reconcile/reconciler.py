"""The one way from a DoraDeployment to Datadog and back to its status."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dora_operator.domain import status as statuses
from dora_operator.domain.conditions import Override, Phase, Standing
from dora_operator.domain.due import Rest, Settled, next_step
from dora_operator.domain.links import send_lane
from dora_operator.domain.observed import ConditionType, DoraDeploymentStatus, RolloutObservation
from dora_operator.domain.outcome import Outcome, Pace, TryAgain, classify
from dora_operator.domain.plan import Plan, Send
from dora_operator.domain.planning import make_plan, overrides
from dora_operator.domain.reasons import CREDENTIAL_REASONS, Reason
from dora_operator.domain.rollout.follow import opinion_of, to_verdict
from dora_operator.domain.sites import Site
from dora_operator.domain.spec import DoraDeploymentSpec
from dora_operator.domain.status import Moment
from dora_operator.inventory import Inventory, Known
from dora_operator.ports import ClusterUnavailableError, DatadogPort, Keys, NoKeys, ObjectKey
from dora_operator.reconcile.accounts import Account, Accounts, account_of
from dora_operator.reconcile.board import VerdictBoard
from dora_operator.reconcile.lanes import Lanes
from dora_operator.reconcile.secret_watch import SecretWatch
from dora_operator.reconcile.surroundings import Options, spec_of, surroundings_of
from dora_operator.reconcile.writer import StatusWriter, read_status


@dataclass(frozen=True, slots=True)
class Visit:
    """What a reconcile leaves to do: look again at a time, and whom to wake."""

    again_at: datetime | None = None
    wake: frozenset[ObjectKey] = frozenset()


class SaveFailedError(ClusterUnavailableError):
    """The status could not be written; the inventory keeps it. `wake` names who must be woken all the same."""

    def __init__(self, wake: frozenset[ObjectKey]) -> None:
        super().__init__("the status was not written")
        self.wake = wake


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that was gathered and decided about one DoraDeployment."""

    known: Known
    status: DoraDeploymentStatus
    plan: Plan
    rollout: RolloutObservation | None
    override: Override | None


@dataclass(slots=True)
class Reconciler:
    """Reconciles one key at a time per key; the caller sees to that."""

    inventory: Inventory
    accounts: Accounts
    secrets: SecretWatch
    board: VerdictBoard
    datadog: DatadogPort
    writer: StatusWriter
    options: Options
    clock: Callable[[], datetime]
    random: Callable[[], float]
    lanes: Lanes = field(default_factory=Lanes)

    async def reconcile(self, key: ObjectKey) -> Visit:
        """Bring Datadog and the status of one DoraDeployment up to date with its spec.

        Raises:
            ClusterUnavailableError: the API server has to be asked again; nothing is lost.
        """
        known = self.inventory.get(key)
        if known is None:
            self.secrets.forget(key)
            self.board.forget(key)
            return Visit()
        status = read_status(known.newest_status_json)
        spec = spec_of(known)
        if spec is None:
            message = "the spec cannot be understood: apply the CRD that belongs to this version of the operator"
            return await self._save(known, statuses.invalid(status, message, self._moment(known)))
        case = self._case(known, spec, status)
        if case.rollout != status.rollout and known.verdict_json is None:
            # Written down before it is sent: a kill in between must not lose the Rollout's verdict.
            await self._save(known, status.model_copy(update={"rollout": case.rollout}))
            return Visit(again_at=self.clock())
        if isinstance(case.plan, Send):
            return await self._send(case, case.plan)
        self.secrets.forget(key)
        return await self._save(known, statuses.without_request(status, case.plan, self._moment_of(case)))

    def _case(self, known: Known, spec: DoraDeploymentSpec, status: DoraDeploymentStatus) -> Case:
        rollout = self.board.read(known, status, spec.rollout_ref.name if spec.rollout_ref else None)
        verdict = to_verdict(rollout)
        opinion = opinion_of(verdict) if verdict is not None else None
        override = Override(overrides(spec, opinion), opinion.verdict) if opinion is not None else None
        plan = make_plan(spec, surroundings_of(known, spec, opinion, self.inventory, self.options))
        return Case(known, status, plan, rollout, override)

    async def _send(self, case: Case, plan: Send) -> Visit:
        known = case.known
        step = next_step(plan, case.status, known.generation, self.clock())
        changed = self.secrets.take_change(known.key)
        if isinstance(step, Settled):
            self.secrets.forget(known.key)
            return await self._save(known, statuses.settled(case.status, plan, self._moment_of(case)))
        if isinstance(step, Rest) and not changed:
            self._learn_again(case, plan)
            return await self._save(known, case.status, step.until)
        return await self._attempt(case, plan)

    async def _attempt(self, case: Case, plan: Send) -> Visit:
        known = case.known
        account = account_of(known.key.namespace, plan.target)
        paused_until = self.accounts.paused_until(account, self.clock())
        if paused_until is not None:
            waiting = "this account's rate limit is used up; the request is sent when the next window begins"
            return await self._postpone(case, plan, Standing(Phase.WORKING, Reason.RATE_LIMITED, waiting), paused_until)
        view = await self.accounts.keys(account)
        if isinstance(view.keys, NoKeys):
            self._wait_for_secret(known.key, account, view.resource_version)
            until = self.clock() + timedelta(seconds=self.options.retry_policy.slowly)
            return await self._postpone(case, plan, Standing(Phase.WORKING, view.keys.reason, view.keys.message), until)
        if self.inventory.get(known.key) is not known:
            return Visit(again_at=self.clock())  # changed while the Secret was read: decide again
        lane = send_lane(plan.target)
        if not self.lanes.enter(lane, known.key):
            return Visit()  # woken when the lane is free
        try:
            outcome = await self._ask(plan, account, view.keys)
        finally:
            wake = frozenset(self.lanes.leave(lane))
        after = statuses.with_outcome(case.status, plan, outcome, self._moment_of(case))
        self._learn(known.key, account, view.resource_version, outcome, after)
        return await self._save(known, after, after.next_attempt_time, wake)

    async def _ask(self, plan: Send, account: Account, keys: Keys) -> Outcome:
        answer = await self.datadog.patch(plan.request, Site(account.site), keys)
        return classify(answer, self.clock())

    def _learn(
        self, key: ObjectKey, account: Account, version: str, outcome: Outcome, after: DoraDeploymentStatus
    ) -> None:
        """Take from an answer what concerns others too: a pause of the account, a Secret that did not help."""
        if not isinstance(outcome, TryAgain):
            self.secrets.forget(key)
        elif outcome.pace is Pace.AT_RESET and after.next_attempt_time is not None:
            self.accounts.pause(account, after.next_attempt_time)
        elif outcome.reason in CREDENTIAL_REASONS:
            self._wait_for_secret(key, account, version)

    def _learn_again(self, case: Case, plan: Send) -> None:
        """After a restart, take from the status what was only in memory."""
        ready, until = case.status.condition(ConditionType.READY), case.status.next_attempt_time
        account = account_of(case.known.key.namespace, plan.target)
        if ready is None or until is None:
            return
        if ready.reason == Reason.RATE_LIMITED:
            self.accounts.pause(account, until)
        elif ready.reason in CREDENTIAL_REASONS:
            self._wait_for_secret(case.known.key, account, None)

    def _wait_for_secret(self, key: ObjectKey, account: Account, version: str | None) -> None:
        if account.secret is not None:
            self.secrets.wait_for_change(account.secret, version, key)

    async def _postpone(self, case: Case, plan: Send, standing: Standing, until: datetime) -> Visit:
        after = statuses.postponed(case.status, plan, standing, until, self._moment_of(case))
        return await self._save(case.known, after, until)

    async def _save(
        self,
        known: Known,
        status: DoraDeploymentStatus,
        again_at: datetime | None = None,
        wake: frozenset[ObjectKey] = frozenset(),
    ) -> Visit:
        try:
            spec_changed = await self.writer.save(known, status)
        except ClusterUnavailableError as error:
            raise SaveFailedError(wake) from error
        return Visit(self.clock() if spec_changed else again_at, wake)

    def _moment(self, known: Known) -> Moment:
        return Moment(known.generation, self.clock(), self.options.retry_policy, self.random())

    def _moment_of(self, case: Case) -> Moment:
        policy = self.options.retry_policy
        return Moment(case.known.generation, self.clock(), policy, self.random(), case.rollout, case.override)
