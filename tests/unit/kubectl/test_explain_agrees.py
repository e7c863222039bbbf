"""`explain` says what the operator did: at every prefix of every recorded trace, and of generated histories."""

import json
from collections.abc import Iterable
from datetime import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dora_operator.domain.resource import DoraDeployment, parse
from dora_operator.domain.rollout.verdict import Decision, Verdict
from dora_operator.kubectl.explain import RolloutExplained, explain_rollout
from dora_operator.kubectl.facts import RolloutFacts, WhyNot
from tests.unit.rollout.operator_stand_in import NOW, Levels, Operator
from tests.unit.rollout.stories import Stage, reconciles
from tests.unit.rollout.test_traces import EVERY_TRACE, EXPECTED, trace


def deployments_of(manifests: Iterable[str]) -> tuple[DoraDeployment, ...]:
    """Return the records as an API server would have stored them."""
    bodies = [json.loads(manifest) for manifest in manifests]
    stored = {"uid": "a", "resourceVersion": "1", "generation": 1, "creationTimestamp": "2026-11-23T03:00:00Z"}
    return tuple(parse(body | {"metadata": stored | body["metadata"]}) for body in bodies)


def explained(levels: Levels, operator: Operator, now: datetime = NOW) -> RolloutExplained:
    """Explain the Rollout as it is now, with what the operator has recorded."""
    facts = RolloutFacts(
        rollout=levels.rollout,
        replica_sets=tuple(levels.replica_sets.values()),
        deployments=deployments_of(operator.manifests.values()),
        operator="dora-operator/dora-operator",
    )
    return explain_rollout(facts, now)


def assert_agrees(explanation: RolloutExplained, decision: Decision, records: list[Verdict]) -> None:
    """Each revision is explained by the verdict that is on record, and the others by a reason."""
    verdicts = {each.revision: each.verdict for each in explanation.revisions if each.verdict is not None}
    own = [each for each in records if each.name == explanation.name]
    visible = {each.revision for each in explanation.revisions}
    assert verdicts == {each.revision: each for each in decision.verdicts if each.revision in visible}
    assert list(verdicts.values()) == [each for each in verdicts.values() if each in own]
    for each in explanation.revisions:
        assert (each.verdict is None) != (each.why_not is None)
        assert each.is_recorded == (each.verdict is not None)
    reasons = {(each.revision, each.why_not.reason.value) for each in explanation.revisions if each.why_not}
    for skipped in decision.skipped:
        assert (skipped.revision, skipped.reason.value) in reasons


@EVERY_TRACE
def test_every_prefix_of_a_trace_is_explained_as_the_operator_decided(name: str) -> None:
    """After each line, with and without the operator's memory, the explanation is the operator's decision."""
    levels, operator = Levels(), Operator()
    for line in trace(name):
        levels.apply(line)
        decision = operator.reconcile(levels)
        if levels.rollout:
            assert_agrees(explained(levels, operator), decision, operator.records)


@EVERY_TRACE
def test_an_explanation_shows_each_mark_with_its_resource(name: str) -> None:
    """At the end, what was asked of Datadog last is in the explanation, with the resource that asked for it."""
    levels, operator = Levels(), Operator()
    for line in trace(name):
        levels.apply(line)
        operator.reconcile(levels)
    found = [each for each in explained(levels, operator).revisions if each.verdict is not None]
    assert len(found) == len({asked[0] for asked in EXPECTED[name]})
    for each in found:
        (resource,) = each.resources
        assert resource.made_by == "operator"
        assert resource.request is not None
        assert json.loads(resource.request.body)["data"]["attributes"]["change_failure"] is EXPECTED[name][-1][1]


ACTIONS = st.sampled_from(
    ["deploy 1.1.0", "deploy 1.2.0", "deploy 1.1.0/b", "undo 1", "undo 2", "abort", "retry", "promote", "scale"]
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ACTIONS, min_size=1, max_size=7))
def test_generated_histories_are_explained_as_the_operator_decided(actions: list[str]) -> None:
    """After each write of a simulated controller, the explanation shows what is on record."""

    def check(stage: Stage) -> None:
        reconciles(stage)
        explanation = explained(stage.simulator.levels, stage.operator, stage.simulator.clock)
        records = {each.revision: each for each in stage.operator.records}
        for each in explanation.revisions:
            if each.verdict is not None and each.is_recorded:
                assert each.verdict == records[each.revision]
            assert each.verdict is not None or each.why_not is not None

    stage = Stage(after_write=check)
    for action in actions:
        try:
            stage.play(action)
        except (StopIteration, KeyError):
            return


@pytest.mark.parametrize(
    ("name", "revision", "reason"),
    [
        pytest.param("canary-promoted", 2, WhyNot.SUCCEEDED, id="a promoted revision"),
        pytest.param("superseded-in-flight", 2, WhyNot.UNKNOWN_END, id="a revision that was replaced, long ago"),
        pytest.param("initial-revision-abort", 1, WhyNot.FIRST_REVISION, id="the first revision"),
        pytest.param("version-label-missing", 2, WhyNot.NOT_IDENTIFIED, id="a revision without a version label"),
        pytest.param("progress-deadline-degraded-without-abort", 2, WhyNot.NOT_ABORTED, id="degraded, not aborted"),
    ],
)
def test_a_revision_without_a_mark_says_why(name: str, revision: int, reason: WhyNot) -> None:
    """The reason is the one that the trace's name says."""
    levels, operator = Levels(), Operator()
    for line in trace(name):
        levels.apply(line)
        operator.reconcile(levels)
    (found,) = [each for each in explained(levels, operator).revisions if each.revision == revision]
    assert found.why_not is not None
    assert found.why_not.reason is reason


def test_a_revision_that_is_being_replaced_is_superseded() -> None:
    """While the next revision is in flight, the one before it was replaced without being promoted."""
    levels, operator, reasons = Levels(), Operator(), set()
    for line in trace("superseded-in-flight"):
        levels.apply(line)
        operator.reconcile(levels)
        found = explained(levels, operator).revisions if levels.rollout else ()
        reasons |= {each.why_not.reason for each in found if each.why_not and each.revision == 2}
    assert WhyNot.SUPERSEDED in reasons


def test_an_abort_before_the_lookback_says_so() -> None:
    """An old abort that no record is about points to the backfill."""
    levels = Levels()
    for line in trace("canary-manual-abort"):
        levels.apply(line)
    later = NOW.replace(year=2027)
    (found,) = [each for each in explained(levels, Operator(), later).revisions if each.is_current]
    assert found.why_not is not None
    assert found.why_not.reason is WhyNot.LOOKBACK
    assert "backfill" in found.why_not.message
