"""`explain` says what the history says: at every prefix of every recorded trace, and of generated stories."""

import asyncio
import json
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dora_operator.domain.history.history import History
from dora_operator.domain.history.verdicts import verdicts
from dora_operator.domain.records import record_manifest
from dora_operator.domain.sources.rollout import observation_of
from kubectl_dora import planning
from kubectl_dora.explain import RolloutExplained, explain_rollout
from kubectl_dora.facts import RolloutFacts, WhyNot
from tests.unit.history.simulator import NOW
from tests.unit.history.stories import Watcher, played
from tests.unit.history.test_traces import EVERY_TRACE, EXPECTED, Levels, replay, trace
from tests.unit.kubectl.levels import SETTINGS, facts_of, levels_of

STORED = {"uid": "a", "resourceVersion": "1", "generation": 1, "creationTimestamp": "2026-11-23T03:00:00Z"}


def assert_complete(explanation: RolloutExplained, history: History) -> None:
    """Each revision of the history is explained, by the verdict that follows from it or by a reason."""
    assert [r.revision for r in reversed(explanation.revisions)] == list(history.revisions)
    shown = [r.verdict for r in reversed(explanation.revisions) if r.verdict is not None]
    assert shown == list(verdicts(history, SETTINGS.rollout_policy))
    assert all((r.verdict is None) != (r.why_not is None) for r in explanation.revisions)


@EVERY_TRACE
def test_every_prefix_of_a_trace_is_explained_by_its_history(name: str) -> None:
    """After each line, as the operator has written it."""
    levels, watcher = Levels(), Watcher()
    for line in trace(name):
        levels.apply(line)
        if levels.rollout:
            watcher.see(observation_of(levels.rollout, levels.replica_sets.values()), NOW)
        if watcher.history is not None:
            assert_complete(explain_rollout(facts_of(levels, watcher.history), NOW), watcher.history)


@EVERY_TRACE
def test_a_mark_is_shown_with_the_resource_that_carries_it(name: str) -> None:
    """With the request that was asked of Datadog last."""
    levels, history = levels_of(name), replay(trace(name)).history
    assert history is not None
    found = verdicts(history, SETTINGS.rollout_policy)
    manifests = [record_manifest("shop", verdict) for verdict in found]
    store = planning.store_of(
        (manifest | {"metadata": STORED | manifest["metadata"]} for manifest in manifests), SETTINGS
    )
    keys = [deployment.key for deployment in store]
    contexts = asyncio.run(planning.contexts_of(keys, store, [history], {}, SETTINGS))
    facts = facts_of(levels, history, store)
    with_contexts = RolloutFacts(
        facts.rollout, SETTINGS, facts.replica_sets, history, facts.deployments, contexts, operator="o"
    )
    explained = [r for r in explain_rollout(with_contexts, NOW).revisions if r.verdict is not None]
    assert len(explained) == len({asked[0] for asked in EXPECTED[name]})
    for revision in explained:
        (resource,) = revision.resources
        assert resource.made_by == "operator"
        assert resource.request is not None
        assert json.loads(resource.request.body)["data"]["attributes"]["change_failure"] is EXPECTED[name][-1][1]


ACTIONS = st.sampled_from(
    ["deploy 1.1.0", "deploy 1.2.0", "deploy 1.1.0/b", "undo 1", "undo 2", "abort", "retry", "promote", "scale"]
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ACTIONS, min_size=1, max_size=7))
def test_generated_stories_are_explained(actions: list[str]) -> None:
    """Whatever happens to a Rollout."""
    try:
        stage = played(*actions)
    except (StopIteration, KeyError):
        return
    history = stage.watcher.history
    if history is not None:
        replica_sets = {body["metadata"]["uid"]: body for body in stage.simulator.replica_sets()}
        levels = Levels(stage.simulator.rollout(), replica_sets)
        assert_complete(explain_rollout(facts_of(levels, history), NOW), history)


@pytest.mark.parametrize(
    ("name", "revision", "reason"),
    [
        pytest.param("canary-promoted", 2, WhyNot.SUCCEEDED, id="a promoted revision"),
        pytest.param("superseded-in-flight", 2, WhyNot.SUPERSEDED, id="a revision that was replaced"),
        pytest.param("initial-revision-abort", 1, WhyNot.FIRST_REVISION, id="the first revision"),
        pytest.param("version-label-missing", 2, WhyNot.NOT_IDENTIFIED, id="a revision without a version label"),
        pytest.param("progress-deadline-degraded-without-abort", 2, WhyNot.NOT_ABORTED, id="degraded, not aborted"),
    ],
)
def test_a_revision_without_a_mark_says_why(name: str, revision: int, reason: WhyNot) -> None:
    """The reason is the one that the trace's name says."""
    explanation = explain_rollout(facts_of(levels_of(name), replay(trace(name)).history), NOW, revision)
    (found,) = explanation.revisions
    assert found.why_not is not None
    assert found.why_not.reason is reason


def test_without_a_history_a_first_observation_is_shown_as_that() -> None:
    """An old abort points to the backfill."""
    later = NOW + timedelta(days=20)
    explanation = explain_rollout(facts_of(levels_of("canary-manual-abort")), later)
    assert "there is no DoraHistory" in explanation.notes[-1]
    (found,) = [r for r in explanation.revisions if r.is_current]
    assert found.why_not is not None
    assert (found.why_not.reason, "backfill" in found.why_not.message) == (WhyNot.LOOKBACK, True)


def test_a_history_that_is_behind_says_so() -> None:
    """The operator may not run."""
    lines = trace("canary-promoted")
    first = next(
        history
        for end in range(1, len(lines))
        if (history := replay(lines[:end]).history) is not None and history.revisions
    )
    explanation = explain_rollout(facts_of(levels_of("canary-promoted"), first), NOW)
    assert explanation.notes == ("the history ends at revision 1: the operator has not observed the newest yet",)
