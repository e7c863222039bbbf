"""Stories of a Rollout in words, played by the simulator and watched by an operator that keeps nothing but its history.

deploy 1.1.0 | deploy 1.1.0/b   another version, or another pod template of the same one
skip 1.1.0                      as deploy, but the template is changed again before the controller writes its status
undo 2                          back to the template of revision 2
abort | analysis | retry | promote | scale | annotate
withdraw 1.2.0                  abort, and deploy another version before the abort is carried out
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dora_operator.domain.fields import to_api
from dora_operator.domain.history.advance import advance
from dora_operator.domain.history.history import History, parse
from dora_operator.domain.history.observation import Observation
from dora_operator.domain.history.policy import AbortRecovery, Policy
from dora_operator.domain.history.verdicts import Skipped, Verdict, notes, verdicts
from dora_operator.domain.sources.rollout import observation_of
from tests.unit.history.simulator import Simulator, Template
from tests.unit.history.truth import Mark

LINKED = Policy(abort_recovery=AbortRecovery.NEXT_VERSION)
"""Links aborts too, so that the tests see every kind of ending."""


@dataclass
class Watcher:
    """Observes, and keeps the history as Kubernetes keeps it: every step is a restart."""

    policy: Policy = LINKED
    history: History | None = None
    shown: list[Skipped] = field(default_factory=list)
    ever: set[int] = field(default_factory=set)
    """Numbers of the revisions that were ever marked."""
    asked: list[tuple[str, bool, str]] = field(default_factory=list)
    """Version or id, failure, link in words: each change, in order."""
    writes: int = 0

    def see(self, observation: Observation, now: datetime) -> None:
        """Advance the history by one observation."""
        after = advance(self.history, observation, now, self.policy)
        if after is self.history:
            return
        self.shown += notes(self.history, after)
        self.writes += bool(after.revisions)
        before = {_name(verdict): verdict for verdict in self.verdicts}
        self.history = parse(json.loads(json.dumps(to_api(after))))
        assert self.history == after
        changes = [(_name(v), _asked(v)) for v in self.verdicts]
        for name, request in sorted(changes, key=lambda change: not change[1][1]):
            was = before.get(name)
            if (was is None and request[1]) or (was is not None and _asked(was) != request):
                self.asked.append(request)
        self.ever |= {verdict.revision for verdict in self.verdicts if verdict.change_failure}

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What Datadog should know."""
        return verdicts(self.history, self.policy) if self.history is not None else ()

    @property
    def marks(self) -> dict[int, Mark]:
        """The verdicts in the words of the truth, without aborts that were taken back."""
        known = [v for v in self.verdicts if v.change_failure or v.time is not None]
        return {v.revision: (v.verdict.value, _asked(v)[2]) for v in known}


@dataclass
class Stage:
    """One Rollout with its controller, and a watcher that sees what `after_write` shows it."""

    simulator: Simulator = field(default_factory=Simulator)
    watcher: Watcher = field(default_factory=Watcher)
    after_write: Callable[["Stage"], None] = lambda stage: stage.show()

    def __post_init__(self) -> None:
        self._run(self.simulator.start())

    def show(self, chance: random.Random | None = None) -> None:
        """Let the watcher see the objects as they are, the ReplicaSets in any order."""
        replica_sets = self.simulator.replica_sets()
        if chance is not None:
            chance.shuffle(replica_sets)
        self.watcher.see(observation_of(self.simulator.rollout(), replica_sets), self.simulator.clock)

    def play(self, action: str) -> None:
        """Play one line of a story."""
        word, _, argument = action.partition(" ")
        if word not in {"deploy", "skip", "undo"}:
            self._run(self.simulator.settle())
        match word:
            case "deploy" | "skip":
                self._run(self.simulator.deploy(_template(argument), is_settled=word == "deploy"))
            case "undo":
                self._run(self.simulator.undo(int(argument)))
            case "analysis":
                self._run(self.simulator.abort(by_hand=False))
            case "withdraw":
                self._run(self.simulator.abort_and_replace(_template(argument)))
            case _:
                self._run(getattr(self.simulator, word)())

    def _run(self, writes: Iterator[None]) -> None:
        for _ in writes:
            self.after_write(self)


def played(*story: str, **fields: Any) -> Stage:
    """Return a stage after a story."""
    stage = Stage(**fields)
    for action in story:
        stage.play(action)
    return stage


def _template(argument: str) -> Template:
    version, _, variant = argument.partition("/")
    return version, variant or "a"


def _name(verdict: Verdict) -> tuple[int, str]:
    return verdict.revision, verdict.pod_template_hash


def _asked(verdict: Verdict) -> tuple[str, bool, str]:
    link = verdict.remediation
    words = f"{link.type.value} {link.id or link.version}" if link else ""
    return verdict.deployment_id or verdict.version or "", verdict.change_failure, words
