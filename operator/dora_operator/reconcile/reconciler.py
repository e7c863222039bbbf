"""The one way from a DoraDeployment to Datadog and back to its status."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dora_operator.domain import status as statuses
from dora_operator.domain.conditions import Phase, Standing
from dora_operator.domain.due import Rest, Settled, next_step
from dora_operator.domain.links import send_lane
from dora_operator.domain.observed import ConditionType, DoraDeploymentStatus
from dora_operator.domain.outcome import Outcome, Pace, TryAgain, classify
from dora_operator.domain.plan import Send
from dora_operator.domain.planning import make_plan
from dora_operator.domain.reasons import CREDENTIAL_REASONS, Reason
from dora_operator.domain.sites import Site
from dora_operator.domain.status import Moment
from dora_operator.inventory import Inventory, Known
from dora_operator.ports import ClusterUnavailableError, DatadogPort, Keys, NoKeys, ObjectKey
from dora_operator.reconcile.accounts import Account, Accounts, account_of
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


@dataclass(slots=True)
class Reconciler:
    """Reconciles one key at a time per key; the caller sees to that."""

    inventory: Inventory
    accounts: Accounts
    secrets: SecretWatch
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
            return Visit()
        status = read_status(known.newest_status_json)
        spec = spec_of(known)
        if spec is None:
            message = "the spec cannot be understood: apply the CRD that belongs to this version of the operator"
            return await self._save(known, statuses.invalid(status, message, self._moment(known)))
        plan = make_plan(spec, surroundings_of(known, spec, self.inventory, self.options))
        if not isinstance(plan, Send):
            self.secrets.forget(key)
            return await self._save(known, statuses.without_request(status, plan, self._moment(known)))
        return await self._send(known, plan, status)

    async def _send(self, known: Known, plan: Send, status: DoraDeploymentStatus) -> Visit:
        step = next_step(plan, status, known.generation, self.clock())
        changed = self.secrets.take_change(known.key)
        if isinstance(step, Settled):
            self.secrets.forget(known.key)
            return await self._save(known, statuses.settled(status, plan, self._moment(known)))
        if isinstance(step, Rest) and not changed:
            self._rest(known, plan, status)
            return await self._save(known, status, step.until)
        return await self._attempt(known, plan, status)

    async def _attempt(self, known: Known, plan: Send, status: DoraDeploymentStatus) -> Visit:
        account = account_of(known.key.namespace, plan.target)
        paused_until = self.accounts.paused_until(account, self.clock())
        if paused_until is not None:
            waiting = "this account's rate limit is used up; the request is sent when the next window begins"
            standing = Standing(Phase.WORKING, Reason.RATE_LIMITED, waiting)
            return await self._postpone(known, plan, status, standing, paused_until)
        view = await self.accounts.keys(account)
        if isinstance(view.keys, NoKeys):
            self._wait_for_secret(known.key, account, view.resource_version)
            standing = Standing(Phase.WORKING, view.keys.reason, view.keys.message)
            until = self.clock() + timedelta(seconds=self.options.retry_policy.slowly)
            return await self._postpone(known, plan, status, standing, until)
        if self.inventory.get(known.key) is not known:
            return Visit(again_at=self.clock())  # changed while the Secret was read: decide again
        lane = send_lane(plan.target)
        if not self.lanes.enter(lane, known.key):
            return Visit()  # woken when the lane is free
        try:
            outcome = await self._ask(plan, account, view.keys)
        finally:
            wake = frozenset(self.lanes.leave(lane))
        moment = self._moment(known)
        after = statuses.with_outcome(status, plan, outcome, moment)
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

    def _rest(self, known: Known, plan: Send, status: DoraDeploymentStatus) -> None:
        """After a restart, learn again from the status what was only in memory."""
        ready = status.condition(ConditionType.READY)
        account = account_of(known.key.namespace, plan.target)
        if ready is None or status.next_attempt_time is None:
            return
        if ready.reason == Reason.RATE_LIMITED:
            self.accounts.pause(account, status.next_attempt_time)
        elif ready.reason in CREDENTIAL_REASONS:
            self._wait_for_secret(known.key, account, None)

    def _wait_for_secret(self, key: ObjectKey, account: Account, version: str | None) -> None:
        if account.secret is not None:
            self.secrets.wait_for_change(account.secret, version, key)

    async def _postpone(
        self, known: Known, plan: Send, status: DoraDeploymentStatus, standing: Standing, until: datetime
    ) -> Visit:
        after = statuses.postponed(status, plan, standing, until, self._moment(known))
        return await self._save(known, after, until)

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
