"""Gathers everything that is decided about one DoraDeployment, and decides it. Writes and sends nothing."""

from dataclasses import dataclass, replace

from dora_operator.domain.allowed import Allowed, allowed_in
from dora_operator.domain.conditions import Override
from dora_operator.domain.due import forgotten, overwrites, taken_over, without_what_was_overwritten
from dora_operator.domain.observed import DoraDeploymentStatus, RolloutObservation
from dora_operator.domain.plan import Hold, Plan, Send, Surroundings
from dora_operator.domain.planning import make_plan, overrides, target_of
from dora_operator.domain.reasons import Reason
from dora_operator.domain.rollout.follow import opinion_of, to_status, to_verdict
from dora_operator.domain.spec import DoraDeploymentSpec
from dora_operator.inventory import Inventory, Known
from dora_operator.reconcile.board import VerdictBoard
from dora_operator.reconcile.handover import forerunner_of
from dora_operator.reconcile.namespaces import Namespaces
from dora_operator.reconcile.surroundings import Options, is_active, same_deployment, surroundings_of
from dora_operator.reconcile.writer import read_status


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that was gathered and decided about one DoraDeployment."""

    known: Known
    status: DoraDeploymentStatus
    """What is known of what happened, without what others have overwritten since."""
    plan: Plan
    rollout: RolloutObservation | None
    override: Override | None


@dataclass(frozen=True, slots=True)
class Cases:
    """Makes cases of what is known."""

    inventory: Inventory
    namespaces: Namespaces
    board: VerdictBoard
    options: Options

    async def case(self, known: Known, spec: DoraDeploymentSpec) -> Case | None:
        """Return the case, or None where the resource has changed meanwhile.

        Raises:
            ClusterUnavailableError: the Namespace could not be read.
        """
        allowed = await self._allowed(known, spec)
        if self.inventory.get(known.key) is not known:
            return None
        status, rollout = self._heard(known, spec)
        others = same_deployment(known, spec, self.inventory, self.options.default_site)
        theirs = [read_status(one.newest_status_json) for one in others]
        around = surroundings_of(known, spec, others, self.inventory, self.options)
        status = without_what_was_overwritten(status, theirs)
        case = _decided(known, spec, status, rollout, replace(around, allowed=allowed))
        is_needed = any(overwrites(case.status, one) for one in theirs)
        leaves_it = _leaves_it_to(case.plan, others, is_needed=is_needed)
        return replace(case, status=forgotten(case.status)) if leaves_it else case

    async def _allowed(self, known: Known, spec: DoraDeploymentSpec) -> Allowed:
        """Who brings keys of its own may mark what these may."""
        if spec.credentials_secret_ref is not None:
            return Allowed()
        return allowed_in(await self.namespaces.annotations(known.key.namespace), self.options.allowed)

    def _heard(self, known: Known, spec: DoraDeploymentSpec) -> tuple[DoraDeploymentStatus, RolloutObservation | None]:
        """Return what is known of the past, and of the Rollout; a record that is there already tells both."""
        status = read_status(known.newest_status_json)
        name = spec.rollout_ref.name if spec.rollout_ref else None
        rollout = self.board.read(known, status, name)
        forerunner = forerunner_of(known, spec, self.inventory)
        if name is None or forerunner is None:
            return status, rollout
        target = target_of(spec, self.options.default_site)
        status = taken_over(status, target, read_status(forerunner.record.newest_status_json))
        return status, rollout or to_status(name, forerunner.verdict)


def _decided(
    known: Known,
    spec: DoraDeploymentSpec,
    status: DoraDeploymentStatus,
    rollout: RolloutObservation | None,
    around: Surroundings,
) -> Case:
    verdict = to_verdict(rollout)
    opinion = opinion_of(verdict) if verdict is not None else None
    override = Override(overrides(spec, opinion), opinion.verdict) if opinion is not None else None
    return Case(known, status, make_plan(spec, replace(around, opinion=opinion)), rollout, override)


def _leaves_it_to(plan: Plan, others: list[Known], *, is_needed: bool) -> bool:
    """Tell whether others may have something else accepted now: while this one says nothing, or loses a conflict.

    What a loser has had accepted is needed until the winner has seen that it was overwritten, and sends again.
    """
    if isinstance(plan, Send):
        return False
    if isinstance(plan, Hold) or plan.reason is Reason.NOT_ALLOWED:
        return any(is_active(one) for one in others)
    return plan.reason is Reason.CONFLICT and not is_needed
