"""Stories of a Rollout in words, played by the simulator for the operator, and by the model beside it.

deploy 1.1.0 | deploy 1.1.0/b   another pod template, or another configuration of the same version
undo 2                          back to the template of revision 2
abort | analysis | retry | promote | scale | annotate | collect | recreate
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dora_operator.domain.rollout.observation import Observation
from dora_operator.domain.rollout.verdict import Policy, RetrySuccess, RollbackMarks
from tests.unit.rollout.model import Model
from tests.unit.rollout.operator_stand_in import LINKED, Operator, observed
from tests.unit.rollout.simulator import Simulator, Template, hash_of

FIRST = "1.0.0"

AfterWrite = Callable[["Stage"], None]


def reconciles(stage: "Stage") -> None:
    """Let the operator decide after every write."""
    stage.operator.reconcile(stage.simulator.levels, stage.simulator.clock)


@dataclass
class Stage:
    """One Rollout with its controller, its operator and the model that knows what should be asked."""

    policy: Policy = LINKED
    after_write: AfterWrite = reconciles
    simulator: Simulator = field(default_factory=Simulator)
    operator: Operator = field(default_factory=Operator)
    model: Model = field(default_factory=Model)

    def __post_init__(self) -> None:
        self.operator.policy = self.policy
        self._copy_policy()
        self._run(self.simulator.start())
        self.model.starts(1, FIRST, is_stable=True)

    def play(self, action: str) -> None:
        """Play one line of a story."""
        word, _, argument = action.partition(" ")
        match word:
            case "deploy":
                self._deploy(_template(argument))
            case "undo":
                self._deploy(self._template_of(int(argument)))
            case "abort" | "analysis":
                if self._can_go_on():
                    self.model.aborts()
                self._run(self.simulator.abort(by_hand=word == "abort"))
            case "promote":
                if self._can_go_on():
                    self.model.promoted()
                self._run(self.simulator.promote())
            case "recreate":
                self._recreate()
            case _:
                self._run(getattr(self.simulator, word)())

    def _can_go_on(self) -> bool:
        return self.simulator.is_in_flight and not self.simulator.is_aborted

    def _deploy(self, template: Template) -> None:
        # A version without any ReplicaSet left is new to the levels: no decision can know better.
        if template != self.simulator.template and template[0] not in self.simulator.collected:
            is_stable = hash_of(template) == self.simulator.status["stableRS"]
            self.model.starts(self.simulator.newest + 1, template[0], is_stable=is_stable)
            self._run(self.simulator.deploy(template))

    def _recreate(self) -> None:
        self._run(self.simulator.start())
        self.model = Model(asked=self.model.asked, aborted=self.model.aborted)
        self._copy_policy()
        self.model.starts(1, self.simulator.template[0], is_stable=True)

    def _copy_policy(self) -> None:
        self.model.marks_replaced = self.policy.rollback_marks is RollbackMarks.REPLACED
        self.model.keeps_marks = self.policy.retry_success is RetrySuccess.KEEP

    def _template_of(self, number: int) -> Template:
        """Return the template of a revision, or of the nearest that still exists."""
        numbers = {each: template for template, known in self.simulator.numbers.items() for each in known}
        return numbers[min(numbers, key=lambda each: abs(each - number))]

    def _run(self, writes: Iterator[None]) -> None:
        for _ in writes:
            self.after_write(self)


def played(*story: str, **fields: Any) -> Stage:
    """Return a stage after a story."""
    stage = Stage(**fields)
    for action in story:
        stage.play(action)
    return stage


def observation_of(stage: Stage) -> Observation:
    """Return what the API server has."""
    levels = stage.simulator.levels
    return observed(levels.rollout, levels.replica_sets.values())


def _template(argument: str) -> Template:
    version, _, variant = argument.partition("/")
    return version, variant or "a"
