"""`backfill` finds what an operator would have found, applies it once, and never guesses."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from dora_operator.domain.resource import DoraDeployment, parse
from dora_operator.domain.rollout.verdict import Policy, Verdict, record_manifest
from dora_operator.kubectl.backfill import Confidence, Row, State, backfill_rows, new_rows
from dora_operator.kubectl.facts import RolloutFacts
from tests.unit.kubectl.test_explain_agrees import deployments_of
from tests.unit.rollout.operator_stand_in import NOW, Levels, Operator
from tests.unit.rollout.test_traces import EVERY_TRACE, trace

MONTH = timedelta(days=30)


def levels_of(name: str) -> Levels:
    """Return the state at the end of a trace."""
    levels = Levels()
    for line in trace(name):
        levels.apply(line)
    return levels


def facts_of(levels: Levels, deployments: Iterable[DoraDeployment] = (), **annotations: str) -> RolloutFacts:
    """Return the facts about the Rollout of a trace."""
    return RolloutFacts(
        rollout=levels.rollout,
        replica_sets=tuple(levels.replica_sets.values()),
        deployments=tuple(deployments),
        namespace_annotations=annotations,
    )


def wanted(rows: list[Row]) -> list[Verdict]:
    """Return the verdicts that would be applied."""
    return [row.verdict for row in new_rows(rows) if row.verdict is not None]


@EVERY_TRACE
def test_it_finds_what_an_operator_would_have_found(name: str) -> None:
    """At the end of each trace, and long after it: the lookback is --since, not the operator's."""
    levels = levels_of(name)
    decision = Operator(policy=Policy()).reconcile(levels)
    still_true = [verdict for verdict in decision.changes if verdict.change_failure]
    assert wanted(backfill_rows(facts_of(levels), NOW, MONTH)) == still_true
    later = NOW + timedelta(days=20)
    assert wanted(backfill_rows(facts_of(levels), later, MONTH)) == still_true
    assert wanted(backfill_rows(facts_of(levels), later, timedelta(days=1))) == []


@EVERY_TRACE
def test_a_second_run_finds_nothing_new(name: str) -> None:
    """What was applied is on record; also where only a part of it was applied before."""
    levels = levels_of(name)
    first = new_rows(backfill_rows(facts_of(levels), NOW, MONTH))
    applied = deployments_of(json.dumps(row.manifest) for row in first)
    again = backfill_rows(facts_of(levels, applied), NOW, MONTH)
    assert new_rows(again) == []
    assert [row.verdict for row in again if row.state is State.RECORDED] == [row.verdict for row in first]


@EVERY_TRACE
def test_an_operator_that_starts_afterwards_changes_nothing(name: str) -> None:
    """The records are the operator's own, under the same names."""
    levels, operator = levels_of(name), Operator(policy=Policy())
    rows = new_rows(backfill_rows(facts_of(levels), NOW, MONTH))
    for row in rows:
        assert row.manifest is not None
        assert row.verdict is not None
        assert row.manifest == record_manifest(row.namespace, row.verdict)
        operator.manifests[row.manifest["metadata"]["name"]] = json.dumps(row.manifest)
    assert operator.reconcile(levels).changes == ()


def test_what_cannot_be_decided_is_shown_and_not_applied() -> None:
    """A revision without a version label, and one whose end does not show any more."""
    (row,) = backfill_rows(facts_of(levels_of("version-label-missing")), NOW, MONTH)
    assert (row.state, row.confidence, row.mark) == (State.UNKNOWN, Confidence.NONE, "NotIdentified")
    (row,) = backfill_rows(facts_of(levels_of("superseded-in-flight")), NOW, MONTH)
    assert (row.state, row.revision, row.manifest) == (State.UNKNOWN, 2, None)


def test_a_namespace_that_opts_out_is_left_alone() -> None:
    """The row is shown with the reason."""
    facts = facts_of(levels_of("canary-manual-abort"), **{"dora-operator.io/ignore": "true"})
    (row,) = backfill_rows(facts, NOW, MONTH)
    assert (row.state, row.manifest) == (State.BLOCKED, None)
    assert "dora-operator.io/ignore" in row.evidence


@pytest.mark.parametrize(
    ("source", "state"),
    [
        pytest.param({"name": "checkout"}, State.FOLLOWED, id="that follows the revision"),
        pytest.param(None, State.BLOCKED, id="that has the record's name"),
    ],
)
def test_a_users_resource_wins(source: dict[str, str] | None, state: State) -> None:
    """Nothing is created beside a resource, or over it."""
    levels = levels_of("canary-manual-abort")
    (row,) = backfill_rows(facts_of(levels), NOW, MONTH)
    assert row.manifest is not None
    tags = row.manifest["spec"]["deployment"]
    spec = (
        {"deployment": tags, "sourceRef": source}
        if source
        else {"deployment": tags | {"env": "x"}, "changeFailure": True}
    )
    stored = {"uid": "u", "resourceVersion": "1", "creationTimestamp": "2026-11-24T00:00:00Z"}
    metadata = {"name": row.manifest["metadata"]["name"], "namespace": row.namespace} | stored
    user = parse({"metadata": metadata, "spec": spec})
    (found,) = backfill_rows(facts_of(levels, [user]), NOW, MONTH)
    assert (found.state, found.manifest) == (state, None)


def test_rows_are_applied_oldest_first() -> None:
    """An interrupted run has done the oldest."""
    (row,) = backfill_rows(facts_of(levels_of("canary-manual-abort")), NOW, MONTH)
    older = replace(row, rollout="z", time=NOW - timedelta(days=3))
    unknown = replace(row, rollout="y", time=None)
    assert [each.rollout for each in new_rows([row, older, unknown])] == ["y", "z", row.rollout]
