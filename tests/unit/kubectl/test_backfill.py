"""`backfill` finds what the operator does not report, applies it to one row for certain, and never guesses."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dora_operator.domain.fields import to_api
from dora_operator.domain.history.verdicts import Verdict, verdicts
from dora_operator.domain.resource import DoraDeployment, parse
from dora_operator.domain.stored import StoredDeployment
from kubectl_dora.backfill import BackfillRow, RowState, backfill_rows, new_rows, services_of
from kubectl_dora.facts import RolloutFacts, with_old_aborts
from tests.unit.history.simulator import NOW
from tests.unit.history.test_traces import EVERY_TRACE, replay, trace
from tests.unit.kubectl.levels import SETTINGS, facts_of, levels_of, row, rows_of

MONTH = timedelta(days=30)
LATER = NOW + timedelta(days=20)
"""Longer after the traces than the operator's lookback."""
ABORTED = facts_of(levels_of("canary-manual-abort"))


def verdict_of(facts: RolloutFacts) -> Verdict:
    """Return the failure of a Rollout with one."""
    (found,) = verdicts(with_old_aborts(facts.history(LATER)), SETTINGS.rollout_policy)
    return found


def row_of(facts: RolloutFacts, name: str = "deployment-1", **fields: Any) -> StoredDeployment:
    """Return a row of the time of the failure."""
    verdict = verdict_of(facts)
    assert verdict.started_time is not None
    tags = {"service": verdict.service, "env": verdict.env}
    return row(name, verdict.version or "", verdict.started_time, **(tags | fields))


def found(facts: RolloutFacts, *rows: StoredDeployment, now: Any = LATER) -> list[BackfillRow]:
    """Return the lines about a Rollout where Datadog has these rows."""
    return backfill_rows(facts, rows_of(facts, *rows), now, MONTH)


def test_an_abort_before_the_lookback_is_marked_by_the_id_of_its_row() -> None:
    """The resource is a plain one: the operator's own record would be about the version."""
    (line,) = found(ABORTED, row_of(ABORTED))
    assert (line.state, line.row, line.marked) == (RowState.NEW, "deployment-1", False)
    assert line.manifest is not None
    assert line.manifest["spec"] == {"deployment": {"id": "deployment-1"}, "changeFailure": True}
    assert "labels" not in line.manifest["metadata"]


def test_what_the_operator_records_itself_is_left_to_it() -> None:
    """Within the lookback, or in its history."""
    (line,) = found(ABORTED, row_of(ABORTED), now=NOW)
    assert (line.state, line.manifest) == (RowState.OPERATOR, None)
    stored = facts_of(levels_of("canary-manual-abort"), replay(trace("canary-manual-abort")).history)
    (line,) = found(stored, row_of(ABORTED))
    assert (line.state, line.manifest) == (RowState.OPERATOR, None)


def test_an_abort_before_the_first_observation_of_a_running_operator_is_found() -> None:
    """Its history has the revision as aborted, without a failure: the operator never reports it."""
    observed = facts_of(levels_of("canary-manual-abort"), ABORTED.history(LATER))
    assert verdicts(observed.history(LATER), SETTINGS.rollout_policy) == ()
    (line,) = found(observed, row_of(ABORTED))
    assert (line.state, line.row) == (RowState.NEW, "deployment-1")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        pytest.param([], "Datadog has no deployment of this version from its time", id="no row"),
        pytest.param([{}, {"name": "deployment-2"}], "2 deployments in Datadog can be meant", id="several rows"),
        pytest.param([{"env": "other"}], "Datadog has no deployment", id="a row of another env"),
    ],
)
def test_a_failure_without_exactly_one_row_is_never_applied(rows: list[dict[str, Any]], words: str) -> None:
    """No row, several, or Datadog was not read."""
    (line,) = found(ABORTED, *(row_of(ABORTED, **fields) for fields in rows))
    assert (line.state, line.row, line.manifest) == (RowState.UNCERTAIN, None, None)
    assert words in line.evidence
    (line,) = backfill_rows(ABORTED, {}, LATER, MONTH)
    assert (line.state, "Datadog was not read" in line.evidence) == (RowState.UNCERTAIN, True)


