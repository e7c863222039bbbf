"""The one way from a DoraDeployment to Datadog and back to its status."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from dora_operator.domain import status as statuses
from dora_operator.domain.allowed import Allowed, allowed_in
from dora_operator.domain.conditions import Override, Phase, Standing
from dora_operator.domain.due import Rest, Settled, forgotten, next_step, without_what_was_overwritten
from dora_operator.domain.links import send_lane
from dora_operator.domain.observed import DoraDeploymentStatus, RolloutObservation
from dora_operator.domain.outcome import Answer, Outcome, Pace, TryAgain, classify
from dora_operator.domain.plan import Hold, Plan, Refuse, Send
from dora_operator.domain.planning import make_plan, overrides
from dora_operator.domain.reasons import Reason
from dora_operator.domain.rollout.follow import opinion_of, to_verdict
from dora_operator.domain.sites import Site
from dora_operator.domain.spec import DoraDeploymentSpec
from dora_operator.domain.status import Moment
from dora_operator.inventory import Inventory, Known
from dora_operator.ports import ClusterUnavailableError, DatadogPort, Keys, NoKeys, ObjectKey
from dora_operator.reconcile.accounts import Account, Accounts, Admission, account_of
from dora_operator.reconcile.board import VerdictBoard
from dora_operator.reconcile.lanes import Lanes
from dora_operator.reconcile.lessons import Lessons, is_rate_limited
from dora_operator.reconcile.namespaces import Namespaces
from dora_operator.reconcile.secret_watch import SecretWatch
from dora_operator.reconcile.surroundings import Options, is_active, same_deployment, spec_of, surroundings_of
from dora_operator.reconcile.visit import SaveFailedError, Visit
from dora_operator.reconcile.writer import StatusWriter, read_status

LOOK_AGAIN = timedelta(seconds=60)
"""How often it is looked whether a Namespace allows by now what it did not."""
QUIET_WAIT = timedelta(seconds=5)
"""How long a request may wait for its account before the status says so."""


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
    namespaces: Namespaces
    secrets: SecretWatch
    board: VerdictBoard
    datadog: DatadogPort
    writer: StatusWriter
    options: Options
    clock: Callable[[], datetime]
    random: Callable[[], float]
    lanes: Lanes = field(default_factory=Lanes)
    lessons: Lessons = field(init=False)

    def __post_init__(self) -> None:
        """Be ready to learn."""
        self.lessons = Lessons(self.accounts, self.secrets, self.clock)

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
        others = same_deployment(known, spec, self.inventory, self.options.default_site)
        if others:
            status = without_what_was_overwritten(status, (read_status(one.newest_status_json) for one in others))
        allowed = await self._allowed(known, spec)
        if self.inventory.get(key) is not known:
            return Visit(again_at=self.clock())  # changed while the Namespace was read
        case = self._case(known, spec, status, allowed)
        if _leaves_it_to(case.plan, others):
            case = replace(case, status=forgotten(case.status))
        if case.rollout != status.rollout and known.verdict_json is None:
            # Written down before it is sent: a kill in between must not lose the Rollout's verdict.
            await self._save(known, status.model_copy(update={"rollout": case.rollout}))
            return Visit(again_at=self.clock())
        if isinstance(case.plan, Send):
            return await self._send(case, case.plan)
        self.secrets.forget(key)
        # Namespaces are not watched: one that allows more by now is noticed with the next look.
        again = self.clock() + LOOK_AGAIN if case.plan.reason is Reason.NOT_ALLOWED else None
        return await self._save(known, statuses.without_request(case.status, case.plan, self._moment_of(case)), again)

    async def _allowed(self, known: Known, spec: DoraDeploymentSpec) -> Allowed:
        """Who brings keys of its own may mark what these may."""
        if spec.credentials_secret_ref is not None:
            return Allowed()
        return allowed_in(await self.namespaces.annotations(known.key.namespace), self.options.allowed)

    def _case(self, known: Known, spec: DoraDeploymentSpec, status: DoraDeploymentStatus, allowed: Allowed) -> Case:
        rollout = self.board.read(known, status, spec.rollout_ref.name if spec.rollout_ref else None)
        verdict = to_verdict(rollout)
        opinion = opinion_of(verdict) if verdict is not None else None
        override = Override(overrides(spec, opinion), opinion.verdict) if opinion is not None else None
        plan = make_plan(spec, surroundings_of(known, spec, opinion, self.inventory, self.options, allowed))
        return Case(known, status, plan, rollout, override)

    async def _send(self, case: Case, plan: Send) -> Visit:
        known = case.known
        step = next_step(plan, case.status, known.generation, self.clock())
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
        known = case.known
        account = account_of(known.key.namespace, plan.target)
        admission = self.accounts.admission(account, self.clock())
        if not admission.count:
            return await self._park(case, plan, account, admission)
        view = await self.accounts.keys(account)
        if isinstance(view.keys, NoKeys):
            self.lessons.wait_for_secret(known.key, account, view.resource_version)
            until = self.clock() + timedelta(seconds=self.options.retry_policy.slowly)
            return await self._postpone(case, plan, Standing(Phase.WORKING, view.keys.reason, view.keys.message), until)
        if self.inventory.get(known.key) is not known:
            return Visit(again_at=self.clock())  # changed while the Secret was read: decide again
        if not self.accounts.admission(account, self.clock()).count:
            return Visit(room=account)  # used up while the Secret was read
        lane = send_lane(plan.target)
        if not self.lanes.enter(lane, known.key):
            return Visit()  # woken when the lane is free
        try:
            outcome = await self._ask(plan, account, view.keys)
        finally:
            wake = frozenset(self.lanes.leave(lane))
        after = statuses.with_outcome(case.status, plan, outcome, self._moment_of(case))
        self.lessons.from_answer(known.key, account, view.resource_version, outcome, after)
        room = account if isinstance(outcome, TryAgain) and outcome.pace is Pace.AT_RESET else None
        return await self._save(known, after, after.next_attempt_time, wake, room)

    async def _park(self, case: Case, plan: Send, account: Account, admission: Admission) -> Visit:
        """Wait for the account's turn. A wait that people would notice is said in the status, once."""
        opens_at = admission.opens_at
        is_long = opens_at is not None and opens_at - self.clock() > QUIET_WAIT
        said = is_rate_limited(case.status) and case.status.desired == plan.request.state
        if is_long and not said:
            waiting = "this account's rate limit is used up; the request is sent when a later window has room for it"
            standing = Standing(Phase.WORKING, Reason.RATE_LIMITED, waiting)
            return await self._postpone(case, plan, standing, opens_at, account)
        return Visit(room=account)

    async def _ask(self, plan: Send, account: Account, keys: Keys) -> Outcome:
        self.accounts.begin(account)
        headers: Mapping[str, str] = {}
        try:
            answer = await self.datadog.patch(plan.request, Site(account.site), keys)
            headers = answer.headers if isinstance(answer, Answer) else {}
        finally:
            self.accounts.end(account, headers, self.clock())
        return classify(answer, self.clock())

    async def _postpone(
        self, case: Case, plan: Send, standing: Standing, until: datetime | None, room: Account | None = None
    ) -> Visit:
        after = statuses.postponed(case.status, plan, standing, until, self._moment_of(case))
        return await self._save(case.known, after, until, room=room)

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
        same = (before.desired, before.accepted) == (after.desired, after.accepted)
        return frozenset() if same else linked

    def _moment(self, known: Known) -> Moment:
        return Moment(known.generation, self.clock(), self.options.retry_policy, self.random())

    def _moment_of(self, case: Case) -> Moment:
        policy = self.options.retry_policy
        return Moment(case.known.generation, self.clock(), policy, self.random(), case.rollout, case.override)


def _leaves_it_to(plan: Plan, others: list[Known]) -> bool:
    """Tell whether others may have something else accepted now: by holding back, or by losing a conflict."""
    if isinstance(plan, Hold):
        return any(is_active(one) for one in others)
    return isinstance(plan, Refuse) and plan.reason is Reason.CONFLICT
