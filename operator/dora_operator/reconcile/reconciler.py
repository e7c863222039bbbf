"""The one way from a DoraDeployment to Datadog and back to its status."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dora_operator.domain import status as statuses
from dora_operator.domain.conditions import Phase, Standing
from dora_operator.domain.due import Rest, Settled, next_step, reason_of
from dora_operator.domain.object_key import ObjectKey
from dora_operator.domain.observed import DoraDeploymentStatus
from dora_operator.domain.outcome import Pace, TryAgain
from dora_operator.domain.plan import Send
from dora_operator.domain.reasons import Reason
from dora_operator.domain.status import Moment
from dora_operator.inventory import Inventory, Known
from dora_operator.ports import ClusterUnavailableError
from dora_operator.reconcile.accounts import Account, account_of
from dora_operator.reconcile.board import VerdictBoard
from dora_operator.reconcile.cases import Case, Cases
from dora_operator.reconcile.handover import heir_of
from dora_operator.reconcile.lessons import Lessons, is_rate_limited
from dora_operator.reconcile.secret_watch import SecretWatch
from dora_operator.reconcile.sending import Asked, Behind, Full, Keyless, Outdated, Sender
from dora_operator.reconcile.surroundings import Options, spec_of
from dora_operator.reconcile.visit import SaveFailedError, Visit
from dora_operator.reconcile.writer import StatusWriter, read_status

LOOK_AGAIN = timedelta(seconds=60)
"""How often it is looked whether a Namespace allows by now what it did not."""
QUIET_WAIT = timedelta(seconds=5)
"""How long a request may wait for its account before the status says so."""


@dataclass(slots=True)
class Reconciler:
    """Reconciles one key at a time per key; the caller sees to that."""

    inventory: Inventory
    cases: Cases
    sender: Sender
    secrets: SecretWatch
    board: VerdictBoard
    writer: StatusWriter
    options: Options
    clock: Callable[[], datetime]
    random: Callable[[], float]
    lessons: Lessons = field(init=False)

    def __post_init__(self) -> None:
        """Be ready to learn."""
        self.lessons = Lessons(self.sender.accounts, self.secrets, self.clock, self.options.retry_policy)

    async def reconcile(self, key: ObjectKey) -> Visit:
        """Bring Datadog and the status of one DoraDeployment up to date with its spec.

        Raises:
            ClusterUnavailableError: the API server has to be asked again; nothing is lost.
        """
        known = self.inventory.get(key)
        if known is None or await self._has_given_way(known):
            self.secrets.forget(key)
            self.board.forget(key)
            return Visit()
        spec = spec_of(known)
        if spec is None:
            message = "the spec cannot be understood: apply the CRD that belongs to this version of the operator"
            status = statuses.invalid(read_status(known.newest_status_json), message, self._moment(known))
            return await self._save(known, status)
        case = await self.cases.case(known, spec)
        if case is None:
            return Visit(again_at=self.clock())
        if case.rollout != case.status.rollout and known.verdict_json is None:
            # Written down before it is sent: a kill in between must not lose the Rollout's verdict.
            await self._save(known, case.status.model_copy(update={"rollout": case.rollout}))
            return Visit(again_at=self.clock())
        if isinstance(case.plan, Send):
            return await self._send(case, case.plan)
        self.secrets.forget(key)
        # Namespaces are not watched: one that allows more by now is noticed with the next look.
        again = self.clock() + LOOK_AGAIN if case.plan.reason is Reason.NOT_ALLOWED else None
        return await self._save(known, statuses.without_request(case.status, case.plan, self._moment_of(case)), again)

    async def _has_given_way(self, known: Known) -> bool:
        """Let a record rest of which a user's DoraDeployment speaks by now: two would send about one deployment."""
        if known.verdict_json is None or heir_of(known, self.inventory) is None:
            return False
        if self.options.keeps_records:
            await self.writer.retire(known)
        return True

    async def _send(self, case: Case, plan: Send) -> Visit:
        known = case.known
        step = next_step(plan, case.status, known.generation, self.clock(), self.options.retry_policy)
        changed = self.secrets.take_change(known.key)
        if isinstance(step, Settled):
            self.secrets.forget(known.key)
            return await self._save(known, statuses.settled(case.status, plan, self._moment_of(case)))
        if isinstance(step, Rest) and not changed:
            account = account_of(known.key.namespace, plan.target)
            self.lessons.from_status(known.key, case.status, account)
            return await self._save(
                known, case.status, step.until, room=account if is_rate_limited(case.status) else None
            )
        return await self._attempt(case, plan)

    async def _attempt(self, case: Case, plan: Send) -> Visit:
        account = account_of(case.known.key.namespace, plan.target)
        match await self.sender.send(case.known, plan):
            case Asked() as asked:
                return await self._write_down(case, plan, asked, account)
            case Keyless(keys, version):
                self.lessons.wait_for_secret(case.known.key, account, version)
                until = self.clock() + timedelta(seconds=self.options.retry_policy.slowly)
                standing = Standing(Phase.WORKING, keys.reason, keys.message)
                after = statuses.postponed(case.status, plan, standing, until, self._moment_of(case))
                return await self._save(case.known, after, until)
            case Full() as full:
                return await self._park(case, plan, account, full)
            case Outdated(wake):
                return Visit(self.clock(), wake)
            case Behind():
                return Visit()

    async def _write_down(self, case: Case, plan: Send, asked: Asked, account: Account) -> Visit:
        outcome = asked.outcome
        after = statuses.with_outcome(case.status, plan, outcome, self._moment_of(case))
        self.lessons.from_answer(case.known.key, account, asked.secret_version, outcome, after)
        room = account if isinstance(outcome, TryAgain) and outcome.pace is Pace.AT_RESET else None
        return await self._save(case.known, after, after.next_attempt_time, asked.wake, room)

    async def _park(self, case: Case, plan: Send, account: Account, full: Full) -> Visit:
        """Wait for the account's turn. A wait that people would notice is said in the status, once."""
        opens_at = full.admission.opens_at
        is_long = opens_at is not None and opens_at - self.clock() > QUIET_WAIT
        said = is_rate_limited(case.status) and case.status.desired == plan.request.state
        if is_long and not said:
            waiting = "this account's rate limit is used up; the request is sent when a later window has room for it"
            standing = Standing(Phase.WORKING, Reason.RATE_LIMITED, waiting)
            after = statuses.postponed(case.status, plan, standing, opens_at, self._moment_of(case))
            return await self._save(case.known, after, opens_at, full.wake, account)
        return Visit(wake=full.wake, room=account)

    async def _save(
        self,
        known: Known,
        status: DoraDeploymentStatus,
        again_at: datetime | None = None,
        wake: frozenset[ObjectKey] = frozenset(),
        room: Account | None = None,
    ) -> Visit:
        wake |= self._concerned(known, status)
        try:
            spec_changed = await self.writer.save(known, status)
        except ClusterUnavailableError as error:
            raise SaveFailedError(wake) from error
        if spec_changed:
            return Visit(self.clock(), wake)
        return Visit(None, wake, room) if room else Visit(again_at, wake)

    def _concerned(self, known: Known, after: DoraDeploymentStatus) -> frozenset[ObjectKey]:
        """Name who has to look again because this resource wants, or has had accepted, something else than before."""
        linked = frozenset(key for link in known.links for key in self.inventory.linked(link)) - {known.key}
        if not linked:
            return linked
        before = read_status(known.newest_status_json)
        return frozenset() if _means(before) == _means(after) else linked

    def _moment(self, known: Known) -> Moment:
        return Moment(known.generation, self.clock(), self.options.retry_policy, self.random())

    def _moment_of(self, case: Case) -> Moment:
        policy = self.options.retry_policy
        return Moment(case.known.generation, self.clock(), policy, self.random(), case.rollout, case.override)


def _means(status: DoraDeploymentStatus) -> tuple[object, ...]:
    """Return what others decide from; who is not allowed is no rival."""
    return status.desired, status.accepted, reason_of(status) == Reason.NOT_ALLOWED