def test_a_later_deployment_of_the_version_is_not_marked() -> None:
    """As after a redeployment that succeeded."""
    verdict = verdict_of(ABORTED)
    assert verdict.ended_time is not None
    later = replace(row_of(ABORTED), started_at=verdict.ended_time + timedelta(hours=2), finished_at=LATER)
    (line,) = found(ABORTED, later)
    assert (line.state, line.row) == (RowState.UNCERTAIN, None)


def test_a_version_that_came_back_before_the_first_observation_is_shown_with_its_row() -> None:
    """Whether it failed is for a person to decide."""
    facts = facts_of(levels_of("promoted-then-undo"))
    line = next(line for line in found(facts) if line.revision == 2)
    assert line.time is not None
    rows = rows_of(facts)
    ((service, env),) = rows
    there = row("deployment-2", "1.1.0", line.time, service=service, env=env)
    line = next(line for line in found(facts, there) if line.revision == 2)
    assert (line.state, line.row, line.manifest) == (RowState.UNKNOWN, "deployment-2", None)
    assert "kubectl dora mark --id deployment-2" in line.evidence


def test_a_revision_that_cannot_be_identified_is_shown() -> None:
    """With what is missing."""
    facts = facts_of(levels_of("version-label-missing"))
    lines = backfill_rows(facts, {}, LATER, MONTH)
    assert [(line.state, line.deployment) for line in lines] == [(RowState.UNKNOWN, "not identifiable")]


@EVERY_TRACE
def test_only_what_began_since_then_is_shown(name: str) -> None:
    """Not what is older."""
    facts = facts_of(levels_of(name))
    lines = backfill_rows(facts, {}, LATER, timedelta(days=1))
    assert [line for line in lines if line.time is not None] == []


def test_each_service_is_asked_for_once() -> None:
    """Also of two Rollouts."""
    assert services_of([ABORTED, ABORTED], LATER) == list(rows_of(ABORTED))


def test_a_namespace_that_opts_out_is_left_alone() -> None:
    """The line is shown with the reason."""
    facts = facts_of(levels_of("canary-manual-abort"), **{"dora-operator.io/ignore": "true"})
    (line,) = found(facts, row_of(facts))
    assert (line.state, line.manifest) == (RowState.BLOCKED, None)
    assert "dora-operator.io/ignore" in line.evidence


def resource(deployment: dict[str, str], **status: Any) -> DoraDeployment:
    """Return a DoraDeployment of a user."""
    metadata = {"name": "mine", "namespace": ABORTED.key.namespace, "uid": "u", "resourceVersion": "1"}
    metadata["creationTimestamp"] = "2026-11-24T00:00:00Z"
    return parse({"metadata": metadata, "spec": {"deployment": deployment, "changeFailure": True}, "status": status})


@pytest.mark.parametrize(
    "deployment",
    [
        pytest.param(resource({"id": "deployment-1"}), id="by the id of the row"),
        pytest.param(
            resource(
                {"service": "a", "env": "b", "version": "c"},
                target={"by": "ID", "id": "deployment-1", "site": "datadoghq.com"},
            ),
            id="by a version whose row is known",
        ),
        pytest.param(
            resource({"id": "deployment-9"}, source=to_api(verdict_of(ABORTED))), id="with the verdict in its status"
        ),
    ],
)
def test_a_deployment_that_has_a_resource_gets_no_second_one(deployment: DoraDeployment) -> None:
    """By its id, its known row, or the verdict in its status."""
    facts = facts_of(levels_of("canary-manual-abort"), None, [deployment])
    (line,) = found(facts, row_of(facts))
    assert (line.state, line.manifest, "mine" in line.evidence) == (RowState.RECORDED, None, True)


def test_rows_are_applied_oldest_first_and_each_once() -> None:
    """An interrupted run has done the oldest."""
    (line,) = found(ABORTED, row_of(ABORTED))
    older = replace(line, rollout="z", row="deployment-z", time=NOW - timedelta(days=3))
    unknown = replace(line, rollout="y", row="deployment-y", time=None)
    lines = new_rows([line, older, unknown, replace(line)])
    assert [each.rollout for each in lines] == ["y", "z", line.rollout]
