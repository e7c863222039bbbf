"""Whatever aborts an update leaves the same levels: `abort`, `abortedAt`, `stableRS`; nothing else is read.

The traces have aborts by hand, by analyses and by the deadline. A step plugin needs a program of its own in the
controller, so what it leaves is written here by hand, after `rollout/stepplugin.go` of Argo Rollouts 1.8 to 1.10: a
plugin that fails adds an abort with its own message, and then each plugin that ran before is called to abort.
"""

from typing import Any

import pytest

from dora_operator.domain.rollout.decide import decide
from dora_operator.domain.rollout.verdict import Policy, VerdictKind
from tests.unit.rollout.operator_stand_in import NOW, Levels, observed
from tests.unit.rollout.stories import Stage

ABORTED = "RolloutAborted: Rollout aborted update to revision 2"
RUN_FAILED = {"index": 1, "name": "acme/gate", "operation": "Run", "phase": "Failed", "message": "the gate is shut"}
ABORT_CALLED = [
    {"index": 0, "name": "acme/flags", "operation": "Abort", "phase": "Successful"},
    {"index": 1, "name": "acme/gate", "operation": "Abort", "phase": "Failed", "message": "no route to the gate"},
]


def in_flight() -> Levels:
    """Return a Rollout whose revision 2 is half-way."""
    stage = Stage()
    stage.play("deploy 1.1.0")
    return stage.simulator.levels


@pytest.mark.parametrize(
    ("left", "message"),
    [
        pytest.param(
            {"message": f"{ABORTED}: the gate is shut", "canary": {"stepPluginStatuses": [RUN_FAILED]}},
            "Rollout aborted update to revision 2: the gate is shut",
            id="a step plugin failed",
        ),
        pytest.param(
            {
                "message": f"{ABORTED}: the gate is shut",
                "currentStepIndex": 0,
                "canary": {"stepPluginStatuses": [RUN_FAILED, *ABORT_CALLED]},
            },
            "Rollout aborted update to revision 2: the gate is shut",
            id="a step plugin failed, and another could not even abort",
        ),
        pytest.param(
            {"message": f"{ABORTED}: "}, "Rollout aborted update to revision 2: ", id="a plugin without words"
        ),
        pytest.param(
            {"message": f'{ABORTED}: Experiment "canary" assessed Failed', "canary": {"currentExperiment": "exp-2"}},
            'Rollout aborted update to revision 2: Experiment "canary" assessed Failed',
            id="an experiment failed",
        ),
        pytest.param(
            {"message": "", "duration": {"completionStatus": "Aborted"}}, "", id="a newer Argo, without words"
        ),
    ],
)
def test_an_abort_is_an_abort(left: dict[str, Any], message: str) -> None:
    """Revision 2 is marked, with Argo's own words, whatever else the status has."""
    levels = in_flight()
    before = levels.rollout["status"]
    aborted = {"abort": True, "abortedAt": "2026-11-23T04:00:09Z", "phase": "Degraded"}
    rollout = {**levels.rollout, "status": before | aborted | left}
    decision = decide(observed(rollout, levels.replica_sets.values()), [], Policy(), NOW)
    (verdict,) = decision.changes
    assert (verdict.verdict, verdict.revision, verdict.message or "") == (VerdictKind.ABORTED, 2, message.strip())


def test_a_plugin_that_only_errs_is_no_abort() -> None:
    """Argo calls it again later: phase Error is not Failed, and `abort` stays away."""
    levels = in_flight()
    errs = {"phase": "Progressing", "canary": {"stepPluginStatuses": [RUN_FAILED | {"phase": "Error"}]}}
    rollout = {**levels.rollout, "status": levels.rollout["status"] | errs}
    assert decide(observed(rollout, levels.replica_sets.values()), [], Policy(), NOW).changes == ()
